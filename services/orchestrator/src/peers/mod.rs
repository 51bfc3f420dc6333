//! The services this one calls.

mod memory;
mod models;

use alina_proto::Service;
use tonic::{Code, Status};

pub(crate) use memory::{Episode, Fact, LogEntry, Memory, Recalled};
pub(crate) use models::{Chat, ChatMessage, Completion, Models, Speaker};

/// A call that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{service}: {message}")]
pub(crate) struct PeerError {
    pub(crate) service: Service,
    pub(crate) code: Code,
    /// The stable reason, as documented in `proto/`; empty when the service did not answer.
    pub(crate) reason: String,
    pub(crate) message: String,
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
    pub(crate) fn is_away(&self) -> bool {
        // A call cancelled from here is dropped and never seen: this one was ended over there.
        matches!(
            self.code,
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled
        )
    }

    /// Whether another try may succeed: a prompt too long is cut shorter each time.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self.code, Code::Unknown | Code::Internal | Code::Aborted | Code::DataLoss)
            || self.is_prompt_too_long()
    }

    fn is_prompt_too_long(&self) -> bool {
        self.reason == "PROMPT_TOO_LONG"
    }
}
