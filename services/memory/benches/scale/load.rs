//! Questions at a steady rate.

use std::time::Duration;

use alina_client::PeerChannel;
use alina_proto::memory::v1::{SearchRequest, memory_service_client::MemoryServiceClient};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{NAMESPACE, clock::ticks};

/// What came of it.
pub(crate) struct Took {
    /// Milliseconds from when a question was due, sorted.
    latencies: Vec<f64>,
    with_vectors: usize,
}

impl Took {
    fn at(&self, share: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let at = (share * self.latencies.len() as f64) as usize;
        self.latencies[at.min(self.latencies.len() - 1)]
    }

    pub(crate) fn line(&self, size: usize, bytes: i64) -> Value {
        json!({
            "size": size, "mb": bytes as f64 / 1e6, "questions": self.latencies.len(),
            "with_vectors": self.with_vectors, "p50_ms": self.at(0.5), "p90_ms": self.at(0.9),
            "p99_ms": self.at(0.99), "max_ms": self.at(1.0),
        })
    }
}

/// Asks each question when it is due, whether those before are answered or not.
pub(crate) async fn ask(
    memory: &MemoryServiceClient<PeerChannel>,
    questions: &[String],
    rate: u32,
) -> Took {
    let mut ticks = ticks(rate);
    let mut asked = JoinSet::new();
    for question in questions {
        let due = ticks.recv().await.expect("the clock goes on");
        let (mut memory, query) = (memory.clone(), question.clone());
        asked.spawn(async move {
            let request = SearchRequest {
                namespace: NAMESPACE.to_owned(),
                query,
                limit: 10,
                ..SearchRequest::default()
            };
            let mut request = tonic::Request::new(request);
            request.set_timeout(Duration::from_secs(30));
            let answer = memory.search(request).await.expect("an answer").into_inner();
            assert!(!answer.results.is_empty(), "nothing was found");
            (due.elapsed().as_secs_f64() * 1e3, answer.vectors_used)
        });
    }
    drop(ticks);
    let answers = asked.join_all().await;
    let with_vectors = answers.iter().filter(|(_, vectors)| *vectors).count();
    let mut latencies: Vec<f64> = answers.into_iter().map(|(took, _)| took).collect();
    latencies.sort_by(f64::total_cmp);
    Took { latencies, with_vectors }
}
