//! Requests wait here for a place to decode in.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::{
    AgentLoad, Budget, Change, Class, Entry, FairQueue, Full, Impossible, Limits, Place, Spent,
    Ticket,
    budget::Accounts,
    ledger::Ledger,
    place::{Step, Waiter},
    rate::{Rate, averaged, share},
};
use crate::{
    chat::{AgentId, RunId},
    error::Error,
};

/// Callers are told to come back no sooner and no later.
const SOON: Duration = Duration::from_millis(250);
const LATE: Duration = Duration::from_secs(30);

/// Shares the places between agents; clones share them, too.
#[derive(Debug, Clone)]
pub struct Scheduler {
    inner: Arc<Mutex<Inner>>,
    places: usize,
}

#[derive(Debug)]
struct Inner {
    queue: FairQueue,
    limits: Limits,
    ledger: Ledger,
    accounts: Accounts,
    rate: Rate,
    waiters: HashMap<Ticket, oneshot::Sender<()>>,
    peak: usize,
    /// A moving average of how long a request keeps its place.
    usual_run: Duration,
}

/// What a place is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceRequest {
    /// Who is served.
    pub agent: AgentId,
    /// What it belongs to.
    pub run: Option<RunId>,
    /// Whether somebody waits for it.
    pub class: Class,
    /// The most tokens it may take, prompt and answer.
    pub cost: u32,
    /// Its answer is of no use after that.
    pub deadline: Option<Instant>,
    /// Of all requests of the run together, unless an earlier one said another.
    pub run_budget: Budget,
}

impl PlaceRequest {
    /// Interactive, of no run, at leisure.
    #[must_use]
    pub fn new(agent: AgentId, cost: u32) -> Self {
        Self {
            agent,
            run: None,
            class: Class::Interactive,
            cost,
            deadline: None,
            run_budget: Budget::default(),
        }
    }
}

/// How busy the gateway is.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Requests decoding.
    pub running: usize,
    /// Requests waiting for a place.
    pub waiting: usize,
    /// The most that may decode at once.
    pub max_running: usize,
    /// The most that ever did.
    pub peak_running: usize,
    /// The most that may wait.
    pub max_waiting: usize,
    /// By agent.
    pub agents: Vec<(AgentId, AgentLoad)>,
}

impl Scheduler {
    /// All places free. There are never more than `limits` begins with.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let (places, now) = (limits.max_running, Instant::now());
        let inner = Inner {
            queue: FairQueue::new(limits.max_running, limits.max_waiting),
            limits,
            ledger: Ledger::default(),
            accounts: Accounts::new(now),
            rate: Rate::new(now),
            waiters: HashMap::new(),
            peak: 0,
            usual_run: Duration::from_secs(5),
        };
        Self { inner: Arc::new(Mutex::new(inner)), places }
    }

    /// Waits for a place. A waiter that is dropped leaves the queue.
    ///
    /// # Errors
    /// When as many wait as may, a budget is spent, or the answer would come after its deadline.
    pub async fn place(&self, request: PlaceRequest) -> Result<Place, Error> {
        let (waiter, admitted) = self.enter(request)?;
        // The sender is kept until it is used, or the waiter has left: this cannot fail.
        let _ = admitted.await;
        let place = waiter.served();
        let Some(mut place) = place else { return Err(self.lock().full(None)) };
        // Others of its agent may have spent the budget while it waited.
        place.spend(0, 0)?;
        Ok(place)
    }

    /// Refuses early what would be refused anyway. The cost need not be known.
    ///
    /// # Errors
    /// When as many wait as may, or a budget is spent.
    pub fn check(&self, request: &PlaceRequest) -> Result<(), Error> {
        let mut inner = self.lock();
        let most = inner.limits.waiting_of(&request.agent);
        if let Some(full) = inner.queue.full(&request.agent, most) {
            return Err(inner.refusal(full, &request.agent));
        }
        Ok(inner.check(Instant::now(), request)?)
    }

    /// How busy it is.
    #[must_use]
    pub fn load(&self) -> Load {
        let inner = self.lock();
        Load {
            running: inner.queue.running(),
            waiting: inner.queue.waiting(),
            max_running: inner.limits.max_running,
            peak_running: inner.peak,
            max_waiting: inner.limits.max_waiting,
            agents: inner.ledger.iter().map(|(agent, load)| (agent.clone(), *load)).collect(),
        }
    }

    /// Those in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.lock().limits.clone()
    }

    /// Changes limits, for those that wait, too. Requests over a lower bound are not stopped.
    ///
    /// # Errors
    /// When the change is impossible; then nothing is changed.
    pub fn set_limits(&self, change: Change) -> Result<Limits, Impossible> {
        let mut inner = self.lock();
        let limits = inner.limits.with(change, self.places)?;
        inner.queue.bound(limits.max_running, limits.max_waiting);
        inner.queue.weigh(|agent| limits.of(agent).weight);
        inner.accounts.know(|agent| limits.agents.contains_key(agent));
        inner.limits = limits.clone();
        inner.admit(Instant::now());
        Ok(limits)
    }

    fn enter(&self, request: PlaceRequest) -> Result<(Waiter, oneshot::Receiver<()>), Error> {
        let now = Instant::now();
        let mut inner = self.lock();
        inner.check(now, &request)?;
        let charge = inner.expected(&request);
        let (agent, class) = (&request.agent, request.class);
        let weight = inner.limits.of(agent).weight;
        let max_waiting = inner.limits.waiting_of(agent);
        let entry = Entry { agent, class, charge, weight, max_waiting };
        if let Some(full) = inner.queue.full(agent, max_waiting) {
            return Err(inner.refusal(full, agent));
        }
        if let Some(deadline) = request.deadline {
            inner.judge(now, deadline, entry)?;
        }
        let entered = inner.queue.enter(entry);
        let ticket = entered.map_err(|full| inner.refusal(full, agent))?;
        let (serve, served) = oneshot::channel();
        inner.waiters.insert(ticket, serve);
        inner.ledger.update(agent, |load| load.waiting += 1);
        let is_known = inner.limits.agents.contains_key(agent);
        inner.accounts.open(agent, is_known, request.run.as_ref(), request.run_budget);
        inner.admit(now);
        drop(inner);
        Ok((Waiter::new(self.clone(), request, ticket, charge, now), served))
    }

    pub(super) fn leave(&self, request: &PlaceRequest, ticket: Ticket, charge: u32) {
        let (now, mut inner) = (Instant::now(), self.lock());
        inner.waiters.remove(&ticket);
        if inner.queue.leave(&request.agent, request.class, ticket) {
            inner.ledger.update(&request.agent, |load| {
                load.waiting = load.waiting.saturating_sub(1);
            });
            inner.accounts.close(&request.agent, request.run.as_ref());
        } else {
            // Served between the last poll and the drop.
            inner.release(now, request, charge, (0, 0));
        }
    }

    pub(super) fn spend(
        &self,
        now: Instant,
        request: &PlaceRequest,
        step: Step,
    ) -> Result<(), Spent> {
        let mut inner = self.lock();
        inner.charge(now, request, step);
        inner.check(now, request)
    }

    pub(super) fn end(
        &self,
        now: Instant,
        request: &PlaceRequest,
        step: Step,
        charged: u32,
        used: (u32, u32),
        took: Duration,
    ) {
        let mut inner = self.lock();
        inner.charge(now, request, step);
        inner.usual_run = (inner.usual_run * 7 + took) / 8;
        inner.rate.ended(request.cost, used.0.saturating_add(used.1), took);
        inner.release(now, request, charged, used);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Serves as many as there are places.
    fn admit(&mut self, now: Instant) {
        while let Some((agent, ticket)) = self.queue.admit() {
            self.peak = self.peak.max(self.queue.running());
            self.ledger.update(&agent, |load| {
                load.waiting = load.waiting.saturating_sub(1);
                load.running += 1;
            });
            if let Some(waiter) = self.waiters.remove(&ticket) {
                // Who is gone gives the place back itself, when it is dropped.
                let _ = waiter.send(());
            }
        }
        self.rate.observe(now, 0, self.queue.is_busy());
    }

    fn check(&mut self, now: Instant, request: &PlaceRequest) -> Result<(), Spent> {
        let hourly = self.limits.of(&request.agent).hourly;
        let run = request.run.as_ref();
        self.accounts.check(now, &request.agent, hourly, run, request.run_budget)
    }

    fn charge(&mut self, now: Instant, request: &PlaceRequest, step: Step) {
        let (agent, run) = (&request.agent, request.run.as_ref());
        self.accounts.charge(now, agent, run, step.tokens.into(), step.time);
        self.rate.observe(now, step.tokens, self.queue.is_busy());
        if step.more > 0 {
            self.queue.correct(agent, request.class, step.more.into());
        }
    }

    fn release(&mut self, now: Instant, request: &PlaceRequest, charged: u32, used: (u32, u32)) {
        let (agent, total) = (&request.agent, used.0.saturating_add(used.1));
        self.queue.correct(agent, request.class, f64::from(total) - f64::from(charged));
        self.queue.release(agent, request.class);
        self.accounts.close(agent, request.run.as_ref());
        self.ledger.update(agent, |load| {
            load.running = load.running.saturating_sub(1);
            load.finished += 1;
            load.prompt_tokens += u64::from(used.0);
            load.completion_tokens += u64::from(used.1);
            if total > 0 {
                load.usual = Some(averaged(load.usual, share(total, request.cost)));
            }
        });
        self.admit(now);
    }

    /// The tokens a request is likely to take.
    fn expected(&self, request: &PlaceRequest) -> u32 {
        let usual = self.ledger.usual(&request.agent).unwrap_or_else(|| self.rate.usual());
        // A part of a u32 is one.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to cost")]
        let expected = (f64::from(request.cost) * usual.clamp(0.0, 1.0)) as u32;
        expected.max(1)
    }

    fn judge(&self, now: Instant, deadline: Instant, entry: Entry<'_>) -> Result<(), Error> {
        let ahead = if self.queue.is_busy() { self.queue.ahead(entry) } else { 0.0 };
        self.rate.judge(now, deadline, ahead, entry.charge).map_err(|hopeless| {
            let late = hopeless.needed.saturating_sub(hopeless.left);
            Error::DeadlineTooShort {
                needed: hopeless.needed,
                left: hopeless.left,
                retry_after: late.clamp(SOON, LATE),
            }
        })
    }

    fn refusal(&self, full: Full, agent: &AgentId) -> Error {
        self.full(match full {
            Full::All => None,
            Full::Agent => Some(agent),
        })
    }

    fn full(&self, agent: Option<&AgentId>) -> Error {
        let places = u32::try_from(self.limits.max_running).unwrap_or(u32::MAX).max(1);
        let next = self.usual_run / places;
        let waiting = agent.map_or(self.queue.waiting(), |agent| self.queue.waiting_of(agent));
        Error::QueueFull { waiting, agent: agent.cloned(), retry_after: next.clamp(SOON, LATE) }
    }
}
