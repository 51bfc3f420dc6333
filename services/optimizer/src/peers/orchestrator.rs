//! The agents, what they put out, and their instructions.

use std::time::Duration;

use alina_client::{Connector, Retry, retry};
use alina_proto::{
    Service,
    orchestrator::v1::{
        self as wire, ListAgentsRequest, ListOutputsRequest, SetInstructionsRequest,
    },
    time,
};
use chrono::{DateTime, Utc};

use super::{PeerError, bounded};

/// The longest one call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The version under which instructions of config.yaml go.
pub const CONFIG_VERSION: &str = "config";

/// An agent, as the orchestrator has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its name in config.yaml.
    pub name: String,
    /// The instructions in force.
    pub instructions: String,
    /// Their version.
    pub version: String,
    /// The model it works with.
    pub model: String,
}

/// What an agent put out for a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Unique.
    pub id: String,
    /// Of which run.
    pub run_id: String,
    /// Whose.
    pub agent: String,
    /// By which instructions.
    pub version: String,
    /// The task.
    pub input: String,
    /// The text.
    pub text: String,
    /// When; absent when the orchestrator does not tell.
    pub at: Option<DateTime<Utc>>,
}

/// Some outputs, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPage {
    /// Those after the cursor asked for.
    pub outputs: Vec<Output>,
    /// The cursor after them.
    pub next: String,
}

/// The orchestrator.
#[derive(Debug, Clone)]
pub struct Orchestrator {
    connector: Connector,
}

impl Orchestrator {
    /// Over the connector's channel.
    #[must_use]
    pub fn new(connector: Connector) -> Self {
        Self { connector }
    }

    /// All agents with the instructions in force.
    ///
    /// # Errors
    /// When the orchestrator is away.
    pub async fn agents(&self) -> Result<Vec<Agent>, PeerError> {
        let client = self.connector.orchestrator();
        let call = retry(Retry::default(), || async {
            client.clone().list_agents(ListAgentsRequest {}).await
        });
        let response = bounded(Service::Orchestrator, TIMEOUT, call).await?;
        Ok(response.agents.into_iter().map(Agent::from).collect())
    }

    /// What was put out after a cursor; empty for the beginning.
    ///
    /// # Errors
    /// When the orchestrator is away, or the cursor is none of its.
    pub async fn outputs(&self, after: &str, limit: u32) -> Result<OutputPage, PeerError> {
        let request = ListOutputsRequest { after_cursor: after.to_owned(), limit };
        let client = self.connector.orchestrator();
        let call = retry(Retry::default(), || async {
            client.clone().list_outputs(request.clone()).await
        });
        let response = bounded(Service::Orchestrator, TIMEOUT, call).await?;
        let outputs = response.outputs.into_iter().map(Output::from).collect();
        Ok(OutputPage { outputs, next: response.next_cursor })
    }

    /// Puts instructions in force; doing it again changes nothing.
    ///
    /// # Errors
    /// When the orchestrator is away or refuses.
    pub async fn set_instructions(
        &self,
        agent: &str,
        instructions: &str,
        version: &str,
    ) -> Result<(), PeerError> {
        // Those of config.yaml are returned to, not set: they follow the file from then on.
        let instructions = if version == CONFIG_VERSION { "" } else { instructions };
        let request = SetInstructionsRequest {
            agent: agent.to_owned(),
            instructions: instructions.to_owned(),
            version: version.to_owned(),
        };
        let mut client = self.connector.orchestrator();
        bounded(Service::Orchestrator, TIMEOUT, client.set_instructions(request)).await?;
        Ok(())
    }
}

impl From<wire::Agent> for Agent {
    fn from(agent: wire::Agent) -> Self {
        Self {
            name: agent.name,
            instructions: agent.instructions,
            version: agent.instructions_version,
            model: agent.model,
        }
    }
}

impl From<wire::Output> for Output {
    fn from(output: wire::Output) -> Self {
        Self {
            id: output.id,
            run_id: output.run_id,
            agent: output.agent,
            version: output.instructions_version,
            input: output.input,
            text: output.output,
            at: output.at.as_ref().and_then(time::date_time),
        }
    }
}
