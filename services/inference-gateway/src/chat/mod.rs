//! A chat: what is asked for, and what comes back. Knows no transport and no back end.

mod text;
mod tools;

use std::{fmt, time::Duration};

use futures::{future::BoxFuture, stream::BoxStream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{error::Error, schedule::Place};

pub use text::AnswerText;
pub use tools::{Tool, ToolCall, ToolChoice, Tools};

/// A model's configured name, or "<server>/<model>" for one of an Ollama server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName(pub String);

/// What a request belongs to, for its budget and for accounting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub String);

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who.
    pub role: Role,
    /// What.
    pub content: String,
    /// Of the assistant: the tools it called.
    pub tool_calls: Vec<ToolCall>,
    /// Of a tool: which call this answers.
    pub tool_call_id: Option<String>,
}

impl Message {
    /// Text alone.
    #[must_use]
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), tool_calls: Vec::new(), tool_call_id: None }
    }
}

/// What the model goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Input {
    /// At least one message, put through the model's chat template.
    Messages(Vec<Message>),
    /// A text that is continued as it is.
    Text(String),
}

impl Input {
    /// Of all of it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Messages(messages) => messages.iter().map(|message| message.content.len()).sum(),
            Self::Text(text) => text.len(),
        }
    }
}

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// By how often a token is in the answer already; 0 turns it off; -2 to 2.
    pub frequency_penalty: f32,
    /// For being in the answer already; 0 turns it off; -2 to 2.
    pub presence_penalty: f32,
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
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            seed: None,
        }
    }
}

impl Sampling {
    /// Each bounded field, whether it is within its bounds, and what these are.
    #[must_use]
    pub fn rules(&self) -> [(&'static str, bool, &'static str); 7] {
        let penalty = |value: &f32| (-2.0..=2.0).contains(value);
        [
            ("temperature", (0.0..=2.0).contains(&self.temperature), "must be 0 to 2"),
            ("top_p", self.top_p > 0.0 && self.top_p <= 1.0, "must be over 0 and at most 1"),
            ("top_k", self.top_k <= 100_000, "must be 0 (off) to 100,000"),
            ("min_p", (0.0..=1.0).contains(&self.min_p), "must be 0 to 1"),
            ("repeat_penalty", (0.5..=2.0).contains(&self.repeat_penalty), "must be 0.5 to 2"),
            ("frequency_penalty", penalty(&self.frequency_penalty), "must be -2 to 2"),
            ("presence_penalty", penalty(&self.presence_penalty), "must be -2 to 2"),
        ]
    }
}

/// What the whole answer must be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Constraint {
    /// JSON that satisfies this schema.
    Schema(serde_json::Value),
    /// A match of this regular expression.
    Regex(String),
    /// One of these.
    Choice(Vec<String>),
    /// A sentence of this grammar, in llama.cpp's GBNF.
    Grammar(String),
}

/// A request, complete: defaults are filled in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chat {
    /// What the model goes on from.
    pub input: Input,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// The longest answer, in tokens; at least 1.
    pub max_tokens: u32,
    /// The answer ends before any of these.
    pub stop: Vec<String>,
    /// What the answer must be; none with tools.
    pub constraint: Option<Constraint>,
    /// What the model may call, and whether it must.
    pub tools: Option<Tools>,
    /// Log-probabilities are wanted, each with this many alternatives.
    pub logprobs: Option<u8>,
}

impl Chat {
    /// The schema that the answer must satisfy, if any.
    #[must_use]
    pub fn schema(&self) -> Option<&serde_json::Value> {
        match &self.constraint {
            Some(Constraint::Schema(schema)) => Some(schema),
            _ => None,
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finish {
    /// The model ended it, a stop string was met, or the constraint was satisfied.
    Stop,
    /// `max_tokens` or the context window was reached.
    Length,
    /// Tools were called, whose results are waited for.
    ToolCalls,
    /// A budget was spent on the way.
    Budget,
}

impl Finish {
    /// For labels and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::Budget => "budget",
        }
    }
}

/// What a back end says of an answer at its end. Times count from when the place was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub finish: Finish,
    /// Of the prompt.
    pub prompt_tokens: u32,
    /// Of those: what was calculated before, for another request.
    pub reused_tokens: u32,
    /// Of the answer.
    pub completion_tokens: u32,
    /// To the first token.
    pub first_token: Duration,
    /// To the last token.
    pub run: Duration,
    /// CPU time of this process; zero for other back ends.
    pub cpu: Duration,
}

/// A piece of an answer's text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Piece {
    /// May be empty when there are log-probabilities.
    pub text: String,
    /// Of the tokens it is made of, when asked for.
    pub logprobs: Vec<TokenLogprob>,
}

impl From<String> for Piece {
    fn from(text: String) -> Self {
        Self { text, logprobs: Vec::new() }
    }
}

/// How likely a token was, before sampling: natural logarithms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// It may hold a part of a character.
    pub bytes: Vec<u8>,
    /// Its own.
    pub logprob: f32,
    /// The likeliest tokens and theirs.
    pub top: Vec<(Vec<u8>, f32)>,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// More text.
    Text(Piece),
    /// A tool is called.
    Tool(ToolCall),
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
