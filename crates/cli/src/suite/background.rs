//! The supervisor in the background.

use std::{
    fs::File,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::Command;

use super::{Layout, State, SuiteError, log};

/// Recovery of a database and loading of programs on a slow disk included.
const HEALTHY_WITHIN: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A child that was started this often will not get well by itself.
const MOST_RESTARTS: u32 = 4;

/// Starts the suite unless it runs, and waits until everything answers. `progress` is told how many
/// children of how many answer.
///
/// # Errors
/// When it does not get healthy; says why.
pub async fn up(
    layout: &Layout,
    config: &Path,
    mut progress: impl FnMut(&State),
) -> Result<State, SuiteError> {
    layout.prepare()?;
    let started = match running(layout) {
        Some(_) => None,
        None => start(layout, config)?,
    };
    let begun = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let runs = running(layout).map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
        // What an earlier supervisor left is not news of this one.
        let is_news = |state: &State| [started, runs].contains(&Some(state.supervisor));
        let state = State::read(layout).filter(is_news).unwrap_or_default();
        progress(&state);
        if let Some(failure) = state.failure {
            return Err(SuiteError::Other(failure));
        }
        if state.is_healthy() {
            return Ok(state);
        }
        let late = begun.elapsed() > HEALTHY_WITHIN;
        let bad = state
            .children
            .iter()
            .find(|child| !child.healthy && (late || child.restarts >= MOST_RESTARTS));
        let died = begun.elapsed() > Duration::from_secs(2) && runs.is_none();
        let name = match bad {
            Some(child) => child.name.clone(),
            None if died || late => "supervisor".to_owned(),
            None => continue,
        };
        let file = layout.log(&name);
        return Err(SuiteError::Unhealthy { tail: log::tail(&file), log: file, name });
    }
}

/// Ends the suite; tells whether it ran.
///
/// # Errors
/// When the supervisor does not end.
pub async fn down(layout: &Layout, patience: Duration) -> Result<bool, SuiteError> {
    let Some(pid) = running(layout) else { return Ok(false) };
    // It may be ending by itself.
    let _ = kill_process(pid, Signal::TERM);
    let begun = Instant::now();
    while running(layout).is_some() {
        if begun.elapsed() > patience {
            return Err(SuiteError::Stuck { pid: pid.as_raw_nonzero().get().unsigned_abs() });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(true)
}

/// Whether a supervisor runs.
#[must_use]
pub fn is_running(layout: &Layout) -> bool {
    running(layout).is_some()
}

/// The supervisor's process, when the file names one that is.
fn running(layout: &Layout) -> Option<Pid> {
    let text = std::fs::read_to_string(layout.pid_file()).ok()?;
    let pid = Pid::from_raw(text.trim().parse().ok()?)?;
    test_kill_process(pid).ok()?;
    // The number may have gone to another program since.
    let command = procfs::process::Process::new(pid.as_raw_nonzero().get()).ok()?;
    let supervises = command.cmdline().ok()?.iter().any(|word| word == "--foreground");
    let alive = command.stat().is_ok_and(|stat| stat.state != 'Z');
    (supervises && alive).then_some(pid)
}

/// Starts a supervisor and gives its process.
fn start(layout: &Layout, config: &Path) -> Result<Option<u32>, SuiteError> {
    let path = layout.log("supervisor");
    let err = File::create(&path).map_err(SuiteError::path(&path))?;
    let own = std::env::current_exe().map_err(|error| SuiteError::Other(error.to_string()))?;
    Command::new(own)
        .arg("--config")
        .arg(config)
        .args(["up", "--foreground"])
        .stdin(Stdio::null())
        // The children's lines are in their own logs.
        .stdout(Stdio::null())
        .stderr(err)
        // Its own group: Ctrl-C here does not end it.
        .process_group(0)
        .current_dir("/")
        .spawn()
        .map(|child| child.id())
        .map_err(|error| SuiteError::Other(format!("the supervisor cannot be started: {error}")))
}
