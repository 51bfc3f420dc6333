//! Who may have how much.

use std::{collections::BTreeMap, time::Duration};

use crate::chat::AgentId;

/// Agents with limits of their own, at most.
pub const MOST_AGENTS: usize = 1_000;
/// The least weight: under it an agent would be as good as starved.
pub const LEAST_WEIGHT: f64 = 0.001;
/// The greatest weight.
pub const MOST_WEIGHT: f64 = 1_000.0;

/// Whose waiting matters more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Somebody waits for the answer.
    #[default]
    Interactive,
    /// Nobody does.
    Batch,
}

/// What may be used; absent means without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Of prompts and answers.
    pub tokens: Option<u64>,
    /// From getting a place to the last token, summed over requests.
    pub run_time: Option<Duration>,
}

/// A share of the tokens, relative to that of others: [`LEAST_WEIGHT`] to [`MOST_WEIGHT`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weight(f64);

impl Weight {
    /// None when it is out of bounds.
    #[must_use]
    pub fn new(weight: f64) -> Option<Self> {
        (LEAST_WEIGHT..=MOST_WEIGHT).contains(&weight).then_some(Self(weight))
    }

    /// Its value.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1.0)
    }
}

/// An agent's share and bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AgentLimits {
    /// Its share beside others that wait.
    pub weight: Weight,
    /// Its requests that may wait; absent means as many as may wait of all.
    pub max_waiting: Option<usize>,
    /// In any hour.
    pub hourly: Budget,
}

/// All limits in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// The most that may decode at once.
    pub max_running: usize,
    /// The most that may wait, of all agents together.
    pub max_waiting: usize,
    /// Of agents without limits of their own.
    pub default: AgentLimits,
    /// Of the others; at most [`MOST_AGENTS`].
    pub agents: BTreeMap<AgentId, AgentLimits>,
}

impl Limits {
    /// An agent's.
    #[must_use]
    pub fn of(&self, agent: &AgentId) -> AgentLimits {
        self.agents.get(agent).copied().unwrap_or(self.default)
    }

    /// How many of an agent's requests may wait.
    #[must_use]
    pub fn waiting_of(&self, agent: &AgentId) -> usize {
        self.of(agent).max_waiting.unwrap_or(self.max_waiting).min(self.max_waiting)
    }
}

/// What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// See [`Limits::max_running`].
    pub max_running: Option<usize>,
    /// See [`Limits::max_waiting`].
    pub max_waiting: Option<usize>,
    /// Replaces these agents' limits; those that equal the default are forgotten.
    pub agents: BTreeMap<AgentId, AgentLimits>,
}

/// Why limits cannot be changed so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impossible {
    /// There are only so many places, and at least one is needed.
    Places(usize),
    /// More than [`MOST_AGENTS`] agents would have limits of their own.
    Agents,
}

impl Limits {
    /// With the change; `places` is the most that may run at all.
    ///
    /// # Errors
    /// When it is impossible; then nothing is changed.
    pub fn with(&self, change: Change, places: usize) -> Result<Self, Impossible> {
        let mut limits = self.clone();
        if let Some(running) = change.max_running {
            if !(1..=places).contains(&running) {
                return Err(Impossible::Places(places));
            }
            limits.max_running = running;
        }
        limits.max_waiting = change.max_waiting.unwrap_or(limits.max_waiting);
        limits.agents.extend(change.agents);
        let default = limits.default;
        limits.agents.retain(|_, limits| *limits != default);
        if limits.agents.len() > MOST_AGENTS {
            return Err(Impossible::Agents);
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heavy() -> AgentLimits {
        AgentLimits { weight: Weight::new(3.0).unwrap(), ..AgentLimits::default() }
    }

    #[test]
    fn a_change_replaces_what_it_names_and_forgets_what_is_as_usual() {
        let begin = Limits { max_running: 4, max_waiting: 64, ..Limits::default() };
        let agents = BTreeMap::from([(AgentId::new("a"), heavy())]);
        let change = Change { max_running: Some(2), agents, ..Change::default() };
        let changed = begin.with(change, 4).unwrap();
        assert_eq!((changed.max_running, changed.max_waiting), (2, 64));
        assert_eq!(changed.of(&AgentId::new("a")), heavy());
        let agents = BTreeMap::from([(AgentId::new("a"), AgentLimits::default())]);
        let back = changed.with(Change { agents, ..Change::default() }, 4).unwrap();
        assert!(back.agents.is_empty());
    }

    #[test]
    fn what_is_impossible_is_refused() {
        let begin = Limits { max_running: 4, max_waiting: 64, ..Limits::default() };
        for running in [0, 5] {
            let change = Change { max_running: Some(running), ..Change::default() };
            assert_eq!(begin.with(change, 4), Err(Impossible::Places(4)));
        }
        let agents = (0..=MOST_AGENTS).map(|n| (AgentId(n.to_string()), heavy())).collect();
        let change = Change { agents, ..Change::default() };
        assert_eq!(begin.with(change, 4), Err(Impossible::Agents));
        assert_eq!(Weight::new(0.0), None);
        assert_eq!(Weight::new(f64::NAN), None);
    }
}
