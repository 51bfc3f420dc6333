//! Which agents there are: the orchestrator knows, the store remembers.

use crate::{
    error::Error,
    peers::{Agent, Orchestrator},
    store::Store,
};

/// The agents.
#[derive(Debug, Clone)]
pub(crate) struct Roster {
    store: Store,
    orchestrator: Orchestrator,
}

impl Roster {
    pub(crate) fn new(store: Store, orchestrator: Orchestrator) -> Self {
        Self { store, orchestrator }
    }

    /// All agents as they are now, noted in the store.
    pub(crate) async fn refresh(&self) -> Result<Vec<Agent>, Error> {
        let agents = self.orchestrator.agents().await?;
        self.store.note_agents(&agents).await?;
        Ok(agents)
    }

    /// One agent as it is now.
    pub(crate) async fn get(&self, name: &str) -> Result<Agent, Error> {
        let agents = self.refresh().await?;
        let known: Vec<_> = agents.iter().map(|agent| agent.name.clone()).collect();
        agents.into_iter().find(|agent| agent.name == name).ok_or_else(|| unknown(name, &known))
    }

    /// Makes sure that there is, or was, such an agent; asks the orchestrator only about those
    /// never seen.
    pub(crate) async fn check(&self, name: &str) -> Result<(), Error> {
        if self.store.agent_names().await?.iter().any(|known| known == name) {
            return Ok(());
        }
        self.get(name).await.map(drop)
    }
}

fn unknown(name: &str, known: &[String]) -> Error {
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Error::UnknownAgent { name: name.to_owned(), known }
}
