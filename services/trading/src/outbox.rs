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
use tonic::{Code, Status};

use crate::{
    desk::News,
    store::{Message, Store},
};

const BATCH: i64 = 50;
const TELL_WITHIN: Duration = Duration::from_secs(5);
/// Looked for without being told of a write: after a restart, or when somebody was away.
const LOOK_EVERY: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What is told, and so to whom.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Alert,
    Action,
}

impl Kind {
    /// As the table names it.
    const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Action => "action",
        }
    }
}

/// The background task.
pub(crate) struct Outbox {
    pub(crate) store: Store,
    pub(crate) orchestrator: OrchestratorServiceClient<PeerChannel>,
    pub(crate) memory: MemoryServiceClient<PeerChannel>,
    pub(crate) written: Arc<News>,
}

impl Outbox {
    /// Works until it is dropped. Alerts do not wait for the memory, nor actions for the
    /// orchestrator.
    pub(crate) async fn run(self) {
        tokio::join!(self.tell(Kind::Alert), self.tell(Kind::Action));
    }

    async fn tell(&self, kind: Kind) {
        let written = match kind {
            Kind::Alert => &self.written.alerts,
            Kind::Action => &self.written.actions,
        };
        let mut pause = FIRST_PAUSE;
        loop {
            match self.tell_some(kind).await {
                Ok(0) => {
                    pause = FIRST_PAUSE;
                    let _ = tokio::time::timeout(LOOK_EVERY, written.notified()).await;
                }
                Ok(_) => pause = FIRST_PAUSE,
                Err(problem) => {
                    tracing::debug!(problem, kind = kind.name(), "the outbox waits");
                    tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>())).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Tells the oldest, in order, until one cannot be told; how many were.
    async fn tell_some(&self, kind: Kind) -> Result<usize, String> {
        let messages = self.store.undelivered(kind.name(), BATCH).await;
        let messages = messages.map_err(|error| error.to_string())?;
        for message in &messages {
            let told = match kind {
                Kind::Alert => self.raise(message).await,
                Kind::Action => self.log(message).await,
            };
            match told {
                Ok(()) => {}
                Err(status) if may_pass(&status) => return Err(status.to_string()),
                // It will be refused for ever: the others must not wait behind it.
                Err(status) => tracing::error!(%status, id = %message.id, "refused, left untold"),
            }
            // Told twice when this fails; its key makes that harmless.
            self.store.delivered(message.id).await.map_err(|error| error.to_string())?;
        }
        Ok(messages.len())
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

fn may_pass(status: &Status) -> bool {
    !matches!(
        status.code(),
        Code::InvalidArgument | Code::AlreadyExists | Code::NotFound | Code::Unimplemented
    )
}
