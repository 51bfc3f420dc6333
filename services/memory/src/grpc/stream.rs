//! Remember for many: what has arrived is written together, each request answered in order.

use std::{collections::HashSet, sync::Arc, time::Duration};

use alina_proto::memory::v1::{
    RememberRefusal, RememberResponse, RememberStreamRequest, RememberStreamResponse,
    remember_stream_response::Outcome,
};
use futures::{FutureExt, StreamExt};
use prost::Message;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming, codegen::BoxStream};

use super::{
    convert::checked_remember,
    failure::{failure, idle, stopping, too_many_streams},
};
use crate::{
    knowledge::{Namespace, NewEpisode},
    store::{Key, Remembered, Store},
};

/// Streams at once.
const MOST_STREAMS: usize = 16;
/// Requests taken together, of …
const MOST_REQUESTS: usize = 512;
/// … so many bytes, a request more than that at most.
const MOST_BYTES: usize = 4 << 20;
/// How long a stream may be silent.
const IDLE: Duration = Duration::from_secs(300);

/// Episodes of one namespace that are written in one transaction.
#[derive(Default)]
struct Batch {
    namespace: Option<Namespace>,
    places: Vec<u64>,
    keys: HashSet<String>,
    episodes: Vec<(Option<Key>, NewEpisode)>,
}

impl Batch {
    /// Whether an episode with this key is to be written before or after, not among these.
    fn excludes(&self, namespace: &Namespace, key: Option<&Key>) -> bool {
        self.namespace.as_ref().is_some_and(|of_batch| of_batch != namespace)
            || key.is_some_and(|key| self.keys.contains(key.given()))
    }

    fn add(&mut self, place: u64, namespace: Namespace, key: Option<Key>, episode: NewEpisode) {
        self.namespace = Some(namespace);
        self.places.push(place);
        self.keys.extend(key.as_ref().map(|key| key.given().to_owned()));
        self.episodes.push((key, episode));
    }
}

/// Requests that are written together.
struct Arrived {
    together: Vec<RememberStreamRequest>,
    /// What ended the stream before its time, if something did.
    then: Result<(), Status>,
}

/// Takes streams in.
#[derive(Debug, Clone)]
pub(crate) struct Intake {
    store: Store,
    written: Arc<Notify>,
    free: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Intake {
    /// None yet; all end at `shutdown`. What is written is told to `written`.
    pub(crate) fn new(store: Store, written: Arc<Notify>, shutdown: CancellationToken) -> Self {
        Self { store, written, free: Arc::new(Semaphore::new(MOST_STREAMS)), shutdown }
    }

    /// The answers of a stream of requests.
    pub(super) fn answered(
        self,
        mut requests: Streaming<RememberStreamRequest>,
    ) -> Result<BoxStream<RememberStreamResponse>, Status> {
        let free = Arc::clone(&self.free).try_acquire_owned();
        let stream_place = free.map_err(|_| too_many_streams(MOST_STREAMS))?;
        Ok(Box::pin(async_stream::try_stream! {
            // Free for another when the stream ends.
            let _stream_place = stream_place;
            let mut next = 0;
            while let Some(Arrived { together, then }) = self.arrived(&mut requests).await? {
                for answer in self.answers(&mut next, together).await? {
                    yield answer;
                }
                then?;
            }
        }))
    }

    /// What has arrived, once something has; nothing at the stream's end.
    async fn arrived(
        &self,
        requests: &mut Streaming<RememberStreamRequest>,
    ) -> Result<Option<Arrived>, Status> {
        let first = tokio::time::timeout(IDLE, requests.next());
        let first = self.shutdown.run_until_cancelled(first).await.ok_or_else(stopping)?;
        let Some(first) = first.map_err(|_| idle(IDLE))? else { return Ok(None) };
        let first = first?;
        let mut bytes = first.encoded_len();
        let mut together = vec![first];
        while together.len() < MOST_REQUESTS && bytes < MOST_BYTES {
            match requests.next().now_or_never() {
                Some(Some(Ok(request))) => {
                    bytes += request.encoded_len();
                    together.push(request);
                }
                Some(Some(Err(status))) => {
                    return Ok(Some(Arrived { together, then: Err(status) }));
                }
                Some(None) | None => break,
            }
        }
        Ok(Some(Arrived { together, then: Ok(()) }))
    }

    /// Writes requests and answers them in order.
    async fn answers(
        &self,
        next: &mut u64,
        requests: Vec<RememberStreamRequest>,
    ) -> Result<Vec<RememberStreamResponse>, Status> {
        let mut answers = Vec::with_capacity(requests.len());
        let mut batch = Batch::default();
        for request in requests {
            // An empty one is refused as one without episode and facts.
            let request = request.request.unwrap_or_default();
            let place = *next;
            *next += 1;
            let content = request.encode_to_vec();
            let (namespace, key, episode, facts) = match checked_remember(request) {
                Ok(checked) => checked,
                Err(status) => {
                    self.write(&mut batch, &mut answers).await?;
                    answers.push(answer(place, Err(status))?);
                    continue;
                }
            };
            let key = Key::new("remember", &key, &content);
            match episode {
                Some(episode) if facts.is_empty() => {
                    if batch.excludes(&namespace, key.as_ref()) {
                        self.write(&mut batch, &mut answers).await?;
                    }
                    batch.add(place, namespace, key, episode);
                }
                // Facts end others one by one.
                episode => {
                    self.write(&mut batch, &mut answers).await?;
                    let written =
                        self.store.remember(&namespace, key.as_ref(), episode, facts).await;
                    answers.push(answer(place, written.map_err(failure))?);
                }
            }
        }
        self.write(&mut batch, &mut answers).await?;
        self.written.notify_one();
        Ok(answers)
    }

    /// Writes a batch, and leaves it empty.
    async fn write(
        &self,
        batch: &mut Batch,
        answers: &mut Vec<RememberStreamResponse>,
    ) -> Result<(), Status> {
        let Batch { namespace: Some(namespace), places, episodes, .. } = std::mem::take(batch)
        else {
            return Ok(());
        };
        let outcomes = self.store.remember_episodes(&namespace, episodes).await.map_err(failure)?;
        for (place, outcome) in places.into_iter().zip(outcomes) {
            answers.push(answer(place, outcome.map_err(failure))?);
        }
        Ok(())
    }
}

/// A refusal is the request's own; anything else ends the stream.
fn answer(
    place: u64,
    outcome: Result<Remembered, Status>,
) -> Result<RememberStreamResponse, Status> {
    let outcome = match outcome {
        Ok(written) => Outcome::Written(written.into()),
        Err(status) => match status.code() {
            Code::InvalidArgument | Code::NotFound | Code::AlreadyExists => {
                Outcome::Refused(RememberRefusal {
                    code: status.code().into(),
                    reason: alina_client::reason(&status).unwrap_or_default(),
                    message: status.message().to_owned(),
                })
            }
            _ => return Err(status),
        },
    };
    Ok(RememberStreamResponse { place, outcome: Some(outcome) })
}

impl From<Remembered> for RememberResponse {
    fn from(written: Remembered) -> Self {
        let texts = |ids: &[uuid::Uuid]| ids.iter().map(ToString::to_string).collect();
        Self {
            episode_id: written.episode_id.map(|id| id.to_string()).unwrap_or_default(),
            fact_ids: texts(&written.fact_ids),
            repeated_request: written.repeated,
            stale_fact_ids: texts(&written.stale),
        }
    }
}
