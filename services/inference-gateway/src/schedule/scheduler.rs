//! Requests wait here for a place to decode in.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{AgentLoad, FairQueue, Ledger, Ticket};
use crate::{chat::AgentId, error::Error};

/// Shares the places between agents; clones share them, too.
#[derive(Debug, Clone)]
pub struct Scheduler {
    inner: Arc<Mutex<Inner>>,
    max_running: usize,
    max_waiting: usize,
}

#[derive(Debug)]
struct Inner {
    queue: FairQueue,
    ledger: Ledger,
    waiters: HashMap<Ticket, oneshot::Sender<()>>,
    peak: usize,
    /// A moving average of how long a request keeps its place.
    usual_run: Duration,
}

/// A place to decode in; dropping it gives it to the next.
#[derive(Debug)]
pub struct Place {
    scheduler: Scheduler,
    agent: AgentId,
    cost: u32,
    used: (u32, u32),
    since: Instant,
    waited: Duration,
}

/// How long a request waited for its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited(pub Duration);

/// How busy the gateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// All places free.
    #[must_use]
    pub fn new(max_running: usize, max_waiting: usize) -> Self {
        let inner = Inner {
            queue: FairQueue::new(max_running, max_waiting),
            ledger: Ledger::default(),
            waiters: HashMap::new(),
            peak: 0,
            usual_run: Duration::from_secs(5),
        };
        Self { inner: Arc::new(Mutex::new(inner)), max_running, max_waiting }
    }

    /// Waits for a place for a request that takes at most `cost` tokens. A waiter that is dropped
    /// leaves the queue.
    ///
    /// # Errors
    /// When as many wait as may.
    pub async fn place(&self, agent: &AgentId, cost: u32) -> Result<Place, Error> {
        let begun = Instant::now();
        let (mut waiter, admitted) = self.enter(agent, cost)?;
        // The sender is kept until it is used, or the waiter has left: this cannot fail.
        let _ = admitted.await;
        waiter.served = true;
        Ok(Place {
            scheduler: self.clone(),
            agent: agent.clone(),
            cost,
            used: (0, 0),
            since: Instant::now(),
            waited: begun.elapsed(),
        })
    }

    /// Refuses early what would be refused anyway.
    ///
    /// # Errors
    /// When as many wait as may.
    pub fn check_room(&self) -> Result<(), Error> {
        let inner = self.lock();
        if inner.queue.is_full() { Err(self.full(&inner)) } else { Ok(()) }
    }

    /// How busy it is.
    #[must_use]
    pub fn load(&self) -> Load {
        let inner = self.lock();
        Load {
            running: inner.queue.running(),
            waiting: inner.queue.waiting(),
            max_running: self.max_running,
            peak_running: inner.peak,
            max_waiting: self.max_waiting,
            agents: inner.ledger.iter().map(|(agent, load)| (agent.clone(), *load)).collect(),
        }
    }

    fn enter(&self, agent: &AgentId, cost: u32) -> Result<(Waiter, oneshot::Receiver<()>), Error> {
        let mut inner = self.lock();
        let Ok(ticket) = inner.queue.enter(agent, cost) else { return Err(self.full(&inner)) };
        let (serve, served) = oneshot::channel();
        inner.waiters.insert(ticket, serve);
        inner.ledger.update(agent, |load| load.waiting += 1);
        inner.admit();
        let waiter =
            Waiter { scheduler: self.clone(), agent: agent.clone(), ticket, cost, served: false };
        Ok((waiter, served))
    }

    fn full(&self, inner: &Inner) -> Error {
        let places = u32::try_from(self.max_running).unwrap_or(u32::MAX).max(1);
        let next = inner.usual_run / places;
        let retry_after = next.clamp(Duration::from_millis(250), Duration::from_secs(30));
        Error::QueueFull { waiting: inner.queue.waiting(), retry_after }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Serves as many as there are places.
    fn admit(&mut self) {
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
    }

    fn release(&mut self, agent: &AgentId, cost: u32, used: (u32, u32)) {
        self.queue.release(agent, cost, used.0.saturating_add(used.1));
        self.ledger.update(agent, |load| {
            load.running = load.running.saturating_sub(1);
            load.finished += 1;
            load.prompt_tokens += u64::from(used.0);
            load.completion_tokens += u64::from(used.1);
        });
        self.admit();
    }
}

/// Someone in the queue; leaves it when dropped before being served.
#[derive(Debug)]
struct Waiter {
    scheduler: Scheduler,
    agent: AgentId,
    ticket: Ticket,
    cost: u32,
    served: bool,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.served {
            return;
        }
        let mut inner = self.scheduler.lock();
        inner.waiters.remove(&self.ticket);
        if inner.queue.leave(&self.agent, self.ticket) {
            inner.ledger.update(&self.agent, |load| load.waiting = load.waiting.saturating_sub(1));
        } else {
            // Served between the last poll and the drop.
            inner.release(&self.agent, self.cost, (0, 0));
        }
    }
}

impl Place {
    /// Notes what the request has taken so far.
    pub fn used(&mut self, prompt_tokens: u32, completion_tokens: u32) {
        self.used = (prompt_tokens, completion_tokens);
    }

    /// Since when the request has had it.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// How long it waited.
    #[must_use]
    pub fn waited(&self) -> Waited {
        Waited(self.waited)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.scheduler.lock();
        inner.usual_run = (inner.usual_run * 7 + self.since.elapsed()) / 8;
        inner.release(&self.agent, self.cost, self.used);
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::join_all};

    use super::*;

    #[tokio::test]
    async fn a_place_given_back_goes_to_who_waits() {
        let agent = AgentId::new("a");
        let scheduler = Scheduler::new(1, 1);
        let mut first = scheduler.place(&agent, 10).await.unwrap();
        let mut second = Box::pin(scheduler.place(&agent, 10));
        assert!(second.as_mut().now_or_never().is_none());
        let refused = scheduler.place(&agent, 10).await.unwrap_err();
        assert!(matches!(refused, Error::QueueFull { waiting: 1, .. }), "{refused}");
        first.used(3, 4);
        drop(first);
        let second = second.await.unwrap();
        let load = scheduler.load();
        assert_eq!((load.running, load.waiting, load.peak_running), (1, 0, 1));
        drop(second);
        let (_, load) = scheduler.load().agents[0];
        assert_eq!((load.finished, load.prompt_tokens, load.completion_tokens), (2, 3, 4));
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_the_queue_at_every_moment() {
        let agent = AgentId::new("a");
        let scheduler = Scheduler::new(1, 2);
        let first = scheduler.place(&agent, 10).await.unwrap();
        let mut waits = Box::pin(scheduler.place(&agent, 10));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(waits);
        assert_eq!(scheduler.load().waiting, 0);
        // Served, but gone before it noticed.
        let mut served = Box::pin(scheduler.place(&agent, 10));
        assert!(served.as_mut().now_or_never().is_none());
        drop(first);
        assert_eq!(scheduler.load().running, 1);
        drop(served);
        let load = scheduler.load();
        assert_eq!((load.running, load.waiting), (0, 0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_tasks_never_run_more_than_there_are_places() {
        let scheduler = Scheduler::new(3, 1_000);
        let tasks = (0..200).map(|n| {
            let scheduler = scheduler.clone();
            tokio::spawn(async move {
                let agent = AgentId(format!("{}", n % 7));
                let place = scheduler.place(&agent, 50 + n).await.unwrap();
                assert!(scheduler.load().running <= 3);
                tokio::time::sleep(Duration::from_micros(200)).await;
                drop(place);
            })
        });
        join_all(tasks).await.into_iter().for_each(|ended| ended.unwrap());
        let load = scheduler.load();
        assert_eq!((load.running, load.waiting, load.peak_running), (0, 0, 3));
        assert_eq!(load.agents.iter().map(|(_, load)| load.finished).sum::<u64>(), 200);
    }
}
