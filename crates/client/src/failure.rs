//! What a failed call tells.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The stable reason of the failure (`google.rpc.ErrorInfo`), as documented in `proto/`.
#[must_use]
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// When the service says a retry makes sense (`google.rpc.RetryInfo`).
#[must_use]
pub fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// Whether the service could not be reached or broke off, rather than refused.
#[must_use]
pub fn is_away(status: &Status) -> bool {
    status.code() == Code::Unavailable
}

/// Whether the same call may succeed if made again.
pub(crate) fn may_pass_later(status: &Status) -> bool {
    is_away(status) || (status.code() == Code::ResourceExhausted && retry_after(status).is_some())
}
