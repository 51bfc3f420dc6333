//! Tells the orchestrator of alerts that began or ended, however long it is away.

use std::{collections::VecDeque, time::Duration};

use alina_client::{Retry, deadline};
use alina_proto::{
    orchestrator::v1::{
        Alert, AlertSeverity, RaiseAlertRequest,
        orchestrator_service_client::OrchestratorServiceClient,
    },
    time::timestamp,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::{
    alerts::{Change, Severity, Transition},
    metrics::{Metrics, Outcome},
};

/// How many changes wait while the orchestrator is away; past it the oldest are left out.
const BACKLOG: usize = 256;
/// For one change, all tries together.
const PATIENCE: Duration = Duration::from_secs(10);

/// The client through which is told.
pub type Orchestrator = OrchestratorServiceClient<alina_client::PeerChannel>;

/// Tells every change in order until `shutdown`.
pub async fn run(
    orchestrator: Orchestrator,
    mut changes: mpsc::Receiver<Change>,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let work = async {
        let mut backlog = VecDeque::new();
        loop {
            if backlog.is_empty() {
                let Some(change) = changes.recv().await else { return };
                backlog.push_back(change);
            }
            while let Ok(change) = changes.try_recv() {
                backlog.push_back(change);
            }
            while backlog.len() > BACKLOG {
                backlog.pop_front();
                metrics.told(Outcome::Dropped);
            }
            let Some(change) = backlog.front() else { continue };
            match tell(&orchestrator, change).await {
                Ok(()) => {
                    metrics.told(Outcome::Done);
                    backlog.pop_front();
                }
                Err(status) if is_for_good(&status) => {
                    let key = change.key();
                    tracing::error!(key, %status, "the orchestrator refuses an alert; it is left out");
                    metrics.told(Outcome::Refused);
                    backlog.pop_front();
                }
                Err(status) => {
                    let waiting = backlog.len();
                    tracing::debug!(waiting, %status, "alerts wait for the orchestrator");
                    let pause = rand::random_range(500..2_000);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = shutdown.cancelled() => {}
    }
}

async fn tell(orchestrator: &Orchestrator, change: &Change) -> Result<(), Status> {
    let request = request(change);
    let call = || async {
        let mut orchestrator = orchestrator.clone();
        orchestrator.raise_alert(request.clone()).await
    };
    deadline::within(PATIENCE, alina_client::retry(Retry::default(), call)).await?;
    Ok(())
}

/// Whether trying again would change nothing.
fn is_for_good(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::NotFound
    )
}

fn request(change: &Change) -> RaiseAlertRequest {
    let alert = &change.alert;
    let details = serde_json::json!({
        "rule": alert.rule,
        "service": alert.subject.service(),
        "value": alert.value,
        "since": alert.since,
    });
    let severity = match alert.severity {
        Severity::Warning => AlertSeverity::Warning,
        Severity::Critical => AlertSeverity::Critical,
    };
    RaiseAlertRequest {
        idempotency_key: change.key(),
        alert: Some(Alert {
            id: String::new(),
            source: "monitor".to_owned(),
            name: alert.rule.clone(),
            severity: severity.into(),
            summary: alert.summary.clone(),
            details_json: details.to_string(),
            at: Some(timestamp(change.at)),
            resolved: change.transition == Transition::Resolved,
        }),
    }
}
