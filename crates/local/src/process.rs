//! A child process with its log.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::LocalError;

/// How much of a log is shown when something goes wrong, in bytes.
const TAIL: u64 = 2_000;

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with everything it says going to `log`. The child is killed when this is
    /// dropped.
    pub(crate) fn start(
        name: &'static str,
        mut command: Command,
        log: &Path,
    ) -> Result<Self, LocalError> {
        let out =
            File::options().create(true).append(true).open(log).map_err(LocalError::path(log))?;
        let err = out.try_clone().map_err(LocalError::path(log))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            // Ctrl-C in a terminal is for whoever supervises, not for the database.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|cause| LocalError::Process { program: name, cause })?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    pub(crate) async fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        self.child.wait().await
    }

    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    pub(crate) async fn kill(&mut self) -> Result<(), LocalError> {
        self.child.kill().await.map_err(|cause| LocalError::Process { program: self.name, cause })
    }

    /// Kills it and all its children at once.
    pub(crate) async fn kill_with_children(&mut self) -> Result<(), LocalError> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // Stopped it makes no more of them. One that ended by itself is none to be killed.
            let _ = kill_process(pid, Signal::STOP);
            for child in children(pid) {
                let _ = kill_process(child, Signal::KILL);
            }
        }
        self.kill().await
    }

    /// Never kills it: the child stays when this process ends.
    pub(crate) fn leave(self) {
        std::mem::forget(self.child);
    }

    /// Sends `signal`, and kills after `patience`.
    pub(crate) async fn stop(
        &mut self,
        signal: Signal,
        patience: Duration,
    ) -> Result<(), LocalError> {
        if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            // It may have ended by itself meanwhile; then there is nothing to do.
            let _ = kill_process(pid, signal);
        }
        match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(_) => Ok(()),
            Err(_) => self.kill().await,
        }
    }

    pub(crate) fn not_ready(&self, cause: impl Into<String>) -> LocalError {
        LocalError::NotReady { program: self.name, cause: cause.into(), tail: tail(&self.log) }
    }
}

/// Processes that `parent` started and that still run.
fn children(parent: Pid) -> Vec<Pid> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let child = |process: io::Result<std::fs::DirEntry>| {
        let process = process.ok()?;
        let pid = process.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        // The name, in brackets, may hold anything; behind it are the state and the parent.
        let of: i32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Pid::from_raw(pid).filter(|_| of == parent.as_raw_nonzero().get())
    };
    processes.filter_map(child).collect()
}

/// The end of a log.
fn tail(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| format!("({} cannot be read: {error})", log.display()))
}
