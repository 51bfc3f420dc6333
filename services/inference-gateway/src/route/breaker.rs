//! A circuit breaker: a back end that failed several times in a row is left alone for a while.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that open it.
const THRESHOLD: u32 = 3;
/// How long it stays open the first time; doubles with each failure after that.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Closed (requests pass), open (none does) or half-open (one does, to see).
#[derive(Debug, Default)]
pub struct Breaker {
    state: State,
    failures: u32,
    problem: String,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    HalfOpen {
        /// One is on its way, and the others wait for what becomes of it.
        trying: bool,
    },
}

/// Why a request does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resting {
    /// In a row.
    pub failures: u32,
    /// The last one.
    pub problem: String,
    /// Until the next may try; none while one is trying.
    pub left: Option<Duration>,
}

impl Breaker {
    /// Whether a request may pass now.
    ///
    /// # Errors
    /// When none may.
    pub fn check(&self, now: Instant) -> Result<(), Resting> {
        let left = match self.state {
            State::Open { until } if until > now => Some(until - now),
            State::HalfOpen { trying: true } => None,
            State::Closed | State::Open { .. } | State::HalfOpen { trying: false } => {
                return Ok(());
            }
        };
        Err(Resting { failures: self.failures, problem: self.problem.clone(), left })
    }

    /// Lets a request pass; true when it is the one that tries whether the back end is well.
    ///
    /// # Errors
    /// When none may.
    pub fn admit(&mut self, now: Instant) -> Result<bool, Resting> {
        self.check(now)?;
        if matches!(self.state, State::Closed) {
            return Ok(false);
        }
        self.state = State::HalfOpen { trying: true };
        Ok(true)
    }

    /// A request was served.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A request or a probe failed. `jitter`, 0 to 1, keeps several from trying at the same time.
    pub fn failed(&mut self, now: Instant, problem: String, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        self.problem = problem;
        if self.failures >= THRESHOLD {
            self.state = State::Open { until: now + pause(self.failures, jitter) };
        }
    }

    /// The request that tried came to no end that says anything, for example because it was
    /// cancelled: the next may try.
    pub fn abandoned(&mut self) {
        if let State::HalfOpen { trying } = &mut self.state {
            *trying = false;
        }
    }

    /// A probe was answered. What answers probes may fail requests all the same: it closes nothing,
    /// but lets a request try when it is time.
    pub fn answered(&mut self, now: Instant) {
        if let State::Open { until } = self.state
            && until <= now
        {
            self.state = State::HalfOpen { trying: false };
        }
    }

    /// It is not open.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !matches!(self.state, State::Open { .. })
    }

    /// When it is time for the next probe of an open one.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            State::Closed | State::HalfOpen { .. } => None,
        }
    }
}

/// Between half and the whole of what the failures make.
fn pause(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(THRESHOLD).min(8);
    let whole = (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
    whole.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for n in 0..THRESHOLD {
            assert_eq!(breaker.admit(now), Ok(false), "{n}");
            breaker.failed(now, format!("failure {n}"), 1.0);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_tries() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(!breaker.is_up());
        let resting = breaker.admit(now).unwrap_err();
        assert_eq!((resting.failures, resting.problem.as_str()), (3, "failure 2"));
        assert_eq!(resting.left, Some(FIRST_PAUSE));
        let later = now + FIRST_PAUSE;
        assert_eq!(breaker.admit(later), Ok(true));
        assert_eq!(breaker.check(later).unwrap_err().left, None, "one tries already");
        breaker.abandoned();
        assert_eq!(breaker.admit(later), Ok(true), "the next one tries");
        breaker.succeeded();
        assert!(breaker.is_up());
        assert_eq!(breaker.admit(later), Ok(false));
    }

    #[test]
    fn success_between_failures_keeps_it_closed() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            breaker.failed(now, String::new(), 0.0);
            breaker.failed(now, String::new(), 0.0);
            breaker.succeeded();
        }
        assert!(breaker.is_up());
    }

    #[test]
    fn pauses_double_up_to_the_longest_with_jitter() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        let mut last = FIRST_PAUSE;
        for _ in 0..12 {
            let until = breaker.until().unwrap();
            assert!(until - now <= LONGEST_PAUSE && until - now >= last.min(LONGEST_PAUSE));
            last = until - now;
            now = until;
            assert_eq!(breaker.admit(now), Ok(true));
            breaker.failed(now, String::new(), 1.0);
        }
        assert_eq!(breaker.until().unwrap() - now, LONGEST_PAUSE);
        assert_eq!(pause(THRESHOLD, 0.0), FIRST_PAUSE / 2);
    }

    #[test]
    fn a_probe_lets_one_try_when_it_is_time_but_closes_nothing() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.answered(now);
        assert!(!breaker.is_up(), "not yet");
        breaker.answered(now + FIRST_PAUSE);
        assert!(breaker.is_up());
        assert_eq!(breaker.admit(now + FIRST_PAUSE), Ok(true));
        let mut closed = Breaker::default();
        closed.failed(now, String::new(), 0.0);
        closed.failed(now, String::new(), 0.0);
        closed.answered(now);
        closed.failed(now, String::new(), 0.0);
        assert!(!closed.is_up(), "answered probes do not hide requests that fail");
    }
}
