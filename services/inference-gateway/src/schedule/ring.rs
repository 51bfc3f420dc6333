//! Weighted deficit round robin over agents, in tokens (Shreedhar and Varghese, "Efficient fair
//! queuing using deficit round robin", 1995): each agent has a queue of its own; in its turn it may
//! spend a quantum of tokens times its weight, and what it does not spend is kept for its next turn
//! while it waits. What a request takes is only known at its end: it is charged what is expected,
//! and corrected as tokens come, as counters are in Sheng et al., "Fairness in Serving Large
//! Language Models", 2024.

use std::collections::{HashMap, VecDeque};

use super::{Ticket, Weight};
use crate::chat::AgentId;

/// What an agent of weight 1 may spend in one turn. Less than most requests take, so that turns
/// alternate between agents instead of running several requests of one in a row.
const QUANTUM: f64 = 64.0;

/// A request in its agent's queue.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    ticket: Ticket,
    charge: f64,
}

#[derive(Debug)]
struct Line {
    /// First come, first served, within an agent.
    waiting: VecDeque<Waiting>,
    /// Of all that wait.
    tokens: f64,
    /// What it may still spend; under 0 when its requests took more than expected.
    credit: f64,
    weight: Weight,
    /// Its requests that were served and have not ended.
    running: usize,
}

/// Who is served.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Served {
    pub(super) agent: AgentId,
    pub(super) ticket: Ticket,
    pub(super) charge: f64,
}

/// The agents of one class.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Those with requests waiting or running.
    lines: HashMap<AgentId, Line>,
    /// Agents with requests waiting, the one whose turn it is first.
    turns: VecDeque<AgentId>,
    /// The first of them has had its quantum.
    granted: bool,
}

impl Ring {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// How many requests of an agent wait.
    pub(super) fn waiting_of(&self, agent: &AgentId) -> usize {
        self.lines.get(agent).map_or(0, |line| line.waiting.len())
    }

    pub(super) fn enter(&mut self, agent: &AgentId, weight: Weight, ticket: Ticket, charge: f64) {
        let line = self.lines.entry(agent.clone()).or_insert_with(|| Line {
            waiting: VecDeque::new(),
            tokens: 0.0,
            credit: 0.0,
            weight,
            running: 0,
        });
        line.weight = weight;
        if line.waiting.is_empty() {
            self.turns.push_back(agent.clone());
        }
        line.tokens += charge;
        line.waiting.push_back(Waiting { ticket, charge });
    }

    /// Takes a waiting request out; false when it does not wait.
    pub(super) fn leave(&mut self, agent: &AgentId, ticket: Ticket) -> bool {
        let Some(line) = self.lines.get_mut(agent) else { return false };
        let Some(at) = line.waiting.iter().position(|waiting| waiting.ticket == ticket) else {
            return false;
        };
        if let Some(gone) = line.waiting.remove(at) {
            line.tokens -= gone.charge;
        }
        self.settle(agent);
        true
    }

    /// What the next in turn is charged.
    pub(super) fn next_charge(&mut self) -> Option<f64> {
        self.turn()?;
        let line = self.lines.get(self.turns.front()?)?;
        line.waiting.front().map(|next| next.charge)
    }

    /// Serves the next in turn.
    pub(super) fn serve(&mut self) -> Option<Served> {
        self.turn()?;
        let agent = self.turns.front()?.clone();
        let line = self.lines.get_mut(&agent)?;
        let Waiting { ticket, charge } = line.waiting.pop_front()?;
        line.tokens -= charge;
        line.credit -= charge;
        line.running += 1;
        self.settle(&agent);
        Some(Served { agent, ticket, charge })
    }

    /// A served request took `more` tokens than it was charged (fewer when under 0).
    pub(super) fn correct(&mut self, agent: &AgentId, more: f64) {
        if let Some(line) = self.lines.get_mut(agent) {
            line.credit -= more;
        }
        self.settle(agent);
    }

    /// A served request ended.
    pub(super) fn end(&mut self, agent: &AgentId) {
        if let Some(line) = self.lines.get_mut(agent) {
            line.running = line.running.saturating_sub(1);
        }
        self.settle(agent);
    }

    pub(super) fn weigh(&mut self, weight_of: impl Fn(&AgentId) -> Weight) {
        for (agent, line) in &mut self.lines {
            line.weight = weight_of(agent);
        }
    }

    /// The least that is served before a request that would enter now: what its agent has waiting,
    /// and of each other agent what it is due meanwhile.
    pub(super) fn ahead(&self, agent: &AgentId, weight: Weight, charge: f64) -> f64 {
        let own = self.lines.get(agent).map_or(0.0, |line| line.tokens);
        // Others are due their share of what comes before it; the request itself comes after.
        let due = own + charge - self.lines.get(agent).map_or(0.0, |line| line.credit);
        let others = self.lines.iter().filter(|(other, _)| *other != agent).map(|(_, line)| {
            let share = due * line.weight.get() / weight.get() + line.credit - QUANTUM;
            share.min(line.tokens).max(0.0)
        });
        own + others.sum::<f64>()
    }

    /// Of all that wait.
    pub(super) fn tokens(&self) -> f64 {
        self.turns.iter().filter_map(|agent| self.lines.get(agent)).map(|line| line.tokens).sum()
    }

    /// Passes the turn on until the agent that has it can pay for its first request.
    fn turn(&mut self) -> Option<()> {
        let mut in_vain = 0;
        loop {
            let line = self.lines.get_mut(self.turns.front()?)?;
            let charge = line.waiting.front()?.charge;
            if !self.granted {
                line.credit += QUANTUM * line.weight.get();
                self.granted = true;
            }
            if line.credit >= charge {
                return Some(());
            }
            self.turns.rotate_left(1);
            self.granted = false;
            in_vain += 1;
            if in_vain == self.turns.len() {
                self.skip_rounds();
                in_vain = 0;
            }
        }
    }

    /// Grants what the rounds would in which nobody could pay: with small weights they are many.
    fn skip_rounds(&mut self) {
        let waiting = || self.turns.iter().filter_map(|agent| self.lines.get(agent));
        let rounds = waiting().filter_map(|line| {
            let charge = line.waiting.front()?.charge;
            Some(((charge - line.credit) / (QUANTUM * line.weight.get())).ceil() - 1.0)
        });
        let rounds = rounds.fold(f64::INFINITY, f64::min);
        if !rounds.is_finite() || rounds < 1.0 {
            return;
        }
        for agent in &self.turns {
            if let Some(line) = self.lines.get_mut(agent) {
                line.credit += rounds * QUANTUM * line.weight.get();
            }
        }
    }

    /// An agent with nothing waiting keeps no credit: nobody saves up while away. One with nothing
    /// running either is forgotten.
    fn settle(&mut self, agent: &AgentId) {
        let Some(line) = self.lines.get_mut(agent) else { return };
        if !line.waiting.is_empty() {
            return;
        }
        line.credit = line.credit.min(0.0);
        line.tokens = 0.0;
        if line.running == 0 {
            self.lines.remove(agent);
        }
        self.granted &= self.turns.front() != Some(agent);
        self.turns.retain(|turn| turn != agent);
    }
}
