//! Calls made again when they may succeed later.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use tonic::Status;

use crate::{deadline, failure};

/// How often and at what pace a call is made again.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Calls in all, at least 1.
    pub max_tries: usize,
    /// Before the second call; doubles from there, with jitter.
    pub first_wait: Duration,
    /// The longest wait.
    pub max_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_tries: 4,
            first_wait: Duration::from_millis(100),
            max_wait: Duration::from_secs(2),
        }
    }
}

/// Calls until it succeeds, fails for good, `policy` is used up, or the next wait would pass the
/// deadline in force. Retried are UNAVAILABLE and RESOURCE_EXHAUSTED with a RetryInfo, whose delay
/// is honoured. The call must be safe to repeat: a read, or a write with an idempotency key.
///
/// # Errors
/// The last failure.
pub async fn retry<T, F, Fut>(policy: Retry, call: F) -> Result<T, Status>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Status>>,
{
    let backoff = ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(policy.first_wait)
        .with_max_delay(policy.max_wait)
        .with_max_times(policy.max_tries.saturating_sub(1));
    call.retry(backoff)
        .when(failure::may_pass_later)
        .adjust(|status, wait| {
            let wait = wait?.max(failure::retry_after(status).unwrap_or_default());
            let in_time = deadline::current()
                .is_none_or(|deadline| tokio::time::Instant::now() + wait < deadline);
            in_time.then_some(wait)
        })
        .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn repeats_what_may_pass_and_nothing_else() {
        let calls = Cell::new(0);
        let result = retry(Retry::default(), || async {
            calls.set(calls.get() + 1);
            if calls.get() < 3 { Err(Status::unavailable("away")) } else { Ok(calls.get()) }
        })
        .await;
        assert_eq!(result.unwrap(), 3);

        let calls = Cell::new(0);
        let result: Result<(), _> = retry(Retry::default(), || async {
            calls.set(calls.get() + 1);
            Err(Status::not_found("gone"))
        })
        .await;
        assert_eq!((result.unwrap_err().code(), calls.get()), (tonic::Code::NotFound, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn never_waits_past_the_deadline() {
        let calls = Cell::new(0);
        let result: Result<(), _> = deadline::within(
            Duration::from_millis(120),
            retry(Retry { first_wait: Duration::from_secs(1), ..Retry::default() }, || async {
                calls.set(calls.get() + 1);
                Err(Status::unavailable("away"))
            }),
        )
        .await;
        assert_eq!((result.unwrap_err().code(), calls.get()), (tonic::Code::Unavailable, 1));
    }
}
