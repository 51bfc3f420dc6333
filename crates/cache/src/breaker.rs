//! Whether Redis is asked: not for a moment after it failed, then by one caller, who finds out for
//! all whether it is well again.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// How long Redis is left alone after it failed.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// So many slow answers in a row are as bad as none.
const SLOW_IN_A_ROW: u32 = 16;

#[derive(Debug)]
pub(crate) struct Breaker {
    begun: Instant,
    /// Milliseconds since `begun` until which Redis is left alone; 0 while it is well.
    until: AtomicU64,
    slow_in_a_row: AtomicU32,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), until: AtomicU64::new(0), slow_in_a_row: AtomicU32::new(0) }
    }

    /// Whether Redis may be asked. When the pause is over one caller may, and the others when that
    /// one had its answer; if it never tells, another may after one more pause.
    pub(crate) fn admits(&self) -> bool {
        let until = self.until.load(Ordering::Acquire);
        if until == 0 {
            return true;
        }
        let now = self.millis();
        now >= until && {
            let next = now.saturating_add(pause());
            self.until.compare_exchange(until, next, Ordering::AcqRel, Ordering::Acquire).is_ok()
        }
    }

    /// Whether Redis is left alone.
    pub(crate) fn is_open(&self) -> bool {
        self.until.load(Ordering::Acquire) != 0
    }

    /// Redis answered, quickly or not.
    pub(crate) fn answered(&self, quickly: bool) {
        if quickly {
            self.slow_in_a_row.store(0, Ordering::Relaxed);
            // Every answer passes here: it is only written to when that changes something.
            if self.is_open() {
                self.until.store(0, Ordering::Release);
            }
        } else if self.slow_in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= SLOW_IN_A_ROW {
            self.slow_in_a_row.store(0, Ordering::Relaxed);
            self.failed();
        }
    }

    /// Redis did not answer.
    pub(crate) fn failed(&self) {
        let until = self.millis().saturating_add(pause());
        self.until.store(until, Ordering::Release);
    }

    /// Never 0.
    fn millis(&self) -> u64 {
        millis(self.begun.elapsed()).saturating_add(1)
    }
}

fn pause() -> u64 {
    millis(PAUSE)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_one_caller_tries_and_the_others_wait_for_what_comes_of_it() {
        let breaker = Breaker::new();
        assert!(breaker.admits());
        breaker.failed();
        assert!(breaker.is_open() && !breaker.admits());
        tokio::time::advance(PAUSE).await;
        assert!(breaker.admits(), "the one");
        assert!(!breaker.admits(), "another");
        breaker.failed();
        tokio::time::advance(PAUSE).await;
        assert!(breaker.admits(), "the one");
        breaker.answered(true);
        assert!(!breaker.is_open() && breaker.admits() && breaker.admits());
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_tries_and_never_tells_hinders_nobody_for_long() {
        let breaker = Breaker::new();
        breaker.failed();
        tokio::time::advance(PAUSE).await;
        assert!(breaker.admits());
        tokio::time::advance(PAUSE).await;
        assert!(breaker.admits());
    }

    #[tokio::test(start_paused = true)]
    async fn slowness_counts_when_it_lasts_and_does_not_end_a_pause() {
        let breaker = Breaker::new();
        for _ in 0..4 * SLOW_IN_A_ROW {
            breaker.answered(false);
            breaker.answered(true);
        }
        assert!(breaker.admits());
        for _ in 0..SLOW_IN_A_ROW {
            breaker.answered(false);
        }
        assert!(!breaker.admits());
        tokio::time::advance(PAUSE).await;
        assert!(breaker.admits());
        breaker.answered(false);
        assert!(breaker.is_open());
    }
}
