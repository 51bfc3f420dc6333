//! Why a request over HTTP has no answer, before either interface gives it its own shape.

use std::time::Duration;

use axum::http::StatusCode;

use crate::error::Error;

/// Seconds after which a refused caller may try again when nothing better is known.
const RETRY: Duration = Duration::from_secs(1);

/// A refusal or a failure.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// Of the answer, if it has not begun yet.
    pub(super) status: StatusCode,
    /// For programs, in lower case: for example `model_not_found`.
    pub(super) code: &'static str,
    /// The field that is wrong, as a path.
    pub(super) field: Option<String>,
    /// For people.
    pub(super) message: String,
    /// When to try again.
    pub(super) retry_after: Option<Duration>,
}

impl Fault {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, field: None, message: message.into(), retry_after: None }
    }

    /// A field is not as it must be.
    pub(super) fn field(field: impl Into<String>, allowed: impl AsRef<str>) -> Self {
        let field = field.into();
        let message = format!("{field}: {}", allowed.as_ref());
        Self {
            field: Some(field),
            ..Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
        }
    }

    /// The service stops.
    pub(super) fn stopping() -> Self {
        Self {
            retry_after: Some(RETRY),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "stopping",
                "the service is stopping; try again",
            )
        }
    }

    /// The caller's own limit of time has passed.
    pub(super) fn too_late() -> Self {
        let message = "the time that X-Alina-Timeout allows has passed";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded", message)
    }

    /// Too many requests are being answered.
    pub(super) fn busy(most: usize) -> Self {
        let message = format!("{most} requests are being answered, the most that may; try again");
        Self {
            retry_after: Some(RETRY),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
        }
    }

    /// A fault of this program.
    pub(super) fn internal() -> Self {
        let message = "a fault in the service; see its log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        // By reason rather than by variant: the reasons are the contract.
        let (status, code) = match error.reason() {
            "MODEL_NOT_FOUND" => (StatusCode::NOT_FOUND, "model_not_found"),
            "MODEL_UNAVAILABLE" => (StatusCode::SERVICE_UNAVAILABLE, "model_unavailable"),
            "OUT_OF_MEMORY" => (StatusCode::SERVICE_UNAVAILABLE, "out_of_memory"),
            "BACKEND_FAILED" => (StatusCode::SERVICE_UNAVAILABLE, "backend_failed"),
            "PROMPT_TOO_LONG" => (StatusCode::BAD_REQUEST, "context_length_exceeded"),
            "INVALID_SCHEMA" => (StatusCode::BAD_REQUEST, "invalid_schema"),
            "UNSUPPORTED" => (StatusCode::BAD_REQUEST, "unsupported"),
            "INVALID_REQUEST" => (StatusCode::BAD_REQUEST, "invalid_request"),
            "BACKEND_BUSY" => (StatusCode::TOO_MANY_REQUESTS, "backend_busy"),
            "QUEUE_FULL" => (StatusCode::TOO_MANY_REQUESTS, "queue_full"),
            "DEADLINE_TOO_SHORT" => (StatusCode::TOO_MANY_REQUESTS, "deadline_too_short"),
            "BUDGET_SPENT" => (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        let field = match &error {
            Error::ModelNotFound { .. } | Error::WrongKind { .. } => Some("model"),
            Error::PromptTooLong { .. } => Some("messages"),
            Error::InvalidConstraint { field, .. } => Some(*field),
            Error::Unsupported { what, .. } => Some(*what),
            _ => None,
        };
        Self {
            status,
            code,
            field: field.map(str::to_owned),
            message: error.to_string(),
            retry_after: error.retry_after(),
        }
    }
}
