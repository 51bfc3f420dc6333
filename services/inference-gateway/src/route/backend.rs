//! A back end as routing sees it: how busy, how well.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use super::{Breaker, Resting, choice::Load};

/// What runs models: this process, or a server.
#[derive(Debug)]
pub struct Backend {
    name: String,
    max_running: u16,
    in_flight: AtomicUsize,
    turns: Semaphore,
    breaker: Mutex<Breaker>,
}

impl Backend {
    /// One that is well and idle.
    #[must_use]
    pub fn new(name: impl Into<String>, max_running: u16) -> Self {
        let max_running = max_running.max(1);
        Self {
            name: name.into(),
            max_running,
            in_flight: AtomicUsize::new(0),
            turns: Semaphore::new(usize::from(max_running)),
            breaker: Mutex::default(),
        }
    }

    /// "embedded" or a server's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts a request from now on until what is returned is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// How busy and how well it is.
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            well: self.check().is_ok(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            max_running: self.max_running,
        }
    }

    /// Waits until fewer than the most run; none when that takes too long.
    pub async fn turn(&self, until: Instant) -> Option<SemaphorePermit<'_>> {
        timeout_at(until, self.turns.acquire()).await.ok()?.ok()
    }

    /// Whether requests pass.
    ///
    /// # Errors
    /// When it is left alone for a while.
    pub fn check(&self) -> Result<(), Resting> {
        self.breaker().check(Instant::now())
    }

    /// Lets a request pass, which tells how it went.
    ///
    /// # Errors
    /// When it is left alone for a while.
    pub fn admit(self: &Arc<Self>) -> Result<Trial, Resting> {
        let trying = self.breaker().admit(Instant::now())?;
        Ok(Trial { backend: Arc::clone(self), trying })
    }

    /// A probe was answered or not. `jitter` is 0 to 1.
    pub fn probed(&self, outcome: Result<(), String>, jitter: f64) {
        let now = Instant::now();
        match outcome {
            Ok(()) => self.breaker().answered(now),
            Err(problem) => self.breaker().failed(now, problem, jitter),
        }
    }

    /// When the next probe is due, if one is every `interval`: while it is left alone, at the end
    /// of that.
    #[must_use]
    pub fn next_probe(&self, interval: Duration) -> Instant {
        let regular = Instant::now() + interval;
        self.breaker().until().map_or(regular, |until| until.min(regular))
    }

    /// It is not left alone.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.breaker().is_up()
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts as a request of a back end.
#[derive(Debug)]
pub struct InFlight(Arc<Backend>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that passed.
#[derive(Debug)]
pub struct Trial {
    backend: Arc<Backend>,
    /// The others wait for what becomes of it.
    trying: bool,
}

impl Trial {
    /// The back end serves it.
    pub fn succeeded(&mut self) {
        self.trying = false;
        self.backend.breaker().succeeded();
    }

    /// The back end failed. `jitter` is 0 to 1.
    pub fn failed(&mut self, problem: String, jitter: f64) {
        self.trying = false;
        self.backend.breaker().failed(Instant::now(), problem, jitter);
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if self.trying {
            self.backend.breaker().abandoned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_trial_lets_the_next_one_try() {
        let backend = Arc::new(Backend::new("x", 1));
        for _ in 0..3 {
            backend.admit().unwrap().failed("away".to_owned(), 0.0);
        }
        assert!(backend.admit().is_err() && !backend.load().well && !backend.is_up());
        tokio::time::advance(Duration::from_secs(1)).await;
        let trial = backend.admit().unwrap();
        assert!(backend.admit().is_err());
        drop(trial);
        backend.admit().unwrap().succeeded();
        assert!(backend.admit().is_ok() && backend.load().well);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_most_run() {
        let backend = Arc::new(Backend::new("x", 1));
        let soon = || Instant::now() + Duration::from_secs(1);
        let turn = backend.turn(soon()).await;
        assert!(turn.is_some() && backend.turn(soon()).await.is_none());
        drop(turn);
        assert!(backend.turn(soon()).await.is_some());
        let entered = backend.enter();
        assert_eq!(backend.load().in_flight, 1);
        drop(entered);
        assert_eq!(backend.load().in_flight, 0);
    }
}
