//! Pauses of background tasks, after failures and after work.

use std::time::{Duration, Instant};

use crate::error::MemoryError;

const FIRST: Duration = Duration::from_millis(500);
/// However often something failed.
pub(crate) const LONGEST: Duration = Duration::from_secs(15);

const SHORTEST_REST: Duration = Duration::from_millis(10);
const LONGEST_REST: Duration = Duration::from_secs(1);
const REST_TIMES: u32 = 2;

/// After a batch of work that was begun then: twice as long as it took, within bounds. Those who write
/// and ask come first.
pub(crate) async fn rest(begun: Instant) {
    tokio::time::sleep((begun.elapsed() * REST_TIMES).clamp(SHORTEST_REST, LONGEST_REST)).await;
}

/// Logs why a task waits; quietly when the store is away, which is told elsewhere.
pub(crate) fn told(task: &str, error: &MemoryError) {
    match error {
        MemoryError::StoreUnavailable(_) => tracing::debug!(%error, "{task} waits"),
        _ => tracing::warn!(%error, "{task} waits"),
    }
}

/// How long to pause next: twice as long after each failure.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    /// Nothing has failed yet.
    pub(crate) const fn new() -> Self {
        Self(FIRST)
    }

    /// Something went well.
    pub(crate) const fn reset(&mut self) {
        self.0 = FIRST;
    }

    /// After another failure; with jitter, so that tasks which failed together do not try again together.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.0.mul_f64(0.5 + rand::random::<f64>());
        self.0 = (self.0 * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_until_something_goes_well() {
        let mut backoff = Backoff::new();
        for expected in [1, 2, 4, 8, 16, 30, 30] {
            let pause = backoff.pause();
            let expected = FIRST * expected;
            assert!(
                pause >= expected / 2 && pause <= expected * 3 / 2,
                "{pause:?} of {expected:?}"
            );
        }
        backoff.reset();
        assert!(backoff.pause() <= FIRST * 3 / 2);
    }
}
