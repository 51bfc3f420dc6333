//! The services this one calls. Every call has a deadline.

mod memory;
mod models;
mod orchestrator;

use std::time::Duration;

use alina_client::deadline;
use alina_proto::Service;
use tonic::{Code, Response, Status};

pub use memory::{LogEntry, Memory};
pub use models::{Models, Prompt};
pub use orchestrator::{Agent, CONFIG_VERSION, Orchestrator, Output, OutputPage};

/// A call that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{service}: {message}")]
pub struct PeerError {
    /// Who was called.
    pub service: Service,
    /// What kind of failure.
    pub code: Code,
    /// The stable reason, as documented in `proto/`; empty when the service did not answer.
    pub reason: String,
    /// What it says.
    pub message: String,
}

impl PeerError {
    fn new(service: Service, status: &Status) -> Self {
        Self {
            service,
            code: status.code(),
            reason: alina_client::reason(status).unwrap_or_default(),
            message: status.message().to_owned(),
        }
    }

    /// Whether the service is gone, overloaded or too slow, rather than unwilling.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(
            self.code,
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled
        )
    }

    /// Whether what was asked for is refused for good, as far as the contract tells.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self.code, Code::NotFound | Code::InvalidArgument)
    }
}

async fn bounded<T>(
    service: Service,
    span: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, PeerError> {
    deadline::within(span, call)
        .await
        .map(Response::into_inner)
        .map_err(|status| PeerError::new(service, &status))
}
