//! What each agent has running, waiting and behind it. Bounded: names come from callers.

use super::recent::Recent;
use crate::chat::AgentId;

/// Agents remembered; beyond it, those idle the longest are forgotten.
const REMEMBERED: usize = 1_000;

/// One agent's load.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AgentLoad {
    /// Requests decoding.
    pub running: u32,
    /// Requests waiting for a place.
    pub waiting: u32,
    /// Requests ended, however they ended.
    pub finished: u64,
    /// Of all ended requests.
    pub prompt_tokens: u64,
    /// Of all ended requests.
    pub completion_tokens: u64,
    /// A moving average of how much of what they might take its requests took, once known.
    pub(super) usual: Option<f64>,
}

/// All agents' loads.
#[derive(Debug)]
pub(super) struct Ledger(Recent<AgentId, AgentLoad>);

impl Default for Ledger {
    fn default() -> Self {
        Self(Recent::new(REMEMBERED))
    }
}

impl Ledger {
    /// Changes an agent's entry.
    pub(super) fn update(&mut self, agent: &AgentId, change: impl FnOnce(&mut AgentLoad)) {
        change(self.0.touch(agent, |load| load.running > 0 || load.waiting > 0));
    }

    /// By agent.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AgentId, &AgentLoad)> {
        self.0.iter()
    }

    /// See [`AgentLoad::usual`].
    pub(super) fn usual(&self, agent: &AgentId) -> Option<f64> {
        self.0.get(agent).and_then(|load| load.usual)
    }
}
