//! Who is served next. Two classes, each a [`Ring`] of agents: interactive requests come before
//! batch, but of ten tokens batch is due one while both wait: each class has a guaranteed share of
//! the link, as in Floyd and Jacobson, "Link-sharing and resource management models for packet
//! networks", 1995; what one does not need the other has.

use super::{
    Class, Weight,
    ring::{Ring, Served},
};
use crate::chat::AgentId;

/// Of all tokens, while both classes wait.
pub(super) const BATCH_SHARE: f64 = 0.1;

/// One request in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Whose bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// As many wait as may.
    All,
    /// As many of the agent's wait as may of its.
    Agent,
}

/// A request that comes.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Whose.
    pub agent: &'a AgentId,
    /// Of which class.
    pub class: Class,
    /// The tokens it is expected to take; at least 1 counts.
    pub charge: u32,
    /// The agent's.
    pub weight: Weight,
    /// The most requests of the agent that may wait.
    pub max_waiting: usize,
}

impl Entry<'_> {
    fn charge(&self) -> f64 {
        f64::from(self.charge.max(1))
    }
}

/// Who waits, in which order they are served, and how many run.
#[derive(Debug)]
pub struct FairQueue {
    max_running: usize,
    max_waiting: usize,
    running: usize,
    waiting: usize,
    last: u64,
    interactive: Ring,
    batch: Ring,
    /// Tokens that batch is due, because interactive requests went before it.
    due: f64,
}

impl FairQueue {
    /// Nobody yet.
    #[must_use]
    pub fn new(max_running: usize, max_waiting: usize) -> Self {
        Self {
            max_running,
            max_waiting,
            running: 0,
            waiting: 0,
            last: 0,
            interactive: Ring::default(),
            batch: Ring::default(),
            due: 0.0,
        }
    }

    /// How many run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many of an agent's wait.
    #[must_use]
    pub fn waiting_of(&self, agent: &AgentId) -> usize {
        self.interactive.waiting_of(agent) + self.batch.waiting_of(agent)
    }

    /// Whether as many run as may.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.running >= self.max_running
    }

    /// Other bounds. Those over them stay, but nobody is added. Call [`Self::admit`] afterwards.
    pub fn bound(&mut self, max_running: usize, max_waiting: usize) {
        (self.max_running, self.max_waiting) = (max_running, max_waiting);
    }

    /// Other weights.
    pub fn weigh(&mut self, weight_of: impl Fn(&AgentId) -> Weight) {
        self.interactive.weigh(&weight_of);
        self.batch.weigh(&weight_of);
    }

    /// Why one more of the agent's would be refused, `max_waiting` being the agent's bound.
    #[must_use]
    pub fn full(&self, agent: &AgentId, max_waiting: usize) -> Option<Full> {
        if !self.is_busy() {
            None
        } else if self.waiting >= self.max_waiting {
            Some(Full::All)
        } else {
            (self.waiting_of(agent) >= max_waiting).then_some(Full::Agent)
        }
    }

    /// Queues a request. Call [`Self::admit`] afterwards.
    ///
    /// # Errors
    /// When no place is free and a bound is reached.
    pub fn enter(&mut self, entry: Entry<'_>) -> Result<Ticket, Full> {
        if let Some(full) = self.full(entry.agent, entry.max_waiting) {
            return Err(full);
        }
        self.last += 1;
        let ticket = Ticket(self.last);
        let charge = entry.charge();
        self.ring(entry.class).enter(entry.agent, entry.weight, ticket, charge);
        self.waiting += 1;
        Ok(ticket)
    }

    /// Takes a waiting request out; false when it does not wait.
    pub fn leave(&mut self, agent: &AgentId, class: Class, ticket: Ticket) -> bool {
        let left = self.ring(class).leave(agent, ticket);
        self.waiting -= usize::from(left);
        self.forgive();
        left
    }

    /// Gives a free place to the next in turn.
    pub fn admit(&mut self) -> Option<(AgentId, Ticket)> {
        if self.is_busy() {
            return None;
        }
        let both = !self.interactive.is_empty() && !self.batch.is_empty();
        let batch = match self.batch.next_charge() {
            Some(charge) => !both || self.due >= charge,
            None => false,
        };
        let Served { agent, ticket, charge } =
            if batch { self.batch.serve()? } else { self.interactive.serve()? };
        self.owe(if batch { Class::Batch } else { Class::Interactive }, charge, both);
        self.waiting -= 1;
        self.running += 1;
        self.forgive();
        Some((agent, ticket))
    }

    /// A running request takes `more` tokens than it was charged so far (fewer when under 0).
    pub fn correct(&mut self, agent: &AgentId, class: Class, more: f64) {
        self.ring(class).correct(agent, more);
        let both = !self.interactive.is_empty() && !self.batch.is_empty();
        self.owe(class, more, both);
    }

    /// A running request ended.
    pub fn release(&mut self, agent: &AgentId, class: Class) {
        self.running = self.running.saturating_sub(1);
        self.ring(class).end(agent);
    }

    /// The least tokens of waiting requests that are served before one that would enter now.
    #[must_use]
    pub fn ahead(&self, entry: Entry<'_>) -> f64 {
        let Entry { agent, class, weight, .. } = entry;
        match class {
            // Batch's share of it is left out: it may be served just before batch's turn.
            Class::Interactive => self.interactive.ahead(agent, weight, entry.charge()),
            Class::Batch => {
                let own = self.batch.ahead(agent, weight, entry.charge());
                let due = (own + entry.charge() - self.due).max(0.0);
                own + (due * (1.0 - BATCH_SHARE) / BATCH_SHARE).min(self.interactive.tokens())
            }
        }
    }

    fn ring(&mut self, class: Class) -> &mut Ring {
        match class {
            Class::Interactive => &mut self.interactive,
            Class::Batch => &mut self.batch,
        }
    }

    /// Interactive tokens make batch due its share, those of batch pay for it.
    fn owe(&mut self, class: Class, tokens: f64, both: bool) {
        match class {
            Class::Interactive if both => self.due += tokens * BATCH_SHARE / (1.0 - BATCH_SHARE),
            Class::Batch if both => self.due -= tokens,
            _ => {}
        }
    }

    /// Batch is due nothing when nothing of it waits, and owes nothing when it is alone.
    fn forgive(&mut self) {
        if self.batch.is_empty() {
            self.due = self.due.min(0.0);
        }
        if self.interactive.is_empty() {
            self.due = self.due.max(0.0);
        }
    }
}
