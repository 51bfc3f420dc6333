//! Calls that are made again until they are answered.

use std::time::Duration;

use alina_client::deadline;
use alina_proto::Service;
use alina_testkit::Suite;
use tokio::task::JoinError;
use tonic::{Code, Status};

use crate::Memory;

/// Nobody waits longer for an answer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Calls until there is an answer, and tells `failed` of each failure; what failed may have been done.
pub(crate) async fn insist<Q: Clone, T, F: Future<Output = Result<T, Status>>>(
    memory: &Memory,
    request: &Q,
    mut call: impl FnMut(Memory, Q) -> F,
    mut failed: impl FnMut(),
) -> T {
    loop {
        match deadline::within(DEADLINE, call(memory.clone(), request.clone())).await {
            Ok(answer) => return answer,
            Err(status) => {
                failed();
                again(&status).await;
            }
        }
    }
}

/// A while until the next attempt.
///
/// # Panics
/// When it is another failure than that something does not answer.
pub(crate) async fn again(status: &Status) {
    assert!(matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded), "{status:?}");
    tokio::time::sleep(Duration::from_millis(rand::random_range(20..150))).await;
}

/// What a client came to, if nothing went wrong but that calls failed.
///
/// # Panics
/// When something did; with the service's errors.
pub(crate) fn sound<T>(suite: &Suite, ended: Result<T, JoinError>) -> T {
    ended.unwrap_or_else(|error| {
        let log = suite.log(Service::Memory);
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("\"ERROR\"")).collect();
        panic!("{error}; the service's errors: {errors:#?}");
    })
}
