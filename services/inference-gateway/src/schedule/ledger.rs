//! What each agent has running, waiting and behind it. Bounded: names come from callers.

use std::collections::BTreeMap;

use crate::chat::AgentId;

/// Agents remembered; beyond it, those idle the longest are forgotten.
const REMEMBERED: usize = 1_000;

/// One agent's load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    touched: u64,
}

/// All agents' loads.
#[derive(Debug, Default)]
pub struct Ledger {
    agents: BTreeMap<AgentId, AgentLoad>,
    clock: u64,
}

impl Ledger {
    /// Changes an agent's entry.
    pub fn update(&mut self, agent: &AgentId, change: impl FnOnce(&mut AgentLoad)) {
        self.clock += 1;
        let entry = self.agents.entry(agent.clone()).or_default();
        entry.touched = self.clock;
        change(entry);
        if self.agents.len() > REMEMBERED {
            self.forget_one();
        }
    }

    /// By agent.
    pub fn iter(&self) -> impl Iterator<Item = (&AgentId, &AgentLoad)> {
        self.agents.iter()
    }

    fn forget_one(&mut self) {
        let idle = self.agents.iter().filter(|(_, load)| load.running == 0 && load.waiting == 0);
        let oldest = idle.min_by_key(|(_, load)| load.touched).map(|(agent, _)| agent.clone());
        if let Some(agent) = oldest {
            self.agents.remove(&agent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_do_not_fill_the_memory() {
        let mut ledger = Ledger::default();
        ledger.update(&AgentId::new("busy"), |load| load.running = 1);
        for n in 0..3_000 {
            ledger.update(&AgentId(n.to_string()), |load| load.finished += 1);
        }
        assert_eq!(ledger.iter().count(), REMEMBERED);
        assert!(ledger.iter().any(|(agent, load)| agent.0 == "busy" && load.running == 1));
        assert!(ledger.iter().any(|(agent, _)| agent.0 == "2999"));
    }
}
