//! A chat: what is asked for, and what comes back. Knows no transport and no back end.

mod text;

use std::{fmt, time::Duration};

use futures::{future::BoxFuture, stream::BoxStream};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{error::Error, schedule::Place};

pub use text::AnswerText;

/// A model's configured name, or "<server>/<model>" for one of an Ollama server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName(pub String);

/// Who is served: the unit of fairness.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(pub String);

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AgentId {
    /// "anonymous" when `name` is empty.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(if name.is_empty() { "anonymous" } else { name }.to_owned())
    }
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
    /// The result of a tool.
    Tool,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who.
    pub role: Role,
    /// What.
    pub content: String,
}

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// 0 (always the likeliest token) to 2.
    pub temperature: f32,
    /// Nucleus: 0 (exclusive) to 1.
    pub top_p: f32,
    /// 0 turns it off; at most 100,000.
    pub top_k: u32,
    /// 0 to 1.
    pub min_p: f32,
    /// 1 turns it off; 0.5 to 2.
    pub repeat_penalty: f32,
    /// The same seed and request give the same text on the embedded engine; absent means a new one
    /// for each request.
    pub seed: Option<u32>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.2,
            top_p: 0.9,
            top_k: 40,
            min_p: 0.05,
            repeat_penalty: 1.1,
            seed: None,
        }
    }
}

impl Sampling {
    /// Each bounded field, whether it is within its bounds, and what these are.
    #[must_use]
    pub fn rules(&self) -> [(&'static str, bool, &'static str); 5] {
        [
            ("temperature", (0.0..=2.0).contains(&self.temperature), "must be 0 to 2"),
            ("top_p", self.top_p > 0.0 && self.top_p <= 1.0, "must be over 0 and at most 1"),
            ("top_k", self.top_k <= 100_000, "must be 0 (off) to 100,000"),
            ("min_p", (0.0..=1.0).contains(&self.min_p), "must be 0 to 1"),
            ("repeat_penalty", (0.5..=2.0).contains(&self.repeat_penalty), "must be 0.5 to 2"),
        ]
    }
}

/// A request, complete: defaults are filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Chat {
    /// At least one.
    pub messages: Vec<Message>,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// The longest answer, in tokens; at least 1.
    pub max_tokens: u32,
    /// The answer ends before any of these.
    pub stop: Vec<String>,
    /// The answer satisfies this JSON schema.
    pub schema: Option<serde_json::Value>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it, a stop string was met, or the schema was satisfied.
    Stop,
    /// `max_tokens` or the context window was reached.
    Length,
}

/// What a back end says of an answer at its end. Times count from when the place was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub finish: Finish,
    /// Of the prompt.
    pub prompt_tokens: u32,
    /// Of the answer.
    pub completion_tokens: u32,
    /// To the first token.
    pub first_token: Duration,
    /// To the last token.
    pub run: Duration,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// More text; never empty.
    Text(String),
    /// Nothing follows.
    Ended(Ended),
}

/// An answer as it comes. Dropping it cancels the work.
pub type Answer = BoxStream<'static, Result<Event, Error>>;

/// A model that answers chats: embedded here, or behind Ollama's interface.
pub trait ChatModel: fmt::Debug + Send + Sync {
    /// Checks what can be checked before the chat waits for its place; loads the model when that
    /// is needed.
    ///
    /// # Errors
    /// When the model is unavailable, the prompt does not fit, or the schema cannot be enforced.
    fn prepare(&self, chat: Chat) -> BoxFuture<'_, Result<Box<dyn Job>, Error>>;
}

/// A chat that is ready to run.
pub trait Job: Send {
    /// The most tokens it may take, prompt and answer.
    fn cost(&self) -> u32;

    /// Runs it. The place is given back when the work ends, not when the answer has been read.
    fn start(self: Box<Self>, place: Place) -> Answer;
}

/// Vectors of texts, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// Of unit length.
    pub vectors: Vec<Vec<f32>>,
    /// Of all texts, after cutting.
    pub tokens: u32,
}

/// A model that turns texts into vectors: embedded here, or behind Ollama's interface.
pub trait EmbeddingModel: fmt::Debug + Send + Sync {
    /// A vector for each text.
    ///
    /// # Errors
    /// When the model is unavailable or fails.
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Embedded, Error>>;
}
