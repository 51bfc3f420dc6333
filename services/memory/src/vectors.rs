//! Items get their vectors in the background: writing waits for no model, and what was written while
//! the inference-gateway was away is caught up with.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alina_client::{PeerChannel, deadline};
use alina_proto::inference::v1::{EmbedRequest, inference_service_client::InferenceServiceClient};
use tokio::sync::Notify;
use tonic::{Code, Status};

use crate::{
    backoff::Backoff,
    error::MemoryError,
    metrics::Metrics,
    store::{Bare, DIMENSIONS, Store},
};

/// Items at once.
const BATCH: i64 = 32;
/// A batch on a busy CPU.
const EMBED_WITHIN: Duration = Duration::from_secs(60);
/// Looked for without being told of a write: after a crash, or another process's write.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often those that wait are counted: it takes long when there are many.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The background task.
pub(crate) struct Vectors {
    pub(crate) store: Store,
    pub(crate) inference: InferenceServiceClient<PeerChannel>,
    pub(crate) written: Arc<Notify>,
    pub(crate) metrics: Metrics,
}

enum Trouble {
    Store(MemoryError),
    Inference(Status),
}

impl Vectors {
    /// Works until it is dropped.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::new();
        let mut told = None;
        loop {
            match self.batch(&mut told).await {
                Ok(0) => {
                    backoff.reset();
                    let _ = tokio::time::timeout(LOOK_EVERY, self.written.notified()).await;
                }
                Ok(_) => backoff.reset(),
                Err(trouble) => {
                    match trouble {
                        Trouble::Store(error) => tracing::warn!(%error, "vectors wait"),
                        Trouble::Inference(status) if alina_client::is_away(&status) => {
                            tracing::debug!(%status, "vectors wait");
                        }
                        Trouble::Inference(status) => tracing::warn!(%status, "vectors wait"),
                    }
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
        }
    }

    /// Gives some items their vectors; tells how many there were.
    async fn batch(&self, told: &mut Option<Instant>) -> Result<usize, Trouble> {
        let items = self.store.without_vector(BATCH).await.map_err(Trouble::Store)?;
        if items.len() < BATCH as usize {
            self.metrics.awaiting_vectors.set(items.len() as i64);
        } else if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            let waiting = self.store.awaiting_vectors().await.map_err(Trouble::Store)?;
            self.metrics.awaiting_vectors.set(waiting);
            *told = Some(Instant::now());
        }
        if items.is_empty() {
            return Ok(0);
        }
        let count = items.len();
        match self.embed(&items).await {
            Ok(vectors) => self.keep(vectors).await?,
            // One text of the batch is refused: each is tried by itself.
            Err(status) if status.code() == Code::InvalidArgument => {
                for item in &items {
                    match self.embed(std::slice::from_ref(item)).await {
                        Ok(vectors) => self.keep(vectors).await?,
                        Err(status) if status.code() == Code::InvalidArgument => {
                            self.store.refuse_vector(item).await.map_err(Trouble::Store)?;
                        }
                        Err(status) => return Err(Trouble::Inference(status)),
                    }
                }
            }
            Err(status) => return Err(Trouble::Inference(status)),
        }
        Ok(count)
    }

    async fn keep(&self, vectors: Vec<(Bare, Vec<f32>)>) -> Result<(), Trouble> {
        let stored = self.store.set_vectors(vectors).await.map_err(Trouble::Store)?;
        self.metrics.vectors.inc_by(stored);
        Ok(())
    }

    async fn embed(&self, items: &[Bare]) -> Result<Vec<(Bare, Vec<f32>)>, Status> {
        let request = EmbedRequest {
            texts: items.iter().map(|bare| bare.text.clone()).collect(),
            agent: "memory".to_owned(),
            ..EmbedRequest::default()
        };
        let mut inference = self.inference.clone();
        let answer = deadline::within(EMBED_WITHIN, inference.embed(request)).await?.into_inner();
        if answer.embeddings.len() != items.len() {
            return Err(Status::internal("another number of vectors than texts"));
        }
        if let Some(other) = answer.embeddings.iter().find(|one| one.values.len() != DIMENSIONS) {
            return Err(Status::failed_precondition(format!(
                "the model `{}` gives {} dimensions; stored vectors have {DIMENSIONS}: set the \
                 alias `embed` back, or import into a new database",
                answer.model,
                other.values.len()
            )));
        }
        let vectors = answer.embeddings.into_iter().map(|vector| vector.values);
        Ok(items.iter().cloned().zip(vectors).collect())
    }
}
