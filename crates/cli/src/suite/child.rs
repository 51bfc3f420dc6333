//! A service as a child process: started, pinned, watched, started again.

use std::{path::PathBuf, process::Stdio, time::Duration};

use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_setaffinity},
};
use tokio::{
    process::{Child, Command},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{ChildState, log, state::Board};

/// Before the first restart; doubles with each that follows soon.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(200);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Running this long counts as being well.
pub(super) const STABLE: Duration = Duration::from_secs(30);
/// A service drains its requests within 12 s.
const STOP_WITHIN: Duration = Duration::from_secs(14);

/// What is run, and how.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) name: String,
    /// Its place in the colours.
    pub(super) index: usize,
    pub(super) program: PathBuf,
    pub(super) config: PathBuf,
    pub(super) log: PathBuf,
    pub(super) cpus: Vec<usize>,
}

impl Service {
    /// Keeps it running until `stop`, then ends it.
    pub(super) async fn keep(self, board: Board, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let begun = Instant::now();
            let ended = match self.start() {
                Ok(mut child) => {
                    board.child(&self.name, |state| state.runs_as(child.id()));
                    tokio::select! {
                        status = child.wait() => match status {
                            Ok(status) => status.to_string(),
                            Err(error) => error.to_string(),
                        },
                        () = stop.cancelled() => {
                            end(&mut child).await;
                            board.child(&self.name, ChildState::has_ended);
                            return;
                        }
                    }
                }
                Err(error) => format!("{}: {error}", self.program.display()),
            };
            if begun.elapsed() > STABLE {
                pause = FIRST_PAUSE;
            }
            board.child(&self.name, |state| {
                state.has_ended();
                state.restarts += 1;
                state.note = format!("ended ({ended}), started again");
            });
            if stop.run_until_cancelled(tokio::time::sleep(with_jitter(pause))).await.is_none() {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        let mut child = Command::new(&self.program)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C is for the supervisor, which stops its children in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        self.pin(&child);
        if let Some(lines) = child.stderr.take() {
            tokio::spawn(log::copy(self.name.clone(), self.index, lines, self.log.clone()));
        }
        Ok(child)
    }

    /// Best effort: a service that may run anywhere is slower, not wrong.
    fn pin(&self, child: &Child) {
        let mut set = CpuSet::new();
        for cpu in self.cpus.iter().filter(|cpu| **cpu < CpuSet::MAX_CPU) {
            set.set(*cpu);
        }
        if let Some(pid) = pid(child)
            && set.count() > 0
        {
            let _ = sched_setaffinity(Some(pid), &set);
        }
    }
}

/// Between three and five quarters of `pause`, so that children do not start in step.
pub(super) fn with_jitter(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + rand::random::<f64>() / 2.0)
}

async fn end(child: &mut Child) {
    if let Some(pid) = pid(child) {
        // It may have ended by itself in this moment.
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(STOP_WITHIN, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}
