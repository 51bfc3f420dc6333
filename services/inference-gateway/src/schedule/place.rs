//! A place to decode in, and the waiting for it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{PlaceRequest, Scheduler, Spent, Ticket};

/// A place to decode in; dropping it gives it to the next.
#[derive(Debug)]
pub struct Place {
    held: Arc<Mutex<Held>>,
    used: Arc<Meter>,
    since: Instant,
    waited: Duration,
}

/// What the handles to one place share.
#[derive(Debug)]
struct Held {
    scheduler: Scheduler,
    request: PlaceRequest,
    /// What the fair queue has charged for it.
    charged: u32,
    used: Arc<Meter>,
    /// The most that was ever told of.
    told: u32,
    since: Instant,
    /// Until when its time is charged.
    timed: Instant,
}

/// How long a request waited for its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited(pub Duration);

/// What a request has taken so far, also once its place is given back.
#[derive(Debug, Default)]
pub struct Meter {
    prompt_tokens: AtomicU32,
    completion_tokens: AtomicU32,
}

impl Meter {
    /// Of its prompt and of its answer.
    #[must_use]
    pub fn tokens(&self) -> (u32, u32) {
        (self.prompt_tokens.load(Ordering::Relaxed), self.completion_tokens.load(Ordering::Relaxed))
    }

    fn set(&self, prompt_tokens: u32, completion_tokens: u32) {
        self.prompt_tokens.store(prompt_tokens, Ordering::Relaxed);
        self.completion_tokens.store(completion_tokens, Ordering::Relaxed);
    }
}

/// What a request took since that was last told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) tokens: u32,
    pub(super) time: Duration,
    /// Beyond what the fair queue has charged.
    pub(super) more: u32,
}

impl Place {
    /// Another handle to the same place, which is free when both are dropped: for one who may have
    /// to begin again somewhere else.
    #[must_use]
    pub fn keep(&self) -> Self {
        let (held, used) = (Arc::clone(&self.held), Arc::clone(&self.used));
        Self { held, used, since: self.since, waited: self.waited }
    }

    /// Notes what the request has taken so far, of its prompt and of its answer: to be called
    /// whenever that grows.
    ///
    /// # Errors
    /// When a budget is spent: the answer is to end here, with `Finish::Budget`.
    pub fn spend(&mut self, prompt_tokens: u32, completion_tokens: u32) -> Result<(), Spent> {
        let now = Instant::now();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let step = held.step(now, prompt_tokens, completion_tokens);
        held.scheduler.spend(now, &held.request, step)
    }

    /// Since when the request has had it.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// What the request takes, for those who do not hold the place.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.used)
    }

    /// How long it waited.
    #[must_use]
    pub fn waited(&self) -> Waited {
        Waited(self.waited)
    }
}

impl Held {
    fn step(&mut self, now: Instant, prompt_tokens: u32, completion_tokens: u32) -> Step {
        self.used.set(prompt_tokens, completion_tokens);
        // A back end may find that it counted too much; what a budget was charged stays charged.
        let told = prompt_tokens.saturating_add(completion_tokens).max(self.told);
        let tokens = told - self.told;
        self.told = told;
        let more = told.saturating_sub(self.charged);
        self.charged += more;
        let time = now.saturating_duration_since(self.timed);
        self.timed = now;
        Step { tokens, time, more }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let now = Instant::now();
        let used = self.used.tokens();
        let step = self.step(now, used.0, used.1);
        let took = now.saturating_duration_since(self.since);
        self.scheduler.end(now, &self.request, step, self.charged, used, took);
    }
}

/// Someone in the queue; leaves it when dropped before being served.
#[derive(Debug)]
pub(super) struct Waiter {
    scheduler: Scheduler,
    /// None once it is served.
    request: Option<PlaceRequest>,
    ticket: Ticket,
    charge: u32,
    since: Instant,
}

impl Waiter {
    pub(super) fn new(
        scheduler: Scheduler,
        request: PlaceRequest,
        ticket: Ticket,
        charge: u32,
        since: Instant,
    ) -> Self {
        Self { scheduler, request: Some(request), ticket, charge, since }
    }

    /// It is served. None only when it was before.
    pub(super) fn served(mut self) -> Option<Place> {
        let now = Instant::now();
        let used = Arc::<Meter>::default();
        let held = Held {
            scheduler: self.scheduler.clone(),
            request: self.request.take()?,
            charged: self.charge,
            used: Arc::clone(&used),
            told: 0,
            since: now,
            timed: now,
        };
        let waited = now.saturating_duration_since(self.since);
        Some(Place { held: Arc::new(Mutex::new(held)), used, since: now, waited })
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(request) = &self.request {
            self.scheduler.leave(request, self.ticket, self.charge);
        }
    }
}
