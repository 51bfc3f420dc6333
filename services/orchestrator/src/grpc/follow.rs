//! Following a run: its past out of the journal, then its news, without gap or repetition.

use std::{sync::Arc, time::Duration};

use alina_proto::orchestrator::v1::FollowRunResponse;
use futures::Stream;
use tokio::{sync::broadcast::error::RecvError, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::convert;
use crate::{
    engine::{Engine, News},
    error::Error,
    run::RunId,
};

/// Events read at once.
const PAGE: u32 = 200;
/// How often the journal is read without news: another process may work on the run.
const POLL: Duration = Duration::from_secs(1);

/// What is followed.
pub(super) struct Follow {
    pub(super) run: RunId,
    pub(super) after: u64,
    pub(super) with_deltas: bool,
}

impl Follow {
    /// Ends when the run has ended, or the service stops.
    pub(super) fn stream(
        self,
        engine: &Arc<Engine>,
        shutdown: CancellationToken,
    ) -> impl Stream<Item = Result<FollowRunResponse, Status>> + Send + use<> {
        let Self { run, mut after, with_deltas } = self;
        let store = engine.store.clone();
        // Before the first look at the journal, so that nothing falls between.
        let mut follower = engine.bus.follow(run);
        async_stream::try_stream! {
            loop {
                match store.events_after(run, after, PAGE).await {
                    Ok(past) => {
                        let is_full = past.events.len() >= PAGE as usize;
                        for event in past.events {
                            after = event.sequence;
                            yield event.into();
                        }
                        if past.is_all {
                            return;
                        }
                        if is_full {
                            continue;
                        }
                    }
                    // The run waits for the store, too; its deadline is the bound.
                    Err(Error::StoreUnavailable(_)) => {}
                    Err(error) => Err(error)?,
                }
                // News until the journal must be read.
                loop {
                    let news = timeout(POLL, follower.news.recv());
                    let Some(news) = shutdown.run_until_cancelled(news).await else {
                        Err(stopping())?;
                        return;
                    };
                    match news {
                        Ok(Ok(News::Delta(delta))) if with_deltas => {
                            yield convert::delta(run, &delta);
                        }
                        Ok(Ok(News::Event(event))) if event.sequence == after + 1 => {
                            after = event.sequence;
                            let may_be_last = event.what.kind.ends_run();
                            yield Arc::unwrap_or_clone(event).into();
                            if may_be_last {
                                break;
                            }
                        }
                        // An event not yet due: those before it are in the journal.
                        Ok(Ok(News::Event(event))) if event.sequence > after => break,
                        Ok(Ok(_)) => {}
                        Ok(Err(RecvError::Lagged(_))) | Err(_) => break,
                        Ok(Err(RecvError::Closed)) => {
                            tokio::time::sleep(POLL).await;
                            break;
                        }
                    }
                }
            }
        }
    }
}

/// The service stops; the run goes on after its start.
pub(super) fn stopping() -> Status {
    alina_service::status::retry(
        Code::Unavailable,
        "STOPPING",
        "the orchestrator stops; follow again from the last sequence number when it is back",
        Duration::from_secs(1),
    )
}
