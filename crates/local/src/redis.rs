//! Redis as a child process: a cache that keeps nothing.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use tokio::{process::Command, time::Instant};

use crate::{LocalError, process::Process};

const READY_WITHIN: Duration = Duration::from_secs(10);
const STOP_WITHIN: Duration = Duration::from_secs(3);
const ROOM: [&str; 4] = ["--maxmemory", "192mb", "--maxmemory-policy", "allkeys-lru"];
/// Redis itself takes more.
const FULL: [&str; 4] = ["--maxmemory", "1kb", "--maxmemory-policy", "noeviction"];

/// A running Redis; killed when dropped.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    port: u16,
    log: PathBuf,
    process: Process,
}

impl Redis {
    /// Starts `program` on 127.0.0.1 and waits until it answers. It is a cache: nothing is written
    /// to disk, and the least recently used goes when 192 MB are full.
    ///
    /// # Errors
    /// When the port is taken or it does not answer.
    pub async fn start(program: &Path, port: u16, log: &Path) -> Result<Self, LocalError> {
        let process = spawn(program, port, log, ROOM)?;
        let (program, log) = (program.to_owned(), log.to_owned());
        let mut this = Self { program, port, log, process };
        this.wait_until_ready().await?;
        Ok(this)
    }

    /// `redis://127.0.0.1:PORT/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
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

    /// Starts it again after it ended; empty, as a cache may be.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn restart(&mut self) -> Result<(), LocalError> {
        self.process = spawn(&self.program, self.port, &self.log, ROOM)?;
        self.wait_until_ready().await
    }

    /// Starts it again after it ended, full: it refuses everything that needs memory.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn restart_full(&mut self) -> Result<(), LocalError> {
        self.process = spawn(&self.program, self.port, &self.log, FULL)?;
        self.wait_until_ready().await
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it can be neither stopped nor killed.
    pub async fn stop(&mut self) -> Result<(), LocalError> {
        self.process.stop(Signal::TERM, STOP_WITHIN).await
    }

    async fn wait_until_ready(&mut self) -> Result<(), LocalError> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if self.answers().await {
                return Ok(());
            }
            if let Some(status) = self.process.ended() {
                return Err(self.process.not_ready(format!("it ended ({status})")));
            }
            if Instant::now() >= deadline {
                return Err(self.process.not_ready("no answer"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn answers(&self) -> bool {
        let asked = async {
            let client = redis::Client::open(self.url()).ok()?;
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            redis::cmd("PING").query_async::<String>(&mut connection).await.ok()
        };
        matches!(tokio::time::timeout(Duration::from_secs(1), asked).await, Ok(Some(_)))
    }
}

fn spawn(program: &Path, port: u16, log: &Path, memory: [&str; 4]) -> Result<Process, LocalError> {
    if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
        return Err(LocalError::PortTaken { port, program: "redis-server" });
    }
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
    command.args(["--appendonly", "no"]).args(memory);
    // What would let another user of the machine write files as this one.
    for name in ["CONFIG", "DEBUG", "MODULE", "REPLICAOF", "SLAVEOF", "SAVE", "BGSAVE"] {
        command.args(["--rename-command", name, ""]);
    }
    command.current_dir("/");
    Process::start("redis-server", command, log)
}
