//! PostgreSQL as a child process.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use rustix::process::Signal;
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::time::Instant;

use crate::{
    LocalError, PostgresPrograms,
    cluster::{as_nobody, prepare, set_password},
    process::Process,
};

/// Recovery after a crash may take a while.
const READY_WITHIN: Duration = Duration::from_secs(60);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// PostgreSQL's code for a wrong password: <https://www.postgresql.org/docs/18/errcodes-appendix.html>.
const WRONG_PASSWORD: &str = "28P01";

/// How PostgreSQL is run.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Where its data is; made when absent.
    pub data: PathBuf,
    /// On 127.0.0.1.
    pub port: u16,
    /// What it says is appended here.
    pub log: PathBuf,
    /// A file with the superuser's password. When it differs from the one the data folder knows,
    /// the folder's is changed.
    pub password_file: PathBuf,
    /// False for tests: faster, and a crash of the machine may lose data.
    pub durable: bool,
    /// Where finished parts of the write-ahead log are copied to, for base backups to be followed by;
    /// made when absent. Without it the log is kept short, and there are no base backups.
    pub archive: Option<PathBuf>,
}

impl PostgresOptions {
    pub(crate) fn password(&self) -> Result<String, LocalError> {
        let file = &self.password_file;
        let text = std::fs::read_to_string(file).map_err(LocalError::path(file))?;
        Ok(text.trim().to_owned())
    }
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
    /// the database `alina`. The superuser is `alina`.
    ///
    /// # Errors
    /// When a program is missing, the folder unusable, the port taken, or it does not answer.
    pub async fn start(
        programs: &PostgresPrograms,
        options: PostgresOptions,
    ) -> Result<Self, LocalError> {
        check_port(options.port)?;
        prepare(programs, &options).await?;
        let process = spawn(programs, &options)?;
        let mut this = Self { programs: programs.clone(), options, process };
        this.wait_until_ready().await?;
        Ok(this)
    }

    /// `postgres://alina@127.0.0.1:PORT/DATABASE`; the password is not in it.
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

    /// `kill -9` of the server and of all its children at once, as the end of a machine does it.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill_with_children(&mut self) -> Result<(), LocalError> {
        self.process.kill_with_children().await
    }

    /// Starts it again after it ended.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn restart(&mut self) -> Result<(), LocalError> {
        let deadline = Instant::now() + STOP_WITHIN;
        // Children of a killed server leave a moment later, and hold its port and memory until then.
        while !port_is_free(self.options.port) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        check_port(self.options.port)?;
        loop {
            prepare(&self.programs, &self.options).await?;
            self.process = spawn(&self.programs, &self.options)?;
            match self.wait_until_ready().await {
                Err(_) if self.process.ended().is_some() && Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                done => return done,
            }
        }
    }

    /// Fast shutdown: open transactions are rolled back, committed data is on disk.
    ///
    /// # Errors
    /// When it can be neither stopped nor killed.
    pub async fn stop(&mut self) -> Result<(), LocalError> {
        self.process.stop(Signal::INT, STOP_WITHIN).await
    }

    /// Lets it run on when this process ends; somebody else stops it.
    pub fn leave(self) {
        self.process.leave();
    }

    async fn wait_until_ready(&mut self) -> Result<(), LocalError> {
        let deadline = Instant::now() + READY_WITHIN;
        let mut password_was_set = false;
        loop {
            let made = tokio::time::timeout(ANSWER_WITHIN, self.make_database());
            let cause = match made.await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if is_wrong_password(&error) && !password_was_set => {
                    password_was_set = true;
                    self.stop().await?;
                    set_password(&self.programs, &self.options).await?;
                    self.process = spawn(&self.programs, &self.options)?;
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
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
        let password = self.options.password();
        let password = password.map_err(|error| sqlx::Error::Configuration(error.into()))?;
        let options = PgConnectOptions::from_str(&self.url("postgres"))?.password(&password);
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

fn is_wrong_password(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == WRONG_PASSWORD)
}

fn check_port(port: u16) -> Result<(), LocalError> {
    if port_is_free(port) {
        return Ok(());
    }
    Err(LocalError::PortTaken { port, program: "postgres" })
}

fn port_is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A quarter of the machine's memory, in MB, as PostgreSQL's manual has it: enough for the indexes of
/// millions of items, and most is left to the models. Taken only as far as it is used.
fn shared_buffers() -> u64 {
    let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    memory.map_or(256, |kilobytes| (kilobytes / 1024 / 4).clamp(256, 8_192))
}

fn spawn(programs: &PostgresPrograms, options: &PostgresOptions) -> Result<Process, LocalError> {
    let mut command = as_nobody(programs, "postgres", &options.data);
    command.arg("-D").arg(&options.data).args(["-p", &options.port.to_string()]);
    let mut settings: Vec<String> = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=200",
        // Searches are short: compiling them takes longer than they do. Disks are SSDs today.
        "jit=off",
        "random_page_cost=1.1",
        "logging_collector=off",
    ]
    .map(str::to_owned)
    .into();
    settings.extend(log_settings(options.archive.as_deref()));
    if options.durable {
        settings.push(format!("shared_buffers={}MB", shared_buffers()));
        // After a restart it reads what it had in memory before: else the first answers wait for it.
        settings.push("shared_preload_libraries=pg_prewarm".to_owned());
    } else {
        let fast =
            ["shared_buffers=64MB", "fsync=off", "synchronous_commit=off", "full_page_writes=off"];
        settings.extend(fast.map(str::to_owned));
    }
    for setting in settings {
        command.args(["-c", &setting]);
    }
    Process::start("postgres", command, &options.log)
}

/// How much the write-ahead log holds, and where it goes.
fn log_settings(archive: Option<&Path>) -> Vec<String> {
    let Some(archive) = archive else {
        return vec!["wal_level=minimal".to_owned(), "max_wal_senders=0".to_owned()];
    };
    // The shell gets it between single quotes, and PostgreSQL puts something in for each %.
    let folder = archive.display().to_string().replace('%', "%%").replace('\'', r"'\''");
    // A part that is there already was copied just before a crash; a copy is whole or not there.
    let copy = format!(
        "if test -f '{folder}/%f'; then cmp -s '%p' '{folder}/%f'; \
         else cp '%p' '{folder}/%f.part' && mv '{folder}/%f.part' '{folder}/%f'; fi"
    );
    vec![
        "wal_level=replica".to_owned(),
        "max_wal_senders=4".to_owned(),
        "archive_mode=on".to_owned(),
        "archive_timeout=60".to_owned(),
        format!("archive_command={copy}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_the_archive_cannot_say_more_than_its_name() {
        let settings = log_settings(Some(Path::new("/tmp/it's 100%")));
        let command = settings.last().unwrap();
        assert!(command.contains(r"test -f '/tmp/it'\''s 100%%/%f'"), "{command}");
    }
}
