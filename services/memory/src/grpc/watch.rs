//! Changes as a stream, without gap or repetition: each page is read after the last number told.

use std::{sync::Arc, time::Duration};

use alina_proto::{
    memory::v1::{ChangeKind as WireKind, WatchRequest, WatchResponse},
    time::timestamp,
};
use alina_service::status::Violations;
use futures::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    Grpc,
    convert::{checked_namespace, item_kind},
    failure::{failure, stopping, too_many_watchers},
};
use crate::{
    error::MemoryError,
    knowledge::{Namespace, belief::ChangeKind},
    store::{Change, Store},
};

/// Streams at once.
const MOST_WATCHERS: usize = 64;
/// Changes read at once.
const PAGE: i64 = 500;
/// How often it is looked for changes. PostgreSQL's NOTIFY would tell at once, and let all commits
/// of the database wait for each other.
const POLL: Duration = Duration::from_millis(200);

/// Counts the streams.
#[derive(Debug, Clone)]
pub(crate) struct Watchers {
    free: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Watchers {
    /// None yet; all end at `shutdown`.
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        Self { free: Arc::new(Semaphore::new(MOST_WATCHERS)), shutdown }
    }
}

impl From<Change> for WatchResponse {
    fn from(change: Change) -> Self {
        let kind = match change.kind {
            ChangeKind::Recorded => WireKind::Recorded,
            ChangeKind::Revised => WireKind::Revised,
            ChangeKind::Retracted => WireKind::Retracted,
            ChangeKind::Restored => WireKind::Restored,
            ChangeKind::Stale => WireKind::Stale,
            ChangeKind::Holding => WireKind::Holding,
            ChangeKind::Forgotten => WireKind::Forgotten,
        };
        Self {
            sequence: change.sequence.unsigned_abs(),
            at: Some(timestamp(change.at)),
            kind: kind.into(),
            id: change.id.to_string(),
            item_kind: item_kind(change.item_kind).into(),
        }
    }
}

impl Grpc {
    pub(super) async fn watched(
        &self,
        request: WatchRequest,
    ) -> Result<impl Stream<Item = Result<WatchResponse, Status>> + Send + use<>, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        let after = i64::try_from(request.after_sequence).ok();
        bad.check(after.is_some(), "after_sequence", "must be a number that Watch gave, or 0");
        bad.finish()?;
        let free = Arc::clone(&self.watchers.free).try_acquire_owned();
        let place = free.map_err(|_| too_many_watchers(MOST_WATCHERS))?;
        let watch = Watch {
            store: self.store.clone(),
            shutdown: self.watchers.shutdown.clone(),
            namespace,
            after: after.unwrap_or_default(),
            until_now: request.until_now,
        };
        // What cannot be told is said before the stream begins.
        let first = watch.page().await.map_err(failure)?;
        Ok(watch.stream(first, place))
    }
}

struct Watch {
    store: Store,
    shutdown: CancellationToken,
    namespace: Namespace,
    after: i64,
    until_now: bool,
}

impl Watch {
    async fn page(&self) -> Result<Vec<Change>, MemoryError> {
        self.store.changes_after(&self.namespace, self.after, PAGE).await
    }

    fn stream(
        mut self,
        first: Vec<Change>,
        place: OwnedSemaphorePermit,
    ) -> impl Stream<Item = Result<WatchResponse, Status>> + Send {
        async_stream::try_stream! {
            // Free for another when the stream ends.
            let _place = place;
            let mut page = first;
            loop {
                let full = page.len() as i64 == PAGE;
                for change in page {
                    self.after = change.sequence;
                    yield change.into();
                }
                if !full {
                    if self.until_now {
                        return;
                    }
                    let pause = tokio::time::sleep(POLL);
                    if self.shutdown.run_until_cancelled(pause).await.is_none() {
                        Err(stopping())?;
                    }
                }
                page = match self.page().await {
                    Ok(page) => page,
                    // Whoever watches waits for the store, too.
                    Err(MemoryError::StoreUnavailable(_)) if !self.until_now => Vec::new(),
                    Err(error) => Err(failure(error))?,
                };
            }
        }
    }
}
