//! What is said over HTTP.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::chat::{Chat, Input, Role};

/// `POST /api/chat`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ChatRequest {
    model: String,
    messages: Vec<Message>,
    stream: bool,
    options: Options,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Value>,
}

#[derive(Debug, Clone, Serialize)]
struct Message {
    role: &'static str,
    content: String,
}

#[derive(Debug, Clone, Serialize)]
struct Options {
    temperature: f32,
    top_p: f32,
    top_k: u32,
    min_p: f32,
    repeat_penalty: f32,
    num_predict: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop: Vec<String>,
}

impl ChatRequest {
    pub(super) fn new(model: &str, chat: &Chat) -> Self {
        let messages = match &chat.input {
            Input::Messages(messages) => messages.as_slice(),
            Input::Text(_) => &[],
        };
        let messages = messages.iter().map(|message| Message {
            role: match message.role {
                Role::System => "system",
                Role::User => "user",
                Role::Assistant => "assistant",
                Role::Tool => "tool",
            },
            content: message.content.clone(),
        });
        let sampling = chat.sampling;
        Self {
            model: model.to_owned(),
            messages: messages.collect(),
            stream: true,
            options: Options {
                temperature: sampling.temperature,
                top_p: sampling.top_p,
                top_k: sampling.top_k,
                min_p: sampling.min_p,
                repeat_penalty: sampling.repeat_penalty,
                num_predict: chat.max_tokens,
                seed: sampling.seed,
                stop: if chat.constraint.is_some() { Vec::new() } else { chat.stop.clone() },
            },
            format: chat.schema().cloned(),
        }
    }

    /// The longest answer.
    pub(super) fn max_tokens(&self) -> u32 {
        self.options.num_predict
    }
}

/// One line of its answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ChatLine {
    pub(super) message: Option<Piece>,
    pub(super) done: bool,
    pub(super) done_reason: Option<String>,
    pub(super) prompt_eval_count: u32,
    pub(super) eval_count: u32,
    pub(super) error: Option<String>,
}

/// A piece of the answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Piece {
    pub(super) content: String,
}

/// `POST /api/embed`.
#[derive(Debug, Serialize)]
pub(super) struct EmbedRequest<'a> {
    pub(super) model: &'a str,
    pub(super) input: &'a [String],
    pub(super) truncate: bool,
}

/// Its answer.
#[derive(Debug, Deserialize)]
pub(super) struct EmbedResponse {
    pub(super) embeddings: Vec<Vec<f32>>,
    #[serde(default)]
    pub(super) prompt_eval_count: u32,
}

/// The answer of `GET /api/tags`.
#[derive(Debug, Deserialize)]
pub(super) struct Tags {
    pub(super) models: Vec<Tag>,
}

/// A model there.
#[derive(Debug, Deserialize)]
pub(super) struct Tag {
    pub(super) name: String,
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default)]
    pub(super) details: Details,
}

/// What it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Details {
    pub(super) family: String,
    pub(super) parameter_size: String,
    pub(super) quantization_level: String,
}

/// The answer of `GET /api/version`.
#[derive(Debug, Deserialize)]
pub(super) struct Version {
    pub(super) version: String,
}

/// The body of a refusal.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    pub(super) error: String,
}
