//! The second tier: a model of the inference-gateway, asked for facts within budgets.

use std::time::{Duration, Instant};

use alina_client::{PeerChannel, deadline};
use alina_proto::inference::v1::{
    ChatRequest, ChatResponse, Class, Message, Role, Sampling,
    inference_service_client::InferenceServiceClient,
};
use tonic::Status;

use super::{micros, told};
use crate::{
    backoff::Backoff,
    error::MemoryError,
    knowledge::{
        Namespace,
        extraction::proposed::{self, Judged},
    },
    metrics::Metrics,
    store::{Concluded, Cost, Store, Tier, Waiting},
};

/// An answer on a busy CPU, its wait for a place included.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// How often it is looked for episodes when there were none, or the budget is spent.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// An answer that is no use is asked for once more.
const ATTEMPTS: u32 = 2;
const MOST_TOKENS: u32 = 384;
/// Shorter texts state nothing that is worth asking a model about.
const LEAST_BYTES: usize = 12;

/// What may be used in an hour, over all namespaces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModelBudget {
    /// Episodes.
    pub(crate) episodes: i64,
    /// Of prompts and answers.
    pub(crate) tokens: i64,
    /// Of each episode's text, in bytes; the rest is not read.
    pub(crate) bytes: usize,
}

/// The background task of the model.
pub(crate) struct Model {
    pub(crate) store: Store,
    pub(crate) inference: InferenceServiceClient<PeerChannel>,
    pub(crate) metrics: Metrics,
    /// Whether it is allowed.
    pub(crate) allowed: bool,
    /// A model, alias or route.
    pub(crate) alias: String,
    pub(crate) budget: ModelBudget,
}

/// Why nothing was done.
enum Idle {
    /// Nobody waits.
    Nobody,
    /// Until the next hour.
    Spent,
}

enum Trouble {
    Store(MemoryError),
    Inference(Status),
}

impl From<MemoryError> for Trouble {
    fn from(error: MemoryError) -> Self {
        Self::Store(error)
    }
}

impl Model {
    /// Works until it is dropped.
    pub(crate) async fn run(self) {
        if !self.allowed {
            if let Err(error) = self.store.dismiss_waiting(Tier::Model).await {
                told(&error);
            }
            return;
        }
        let mut backoff = Backoff::new();
        let mut after = String::new();
        loop {
            match Box::pin(self.one(&after)).await {
                Ok(Ok(namespace)) => {
                    after = namespace.0;
                    backoff.reset();
                }
                Ok(Err(Idle::Nobody)) if !after.is_empty() => after.clear(),
                Ok(Err(Idle::Nobody | Idle::Spent)) => tokio::time::sleep(LOOK_EVERY).await,
                Err(trouble) => {
                    match trouble {
                        Trouble::Store(error) => told(&error),
                        Trouble::Inference(status) => {
                            tracing::debug!(%status, "extraction by a model waits");
                        }
                    }
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
        }
    }

    /// Asks about one episode of the namespace after `after`; gives its name.
    async fn one(&self, after: &str) -> Result<Result<Namespace, Idle>, Trouble> {
        let spent = self.store.cost_of_hour(Tier::Model).await?;
        if spent.episodes >= self.budget.episodes || spent.tokens >= self.budget.tokens {
            return Ok(Err(Idle::Spent));
        }
        let next = self.store.next_waiting(Tier::Model, after, 1).await?;
        let Some((namespace, mut waiting)) = next else { return Ok(Err(Idle::Nobody)) };
        let Some(episode) = waiting.pop() else { return Ok(Err(Idle::Nobody)) };
        let begun = Instant::now();
        let (judged, tokens) = self.asked(&episode).await.map_err(Trouble::Inference)?;
        let refused = i64::try_from(judged.refused).unwrap_or(i64::MAX);
        let cost = Cost { refused, tokens, micros: micros(begun), ..Cost::default() };
        let concluded = vec![Concluded { episode, facts: judged.facts }];
        let (episodes, facts) =
            self.store.conclude(&namespace, Tier::Model, concluded, false, cost).await?;
        let cost = Cost { episodes, facts, ..cost };
        self.metrics.extracted(Tier::Model, cost, begun.elapsed().as_secs_f64());
        let waiting = self.store.count_waiting(Tier::Model).await?;
        self.metrics.awaiting(Tier::Model, waiting);
        Ok(Ok(namespace))
    }

    /// What a model makes of an episode, as far as its text bears that out, and the tokens used. An
    /// answer that cannot be read twice over counts as one that was refused.
    async fn asked(&self, episode: &Waiting) -> Result<(Judged, i64), Status> {
        let mut used = 0;
        if episode.text.len() < LEAST_BYTES {
            return Ok((Judged::default(), used));
        }
        let text = proposed::within(&episode.text, self.budget.bytes);
        for attempt in 1..=ATTEMPTS {
            let answer = match self.chat(text, &episode.actor, attempt).await {
                Ok(answer) => answer,
                // Of the model's window, or of a kind it does not take: asking again changes nothing.
                Err(status) if status.code() == tonic::Code::InvalidArgument => {
                    tracing::debug!(%status, "a model does not take an episode");
                    break;
                }
                Err(status) => return Err(status),
            };
            let usage = answer.usage.unwrap_or_default();
            used += i64::from(usage.prompt_tokens) + i64::from(usage.completion_tokens);
            if let Ok(judged) = proposed::judged(&answer.content, text, &episode.actor) {
                return Ok((judged, used));
            }
        }
        Ok((Judged { refused: 1, ..Judged::default() }, used))
    }

    async fn chat(&self, text: &str, actor: &str, attempt: u32) -> Result<ChatResponse, Status> {
        let message = |role: Role, content: String| Message {
            role: role.into(),
            content,
            ..Message::default()
        };
        let request = ChatRequest {
            model: self.alias.clone(),
            messages: vec![
                message(Role::System, proposed::instructions()),
                message(Role::User, proposed::fenced(text, actor)),
            ],
            // The same question would have the same answer.
            sampling: Some(Sampling {
                temperature: Some(if attempt == 1 { 0.0 } else { 0.4 }),
                seed: Some(attempt),
                ..Sampling::default()
            }),
            max_tokens: MOST_TOKENS,
            json_schema: proposed::schema(),
            agent: "memory".to_owned(),
            class: Class::Batch.into(),
            ..ChatRequest::default()
        };
        let mut inference = self.inference.clone();
        Ok(deadline::within(ANSWER_WITHIN, inference.chat(request)).await?.into_inner())
    }
}
