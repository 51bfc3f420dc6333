//! Where things are under `.alina`.

use std::path::PathBuf;

use super::SuiteError;

/// The folder with everything the suite prepares and keeps.
#[derive(Debug, Clone)]
pub struct Layout {
    home: PathBuf,
}

impl Layout {
    /// `.alina` at `home`.
    #[must_use]
    pub fn new(home: PathBuf) -> Self {
        Self { home }
    }

    /// Itself.
    #[must_use]
    pub fn home(&self) -> &PathBuf {
        &self.home
    }

    /// The Python environment with PostgreSQL and Redis.
    #[must_use]
    pub fn venv(&self) -> PathBuf {
        self.home.join("venv")
    }

    /// PostgreSQL's data.
    #[must_use]
    pub fn postgres(&self) -> PathBuf {
        self.home.join("postgres")
    }

    /// A child's log.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.home.join("log").join(format!("{name}.log"))
    }

    /// The supervisor's process id.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        self.home.join("run/supervisor.pid")
    }

    /// Held by the supervisor while it runs.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.home.join("run/supervisor.lock")
    }

    /// How the children are.
    #[must_use]
    pub fn state_file(&self) -> PathBuf {
        self.home.join("run/state.json")
    }

    /// Passwords and tokens for containers.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.home.join("secrets")
    }

    /// Makes the folders a running suite writes to.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn prepare(&self) -> Result<(), SuiteError> {
        for name in ["log", "run"] {
            let folder = self.home.join(name);
            std::fs::create_dir_all(&folder).map_err(SuiteError::path(&folder))?;
            // A folder that exists may still not be writable, or the disk full.
            let probe = folder.join(".probe");
            std::fs::write(&probe, b"probe").map_err(SuiteError::path(&probe))?;
            std::fs::remove_file(&probe).map_err(SuiteError::path(&probe))?;
        }
        Ok(())
    }
}
