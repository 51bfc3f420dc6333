//! A circuit breaker: after several failures in a row a service is left alone for a while, so
//! that its callers fail at once instead of each waiting for a connection.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Failures in a row that open the circuit.
const THRESHOLD: u32 = 5;
/// How long it stays open the first time; doubles with each failed probe.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Short enough that a restarted service is found again quickly.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
}

/// Shared by all clones of a channel.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

impl Breaker {
    /// Whether a call may be tried, else how long to wait. When the pause is over one caller is
    /// let through as the probe and the others keep waiting for its outcome.
    pub(crate) fn admit(&self) -> Result<(), Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match state.open_until {
            Some(until) if until > now => Err(until - now),
            Some(_) => {
                state.open_until = Some(now + pause(state.failures));
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(crate) fn succeeded(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    pub(crate) fn failed(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        if state.failures >= THRESHOLD {
            state.open_until = Some(Instant::now() + pause(state.failures));
        }
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(THRESHOLD).min(8);
    (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn opens_after_failures_and_lets_one_probe_through() {
        let breaker = Breaker::default();
        for _ in 0..THRESHOLD {
            assert!(breaker.admit().is_ok());
            breaker.failed();
        }
        assert!(breaker.admit().is_err());
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(breaker.admit().is_ok(), "the probe");
        assert!(breaker.admit().is_err(), "the others wait");
        breaker.succeeded();
        assert!(breaker.admit().is_ok());
    }
}
