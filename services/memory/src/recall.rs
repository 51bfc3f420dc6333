//! Finding what matters: by words and by meaning, fused.

use std::time::Duration;

use alina_client::{PeerChannel, deadline};
use alina_proto::inference::v1::{EmbedRequest, inference_service_client::InferenceServiceClient};

use crate::{
    error::MemoryError,
    knowledge::{
        Kind,
        context::{self, Context},
        fusion::{self, Found},
    },
    store::{DIMENSIONS, Scope, Store},
};

/// How long the query's vector is waited for.
const EMBED_WITHIN: Duration = Duration::from_secs(2);
/// Of each ranking that is fused.
const DEPTH: i64 = 50;
/// A context is filled up with the latest when fewer were found.
const ENOUGH: usize = 8;

/// Reads the store with the help of the embedding model.
#[derive(Debug, Clone)]
pub(crate) struct Recall {
    pub(crate) store: Store,
    pub(crate) inference: InferenceServiceClient<PeerChannel>,
}

/// What was found.
pub(crate) struct Answer {
    pub(crate) found: Vec<Found>,
    pub(crate) vectors_used: bool,
}

impl Recall {
    /// The best of `scope` for `query`.
    pub(crate) async fn search(&self, scope: &Scope, query: &str) -> Result<Answer, MemoryError> {
        let limit = usize::try_from(scope.limit).unwrap_or(usize::MAX);
        let deep = Scope { limit: scope.limit.max(DEPTH), ..scope.clone() };
        let (text, vector) = tokio::join!(self.store.by_text(&deep, query), self.vector_of(query));
        let mut rankings = vec![("text", text?)];
        let vectors_used = vector.is_some();
        if let Some(vector) = vector {
            rankings.push(("vector", self.store.by_vector(&deep, vector).await?));
        }
        Ok(Answer { found: fusion::fuse(rankings, limit), vectors_used })
    }

    /// The best for `query`, and the latest, packed into `budget` tokens.
    pub(crate) async fn context(
        &self,
        scope: &Scope,
        query: &str,
        budget: u32,
    ) -> Result<(Context, bool), MemoryError> {
        let Answer { mut found, vectors_used } = self.search(scope, query).await?;
        // An entity's bare name tells nothing.
        found.retain(|found| found.item.kind != Kind::Entity);
        if found.len() < ENOUGH {
            let kinds = vec![Kind::Episode, Kind::Fact];
            let recent = Scope { kinds, limit: ENOUGH as i64, ..scope.clone() };
            for item in self.store.recent(&recent).await? {
                if found.iter().all(|found| found.item.text != item.text) {
                    found.push(Found { item, score: 0.0, reasons: vec!["recent".to_owned()] });
                }
            }
        }
        Ok((context::pack(found, budget), vectors_used))
    }

    async fn vector_of(&self, query: &str) -> Option<Vec<f32>> {
        let request = EmbedRequest {
            texts: vec![query.to_owned()],
            agent: "memory".to_owned(),
            ..EmbedRequest::default()
        };
        let mut inference = self.inference.clone();
        let embedded = deadline::within(EMBED_WITHIN, inference.embed(request)).await;
        match embedded {
            Ok(answer) => {
                let vector = answer.into_inner().embeddings.pop()?.values;
                // Another model than the stored vectors are of: words alone must do.
                (vector.len() == DIMENSIONS).then_some(vector)
            }
            Err(status) => {
                tracing::debug!(%status, "searching without vectors");
                None
            }
        }
    }
}
