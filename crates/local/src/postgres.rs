//! PostgreSQL as a child process.

use std::{
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use rustix::process::Signal;
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::{process::Command, time::Instant};

use crate::{LocalError, PostgresPrograms, process::Process};

/// The user that owns and runs PostgreSQL when we are root, which it refuses to be: nobody.
const NOBODY: u32 = 65_534;
/// Recovery after a crash may take a while.
const READY_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How PostgreSQL is run.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Where its data is; made when absent.
    pub data: PathBuf,
    /// On 127.0.0.1.
    pub port: u16,
    /// What it says is appended here.
    pub log: PathBuf,
    /// False for tests: faster, and a crash of the machine may lose data.
    pub durable: bool,
}

/// A running PostgreSQL; killed when dropped.
#[derive(Debug)]
pub struct Postgres {
    programs: PostgresPrograms,
    options: PostgresOptions,
    process: Process,
}

impl Postgres {
    /// Prepares the data folder when absent, starts the server, waits until it answers, and makes
    /// the database `alina`. The superuser is `alina`, without a password on loopback.
    ///
    /// # Errors
    /// When a program is missing, the folder unusable, the port taken, or it does not answer.
    pub async fn start(
        programs: &PostgresPrograms,
        options: PostgresOptions,
    ) -> Result<Self, LocalError> {
        prepare(programs, &options).await?;
        let process = spawn(programs, &options)?;
        let mut this = Self { programs: programs.clone(), options, process };
        this.wait_until_ready().await?;
        Ok(this)
    }

    /// `postgres://alina@127.0.0.1:PORT/DATABASE`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://alina@127.0.0.1:{}/{database}", self.options.port)
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits until it ends, however it ends.
    pub async fn ended(&mut self) {
        // A failure to wait means that it is gone.
        let _ = self.process.wait().await;
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&mut self) -> Result<(), LocalError> {
        self.process.kill().await
    }

    /// Starts it again after it ended.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn restart(&mut self) -> Result<(), LocalError> {
        let deadline = Instant::now() + STOP_WITHIN;
        // Children of a killed server leave a moment later and hold its port and memory until then.
        while !port_is_free(self.options.port) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        prepare(&self.programs, &self.options).await?;
        self.process = spawn(&self.programs, &self.options)?;
        self.wait_until_ready().await
    }

    /// Fast shutdown: open transactions are rolled back, committed data is on disk.
    ///
    /// # Errors
    /// When it can be neither stopped nor killed.
    pub async fn stop(mut self) -> Result<(), LocalError> {
        self.process.stop(Signal::INT, STOP_WITHIN).await
    }

    /// Lets it run on when this process ends; somebody else stops it.
    pub fn leave(self) {
        self.process.leave();
    }

    async fn wait_until_ready(&mut self) -> Result<(), LocalError> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let cause = match self.make_database().await {
                Ok(()) => return Ok(()),
                Err(error) => error.to_string(),
            };
            if let Some(status) = self.process.ended() {
                return Err(self.process.not_ready(format!("it ended ({status})")));
            }
            if Instant::now() >= deadline {
                return Err(self.process.not_ready(cause));
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    async fn make_database(&self) -> Result<(), sqlx::Error> {
        let options = PgConnectOptions::from_str(&self.url("postgres"))?;
        let mut connection = PgConnection::connect_with(&options).await?;
        let known: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'alina')")
                .fetch_one(&mut connection)
                .await?;
        if !known {
            connection.execute("CREATE DATABASE alina").await?;
        }
        connection.close().await
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn port_is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

async fn prepare(programs: &PostgresPrograms, options: &PostgresOptions) -> Result<(), LocalError> {
    if !port_is_free(options.port) {
        return Err(LocalError::PortTaken { port: options.port, program: "postgres" });
    }
    make_executable(programs)?;
    let data = &options.data;
    if data.join("PG_VERSION").is_file() {
        return own(data);
    }
    std::fs::create_dir_all(data).map_err(LocalError::path(data))?;
    std::fs::set_permissions(data, PermissionsExt::from_mode(0o700))
        .map_err(LocalError::path(data))?;
    own(data)?;
    let mut initdb = as_nobody(programs, "initdb", data);
    initdb
        .args(["--username=alina", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"])
        .arg("--no-instructions")
        .args((!options.durable).then_some("--no-sync"))
        .arg(format!("--pgdata={}", data.display()));
    let output =
        initdb.output().await.map_err(|cause| LocalError::Process { program: "initdb", cause })?;
    if output.status.success() {
        return Ok(());
    }
    Err(LocalError::NotReady {
        program: "initdb",
        cause: output.status.to_string(),
        tail: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn spawn(programs: &PostgresPrograms, options: &PostgresOptions) -> Result<Process, LocalError> {
    let mut command = as_nobody(programs, "postgres", &options.data);
    command.arg("-D").arg(&options.data).args(["-p", &options.port.to_string()]);
    let mut settings = vec![
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=200",
        "shared_buffers=64MB",
        "wal_level=minimal",
        "max_wal_senders=0",
        "logging_collector=off",
    ];
    if !options.durable {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"]);
    }
    for setting in settings {
        command.args(["-c", setting]);
    }
    Process::start("postgres", command, &options.log)
}

/// One of PostgreSQL's programs, run as nobody when we are root.
fn as_nobody(programs: &PostgresPrograms, name: &str, data: &Path) -> Command {
    let program = programs.program(name);
    let mut command = if !is_root() {
        Command::new(program)
    } else if is_open(&program) && is_open(data) {
        let mut command = Command::new(program);
        // Dropping root this way clears its supplementary groups as well.
        command.uid(NOBODY).gid(NOBODY);
        command
    } else {
        // Below a folder only root may enter, such as /root: the one capability that lets it pass.
        let mut command = Command::new("setpriv");
        command
            .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")])
            .args(["--clear-groups", "--inh-caps=-all,+dac_read_search"])
            .args(["--ambient-caps=+dac_read_search", "--bounding-set=-all,+dac_read_search"])
            .arg(program);
        command
    };
    command.current_dir("/");
    command
}

/// Whether every user may pass through the folders above `path`.
fn is_open(path: &Path) -> bool {
    let mut above = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    above.all(|folder| folder.metadata().is_ok_and(|folder| folder.permissions().mode() & 0o1 != 0))
}

/// Gives the data folder to the user that runs the server.
fn own(data: &Path) -> Result<(), LocalError> {
    if !is_root() {
        return Ok(());
    }
    chown(data, Some(NOBODY), Some(NOBODY)).map_err(LocalError::path(data))
}

/// The wheel's files may have lost their mode bits.
fn make_executable(programs: &PostgresPrograms) -> Result<(), LocalError> {
    for name in ["postgres", "initdb"] {
        let program = programs.program(name);
        let mode = program.metadata().map_err(LocalError::path(&program))?.permissions().mode();
        if mode & 0o111 != 0o111 {
            std::fs::set_permissions(&program, PermissionsExt::from_mode(mode | 0o755))
                .map_err(LocalError::path(&program))?;
        }
    }
    Ok(())
}
