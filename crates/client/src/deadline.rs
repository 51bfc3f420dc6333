//! The deadline of the request being served, handed on to every call made on its behalf.

use std::time::Duration;

use futures::future::Either;
use tokio::time::Instant;
use tonic::Status;

tokio::task_local! {
    static DEADLINE: Instant;
}

/// The deadline in force here, if any.
#[must_use]
pub fn current() -> Option<Instant> {
    DEADLINE.try_with(|deadline| *deadline).ok()
}

/// Runs `work` with `deadline` in force for the calls it makes; an earlier one stays in force.
pub fn scope<F: Future>(deadline: Option<Instant>, work: F) -> impl Future<Output = F::Output> {
    match earliest(deadline, current()) {
        Some(deadline) => Either::Left(DEADLINE.scope(deadline, work)),
        None => Either::Right(work),
    }
}

/// As [`scope`], for a function that does not wait (the polling of a stream).
pub fn sync_scope<T>(deadline: Option<Instant>, work: impl FnOnce() -> T) -> T {
    match earliest(deadline, current()) {
        Some(deadline) => DEADLINE.sync_scope(deadline, work),
        None => work(),
    }
}

/// Runs `work` for at most `span` (less when an earlier deadline is in force).
///
/// # Errors
/// `DEADLINE_EXCEEDED` when the time is up, else what `work` says.
pub async fn within<T, F>(span: Duration, work: F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let own = Instant::now() + span;
    let deadline = current().map_or(own, |outer| outer.min(own));
    match tokio::time::timeout_at(deadline, scope(Some(deadline), work)).await {
        Ok(result) => result,
        Err(_) => {
            Err(Status::deadline_exceeded(format!("no answer within {:.1} s", span.as_secs_f64())))
        }
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_inner_deadline_never_outlasts_the_outer() {
        let outer = Instant::now() + Duration::from_secs(1);
        scope(Some(outer), async {
            let inner = scope(Some(outer + Duration::from_secs(9)), async { current() }).await;
            assert_eq!(inner, Some(outer));
        })
        .await;
        assert_eq!(current(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_takes_too_long_is_ended() {
        let result: Result<(), _> = within(Duration::from_millis(50), std::future::pending()).await;
        assert_eq!(result.unwrap_err().code(), tonic::Code::DeadlineExceeded);
    }
}
