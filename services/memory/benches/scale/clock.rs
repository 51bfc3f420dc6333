//! A clock for programs that make load.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{self, Receiver};

/// When each of what comes `rate` times a second is due, until nobody listens. By a thread of its own:
/// tokio's clock wakes whoever waits up to a millisecond late.
#[expect(clippy::disallowed_methods, reason = "it blocks a thread of its own")]
pub(crate) fn ticks(rate: u32) -> Receiver<Instant> {
    let (tick, ticks) = mpsc::channel(1);
    thread::spawn(move || {
        let begun = Instant::now();
        for due in (0..).map(|n| begun + Duration::from_secs(1) * n / rate) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if tick.blocking_send(due).is_err() {
                break;
            }
        }
    });
    ticks
}
