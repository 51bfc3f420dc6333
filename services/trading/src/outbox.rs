//! Tells the orchestrator of alerts and the memory of actions, in order, until they know.

use std::{sync::Arc, time::Duration};

use alina_client::{PeerChannel, deadline};
use alina_proto::{
    memory::v1::{LogActionRequest, memory_service_client::MemoryServiceClient},
    orchestrator::v1::{
        Alert, AlertSeverity, RaiseAlertRequest,
        orchestrator_service_client::OrchestratorServiceClient,
    },
    time::timestamp,
};
use serde_json::Value;
use tokio::sync::Notify;
use tonic::Status;

use crate::store::{Message, Store};

const BATCH: i64 = 50;
const TELL_WITHIN: Duration = Duration::from_secs(5);
/// Looked for without being told of a write: after a restart, or when somebody was away.
const LOOK_EVERY: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The background task.
pub(crate) struct Outbox {
    pub(crate) store: Store,
    pub(crate) orchestrator: OrchestratorServiceClient<PeerChannel>,
    pub(crate) memory: MemoryServiceClient<PeerChannel>,
    pub(crate) written: Arc<Notify>,
}

impl Outbox {
    /// Works until it is dropped.
    pub(crate) async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let all_told = match self.store.undelivered(BATCH).await {
                Ok(messages) => self.tell_all(messages).await,
                Err(error) => {
                    tracing::debug!(%error, "the outbox waits");
                    false
                }
            };
            if all_told {
                pause = FIRST_PAUSE;
                let _ = tokio::time::timeout(LOOK_EVERY, self.written.notified()).await;
            } else {
                tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>())).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// One service's absence does not keep the other from being told.
    async fn tell_all(&self, messages: Vec<Message>) -> bool {
        let mut all = true;
        for message in messages {
            let told = match message.kind.as_str() {
                "alert" => self.raise(&message).await,
                _ => self.log(&message).await,
            };
            match told {
                Ok(()) => {
                    if let Err(error) = self.store.delivered(message.id).await {
                        // It will be told again; its key makes that harmless.
                        tracing::debug!(%error, "a delivery could not be noted");
                        all = false;
                    }
                }
                Err(status) => {
                    tracing::debug!(%status, kind = message.kind, "could not be told");
                    all = false;
                }
            }
        }
        all
    }

    async fn raise(&self, message: &Message) -> Result<(), Status> {
        let text = |key: &str| message.payload[key].as_str().unwrap_or_default().to_owned();
        let alert = Alert {
            source: "trading".to_owned(),
            name: text("name"),
            severity: AlertSeverity::Warning.into(),
            summary: text("summary"),
            at: Some(timestamp(message.created_at)),
            resolved: message.payload["resolved"].as_bool().unwrap_or_default(),
            ..Alert::default()
        };
        let request = RaiseAlertRequest {
            idempotency_key: format!("trading/{}", message.id),
            alert: Some(alert),
        };
        let mut orchestrator = self.orchestrator.clone();
        deadline::within(TELL_WITHIN, orchestrator.raise_alert(request)).await.map(drop)
    }

    async fn log(&self, message: &Message) -> Result<(), Status> {
        let text = |key: &str| message.payload[key].as_str().unwrap_or_default().to_owned();
        let agent = text("agent");
        let actor =
            if agent.is_empty() { "service:trading".to_owned() } else { format!("agent:{agent}") };
        let details = match &message.payload["details"] {
            Value::Null => String::new(),
            details => details.to_string(),
        };
        let request = LogActionRequest {
            idempotency_key: format!("trading/{}", message.id),
            actor,
            action: text("action"),
            summary: text("summary"),
            details_json: details,
            run_id: text("run_id"),
            ..LogActionRequest::default()
        };
        let mut memory = self.memory.clone();
        deadline::within(TELL_WITHIN, memory.log_action(request)).await.map(drop)
    }
}
