//! The agents of config.yaml, the instructions in force, and who is busy.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use crate::{
    config::AgentConfig,
    error::Error,
    store::{Instructions, Store},
};

/// The version of instructions that come from config.yaml.
pub(crate) const CONFIG_VERSION: &str = "config";

/// An agent and how many tasks it has under way.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) config: AgentConfig,
    busy: Arc<AtomicU32>,
}

impl Agent {
    /// Tasks under way.
    pub(crate) fn running(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }

    /// Counts a task until dropped.
    pub(crate) fn take_up(&self) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(&self.busy))
    }

    /// The instructions of config.yaml.
    pub(crate) fn configured(&self) -> Instructions {
        Instructions { text: self.config.instructions.clone(), version: CONFIG_VERSION.to_owned() }
    }
}

/// A task under way.
#[derive(Debug)]
pub(crate) struct Busy(Arc<AtomicU32>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All agents, in the order of config.yaml.
#[derive(Debug)]
pub(crate) struct Roster {
    agents: Vec<Agent>,
}

impl Roster {
    pub(crate) fn new(agents: &[AgentConfig]) -> Self {
        let agents = agents
            .iter()
            .map(|config| Agent { config: config.clone(), busy: Arc::default() })
            .collect();
        Self { agents }
    }

    pub(crate) fn all(&self) -> &[Agent] {
        &self.agents
    }

    /// One agent; the error names near ones.
    pub(crate) fn get(&self, name: &str) -> Result<&Agent, Error> {
        self.agents
            .iter()
            .find(|agent| agent.config.name == name)
            .ok_or_else(|| Error::UnknownAgent { name: name.to_owned(), hint: self.hint(name) })
    }

    /// Those a run may use: those named, or all when none are.
    pub(crate) fn allowed(&self, names: &[String]) -> Result<Vec<&Agent>, Error> {
        if names.is_empty() {
            return Ok(self.agents.iter().collect());
        }
        let mut allowed: Vec<&Agent> = Vec::new();
        for name in names {
            let agent = self.get(name)?;
            if !allowed.iter().any(|earlier| earlier.config.name == *name) {
                allowed.push(agent);
            }
        }
        Ok(allowed)
    }

    /// The instructions in force, read anew so that they hold from the next step on.
    pub(crate) async fn instructions(
        &self,
        store: &Store,
        agent: &Agent,
    ) -> Result<Instructions, Error> {
        let set = store.instructions(&agent.config.name).await?;
        Ok(set.unwrap_or_else(|| agent.configured()))
    }

    fn hint(&self, name: &str) -> String {
        let wanted = name.to_lowercase();
        let names: Vec<&str> = self.agents.iter().map(|agent| agent.config.name.as_str()).collect();
        let near: Vec<String> = names
            .iter()
            .filter(|known| strsim::jaro_winkler(known, &wanted) > 0.8)
            .map(|known| format!("`{known}`"))
            .collect();
        let all = format!("there are {}", names.join(", "));
        if near.is_empty() { all } else { format!("did you mean {}? {all}", near.join(" or ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OrchestratorConfig;

    #[test]
    fn an_unknown_agent_is_answered_with_near_names() {
        let roster = Roster::new(&OrchestratorConfig::default().agents);
        let error = roster.get("reseacher").unwrap_err().to_string();
        assert!(error.contains("did you mean `researcher`?"), "{error}");
        let error = roster.get("xyz").unwrap_err().to_string();
        assert!(error.contains("there are researcher, planner, analyst, writer"), "{error}");
    }

    #[test]
    fn a_run_may_use_those_named_once_each() {
        let roster = Roster::new(&OrchestratorConfig::default().agents);
        assert_eq!(roster.allowed(&[]).unwrap().len(), 4);
        let named = ["writer", "planner", "writer"].map(str::to_owned);
        let allowed = roster.allowed(&named).unwrap();
        let names: Vec<_> = allowed.iter().map(|agent| agent.config.name.as_str()).collect();
        assert_eq!(names, ["writer", "planner"]);
    }

    #[test]
    fn a_task_counts_until_it_is_dropped() {
        let roster = Roster::new(&OrchestratorConfig::default().agents);
        let agent = roster.get("writer").unwrap();
        let busy = agent.take_up();
        assert_eq!(agent.running(), 1);
        drop(busy);
        assert_eq!(agent.running(), 0);
    }
}
