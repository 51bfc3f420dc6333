//! How fast requests are served, as far as that is known.

use std::time::Duration;

use tokio::time::Instant;

/// Work in all places for so long makes a sample of the throughput.
const SAMPLE: Duration = Duration::from_secs(1);
/// Ended requests before anything is said.
const KNOWN: u32 = 4;
/// A request is hopeless when it is expected to take this many times what is left: answers may be
/// shorter than expected, and others may leave the queue.
const HOPELESS: u32 = 2;

/// Moving averages of the gateway.
#[derive(Debug)]
pub(super) struct Rate {
    ended: u32,
    /// Tokens per second while all places are taken; none before that was.
    throughput: Option<f64>,
    /// Tokens per second of one request: the fastest of late.
    speed: f64,
    /// How much of what they might take requests took.
    usual: f64,
    since: Instant,
    saturated: bool,
    worked: Duration,
    tokens: f64,
}

/// Too late, whatever happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hopeless {
    /// To the end of the answer.
    pub(super) needed: Duration,
    /// To the deadline.
    pub(super) left: Duration,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ended: 0,
            throughput: None,
            speed: 0.0,
            usual: 1.0,
            since: now,
            saturated: false,
            worked: Duration::ZERO,
            tokens: 0.0,
        }
    }

    /// Tokens came since the last call, or the places in use changed.
    pub(super) fn observe(&mut self, now: Instant, tokens: u32, saturated: bool) {
        if self.saturated {
            self.worked += now.saturating_duration_since(self.since);
            self.tokens += f64::from(tokens);
        }
        self.since = now;
        self.saturated = saturated;
        if self.worked >= SAMPLE {
            let sample = self.tokens / self.worked.as_secs_f64();
            self.throughput =
                Some(self.throughput.map_or(sample, |rate| rate * 0.8 + sample * 0.2));
            (self.worked, self.tokens) = (Duration::ZERO, 0.0);
        }
    }

    /// A request ended that might have taken `cost` tokens and took `used`.
    pub(super) fn ended(&mut self, cost: u32, used: u32, took: Duration) {
        let seconds = took.as_secs_f64();
        if used == 0 || seconds <= 0.0 {
            return;
        }
        self.ended = self.ended.saturating_add(1);
        self.usual = averaged(Some(self.usual), share(used, cost));
        let speed = f64::from(used) / seconds;
        self.speed = speed.max(self.speed * 0.9 + speed * 0.1);
    }

    /// How much of what they might take requests usually take.
    pub(super) fn usual(&self) -> f64 {
        self.usual
    }

    /// How long it takes until all of `tokens` are worked off.
    pub(super) fn time_for(&self, tokens: f64) -> Option<Duration> {
        let rate = self.throughput.filter(|rate| *rate > 0.0)?;
        Duration::try_from_secs_f64(tokens / rate).ok()
    }

    /// Whether an answer of `expected` tokens, after `ahead` of others, is out of reach.
    pub(super) fn judge(
        &self,
        now: Instant,
        deadline: Instant,
        ahead: f64,
        expected: u32,
    ) -> Result<(), Hopeless> {
        if self.ended < KNOWN || self.speed <= 0.0 {
            return Ok(());
        }
        let wait = self.time_for(ahead).unwrap_or_default();
        let serve = Duration::try_from_secs_f64(f64::from(expected) / self.speed);
        let needed = wait.saturating_add(serve.unwrap_or(Duration::MAX));
        let left = deadline.saturating_duration_since(now);
        if needed > left.saturating_mul(HOPELESS) { Err(Hopeless { needed, left }) } else { Ok(()) }
    }
}

/// Of what a request might have taken.
pub(super) fn share(used: u32, cost: u32) -> f64 {
    (f64::from(used) / f64::from(cost.max(1))).min(1.0)
}

/// A moving average that follows within some ten values.
pub(super) fn averaged(average: Option<f64>, value: f64) -> f64 {
    average.map_or(value, |average| average * 0.9 + value * 0.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_refused_before_anything_is_known() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        assert_eq!(rate.judge(now, now, 1e9, 1_000_000), Ok(()));
        for _ in 0..KNOWN {
            rate.ended(100, 100, Duration::from_secs(1));
        }
        let soon = now + Duration::from_secs(1);
        // What waits does not count before it is known how fast that goes.
        assert_eq!(rate.judge(now, soon, 1e9, 200), Ok(()));
        let hopeless = rate.judge(now, soon, 1e9, 201).unwrap_err();
        assert_eq!(hopeless.left, Duration::from_secs(1));
        rate.observe(now, 0, true);
        rate.observe(soon, 400, true);
        let hopeless = rate.judge(now, soon, 1_000.0, 100).unwrap_err();
        assert_eq!(hopeless.needed, Duration::from_millis(3_500));
        assert_eq!(rate.judge(now, soon, 400.0, 100), Ok(()));
    }

    #[test]
    fn idle_time_does_not_count() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        rate.observe(now, 0, true);
        rate.observe(now + Duration::from_secs(2), 200, false);
        rate.observe(now + Duration::from_secs(90), 0, true);
        rate.observe(now + Duration::from_secs(92), 200, true);
        assert_eq!(rate.time_for(100.0), Some(Duration::from_secs(1)));
    }
}
