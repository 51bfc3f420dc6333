//! Failures as statuses.

use std::time::Duration;

use alina_service::status::{self, Violations};
use tonic::{Code, Status};

use crate::error::MemoryError;

/// The status of a failure.
pub(super) fn failure(error: MemoryError) -> Status {
    let message = error.to_string();
    match error {
        MemoryError::StoreUnavailable(_) => {
            status::error(Code::Unavailable, "STORE_UNAVAILABLE", message)
        }
        MemoryError::KeyReused(_) => status::error(Code::AlreadyExists, "KEY_REUSED", message),
        MemoryError::AliasTaken(_) => status::error(Code::AlreadyExists, "ALIAS_TAKEN", message),
        MemoryError::NoEntity(name) => {
            status::resource(Code::NotFound, "NOT_FOUND", "entity", name, message)
        }
        MemoryError::NoItem { what, id } => {
            status::resource(Code::NotFound, "NOT_FOUND", what, id, message)
        }
        MemoryError::Retracted(_) => status::error(Code::FailedPrecondition, "RETRACTED", message),
        MemoryError::EndsBeforeItBegins(_) => refused("valid_to", &message),
        MemoryError::TooManyAliases(_) => refused("add_aliases", &message),
        MemoryError::StaleEdit(_) => status::error(Code::Aborted, "STALE_EDIT", message),
        MemoryError::BaseRequired(_) => refused("base_etag", &message),
        MemoryError::NoSection { path, .. } => {
            status::resource(Code::NotFound, "NOT_FOUND", "section", path, message)
        }
        MemoryError::AmbiguousSection { .. } => refused("heading", &message),
        MemoryError::OpenCode => refused("edit", &message),
        MemoryError::DocumentTooLarge => refused("edit", &message),
        MemoryError::TooManyDocuments(_) => {
            status::error(Code::ResourceExhausted, "TOO_MANY_DOCUMENTS", message)
        }
        MemoryError::InConflict(_) => {
            status::error(Code::FailedPrecondition, "IN_CONFLICT", message)
        }
        MemoryError::NotWatched => {
            status::error(Code::FailedPrecondition, "BANK_NOT_WATCHED", message)
        }
        MemoryError::SequenceGone { .. } => {
            status::error(Code::OutOfRange, "SEQUENCE_GONE", message)
        }
        MemoryError::BadLine(bad) => {
            refused(&format!("data: line {}: {}", bad.line, bad.field), &bad.problem)
        }
        MemoryError::NamespaceNotEmpty(_) => {
            status::error(Code::FailedPrecondition, "NAMESPACE_NOT_EMPTY", message)
        }
        MemoryError::Store(_) | MemoryError::StoredAnswer(_) => {
            tracing::error!(error = message, "a request failed");
            Status::internal("a fault in the service; see its log")
        }
    }
}

/// What only the store can tell to be wrong with a field.
fn refused(field: &str, rule: &str) -> Status {
    let mut bad = Violations::default();
    bad.add(field, rule);
    bad.finish().err().unwrap_or_else(|| Status::invalid_argument(rule))
}

/// More streams than are served at once.
pub(super) fn too_many_watchers(most: usize) -> Status {
    let message = format!("{most} streams of changes are open already; end one or try later");
    status::retry(Code::ResourceExhausted, "TOO_MANY_WATCHERS", message, Duration::from_secs(5))
}

/// More streams of writes than are served at once.
pub(super) fn too_many_streams(most: usize) -> Status {
    let message = format!("{most} streams of writes are open already; end one or try later");
    status::retry(Code::ResourceExhausted, "TOO_MANY_STREAMS", message, Duration::from_secs(5))
}

/// More exports and imports than are served at once.
pub(super) fn too_many_archives(most: usize) -> Status {
    let message = format!("{most} exports and imports are under way already; try later");
    status::retry(Code::ResourceExhausted, "TOO_MANY_STREAMS", message, Duration::from_secs(5))
}

/// Nobody reads what is streamed.
pub(super) fn slow_reader(after: Duration) -> Status {
    let seconds = after.as_secs();
    let message = format!("nothing was read for {seconds} s; begin again");
    status::error(Code::DeadlineExceeded, "IDLE", message)
}

/// Nobody writes on a stream.
pub(super) fn idle(after: Duration) -> Status {
    let seconds = after.as_secs();
    let message = format!("nothing arrived for {seconds} s; begin another stream to go on");
    status::error(Code::DeadlineExceeded, "IDLE", message)
}

/// The service ends.
pub(super) fn stopping() -> Status {
    let message = "the service is stopping; watch again from the last sequence number, send again \
                   what was not answered";
    status::retry(Code::Unavailable, "STOPPING", message, Duration::from_secs(1))
}
