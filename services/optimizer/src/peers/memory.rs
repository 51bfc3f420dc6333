//! The log of significant actions, in the memory.

use std::time::Duration;

use alina_client::Connector;
use alina_proto::{Service, memory::v1::LogActionRequest};
use serde_json::Value;

use super::{PeerError, bounded};

/// The longest one call may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An entry of the log. The same key must come with the same content.
#[derive(Debug, Clone)]
pub struct LogEntry {
    /// Written once under this key.
    pub idempotency_key: String,
    /// For example "instructions.promoted".
    pub action: &'static str,
    /// One line for a person.
    pub summary: String,
    /// A JSON object.
    pub details: Value,
}

/// The memory.
#[derive(Debug, Clone)]
pub struct Memory {
    connector: Connector,
}

impl Memory {
    /// Over the connector's channel.
    #[must_use]
    pub fn new(connector: Connector) -> Self {
        Self { connector }
    }

    /// Appends to the log; appending it again changes nothing.
    ///
    /// # Errors
    /// When the memory is away or refuses.
    pub async fn log(&self, entry: LogEntry) -> Result<(), PeerError> {
        let request = LogActionRequest {
            idempotency_key: entry.idempotency_key,
            actor: "service:optimizer".to_owned(),
            action: entry.action.to_owned(),
            summary: entry.summary,
            details_json: entry.details.to_string(),
            ..LogActionRequest::default()
        };
        let mut client = self.connector.memory();
        bounded(Service::Memory, TIMEOUT, client.log_action(request)).await?;
        Ok(())
    }
}
