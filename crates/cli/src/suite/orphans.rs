//! Children that outlived a supervisor that was killed: they hold the ports and the data folder.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::{ChildState, State};

/// A service drains its requests within 12 s.
const STOP_WITHIN: Duration = Duration::from_secs(14);

/// Ends what `state` says is running, if it is.
pub(super) async fn end(state: &State) {
    let orphans = || state.children.iter().filter(|child| is_alive(child)).filter_map(pid);
    for pid in orphans() {
        // PostgreSQL's fast shutdown, and as good as SIGTERM to the others.
        let _ = kill_process(pid, Signal::INT);
    }
    let deadline = Instant::now() + STOP_WITHIN;
    while orphans().next().is_some() {
        if Instant::now() > deadline {
            for pid in orphans() {
                let _ = kill_process(pid, Signal::KILL);
            }
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn pid(child: &ChildState) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.pid?).ok()?)
}

/// Whether the very process runs that was written down: numbers are used again.
fn is_alive(child: &ChildState) -> bool {
    child.pid.is_some_and(|pid| child.born.is_some() && super::state::birth(pid) == child.born)
}
