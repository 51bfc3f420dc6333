//! What is said over HTTP.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::chat::{Chat, Input, Message, Role, Tool, ToolCall, ToolChoice};

/// `POST /api/chat` or `POST /api/generate`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ChatRequest {
    model: String,
    #[serde(flatten)]
    input: WireInput,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    stream: bool,
    options: Options,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Value>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum WireInput {
    Messages {
        messages: Vec<Value>,
    },
    /// `raw` keeps the model's template away.
    Prompt {
        prompt: String,
        raw: bool,
    },
}

#[derive(Debug, Clone, Serialize)]
struct Options {
    temperature: f32,
    top_p: f32,
    top_k: u32,
    min_p: f32,
    repeat_penalty: f32,
    frequency_penalty: f32,
    presence_penalty: f32,
    num_predict: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop: Vec<String>,
}

impl ChatRequest {
    pub(super) fn new(model: &str, chat: &Chat) -> Self {
        let input = match &chat.input {
            Input::Messages(messages) => WireInput::Messages { messages: self::messages(messages) },
            Input::Text(text) => WireInput::Prompt { prompt: text.clone(), raw: true },
        };
        // Ollama has no word for tools that are shown but not called.
        let tools = chat.tools.as_ref().filter(|tools| tools.choice != ToolChoice::None);
        let sampling = chat.sampling;
        Self {
            model: model.to_owned(),
            input,
            tools: tools.iter().flat_map(|tools| &tools.tools).map(tool).collect(),
            stream: true,
            options: Options {
                temperature: sampling.temperature,
                top_p: sampling.top_p,
                top_k: sampling.top_k,
                min_p: sampling.min_p,
                repeat_penalty: sampling.repeat_penalty,
                frequency_penalty: sampling.frequency_penalty,
                presence_penalty: sampling.presence_penalty,
                num_predict: chat.max_tokens,
                seed: sampling.seed,
                stop: if chat.constraint.is_some() { Vec::new() } else { chat.stop.clone() },
            },
            format: chat.schema().cloned(),
        }
    }

    pub(super) fn path(&self) -> &'static str {
        match self.input {
            WireInput::Messages { .. } => "api/chat",
            WireInput::Prompt { .. } => "api/generate",
        }
    }
}

fn messages(messages: &[Message]) -> Vec<Value> {
    let calls = || messages.iter().flat_map(|message| &message.tool_calls);
    let wire = messages.iter().map(|message| {
        let role = match message.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        };
        let mut wire = json!({ "role": role, "content": message.content });
        if !message.tool_calls.is_empty() {
            wire["tool_calls"] = message.tool_calls.iter().map(call).collect();
        }
        // Ollama tells results apart by the names of tools.
        let answered = message.tool_call_id.as_ref();
        if let Some(of) = answered.and_then(|id| calls().find(|call| call.id == *id)) {
            wire["tool_name"] = of.name.as_str().into();
        }
        wire
    });
    wire.collect()
}

fn call(call: &ToolCall) -> Value {
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
    json!({ "function": { "name": call.name, "arguments": arguments } })
}

fn tool(tool: &Tool) -> Value {
    let Tool { name, description, parameters } = tool;
    let function = json!({ "name": name, "description": description, "parameters": parameters });
    json!({ "type": "function", "function": function })
}

/// One line of its answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ChatLine {
    pub(super) message: Option<Piece>,
    /// Of `/api/generate`.
    response: Option<String>,
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
    content: String,
    tool_calls: Vec<WireCall>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireCall {
    function: WireFunction,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireFunction {
    name: String,
    arguments: Value,
}

impl ChatLine {
    /// Its text and its calls. A thought is neither.
    pub(super) fn take(&mut self) -> (String, Vec<ToolCall>) {
        let Some(message) = self.message.take() else {
            return (self.response.take().unwrap_or_default(), Vec::new());
        };
        let calls = message.tool_calls.into_iter().map(|call| ToolCall {
            id: format!("call_{}", uuid::Uuid::new_v4().simple()),
            name: call.function.name,
            arguments: match call.function.arguments {
                Value::Null => "{}".to_owned(),
                arguments => arguments.to_string(),
            },
        });
        (message.content, calls.collect())
    }
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

/// `POST /api/generate` without a prompt: says how long a model stays in memory.
#[derive(Debug, Serialize)]
pub(super) struct Keep<'a> {
    pub(super) model: &'a str,
    pub(super) keep_alive: u32,
    pub(super) stream: bool,
}

/// Its answer, of which nothing is needed.
#[derive(Debug, Deserialize)]
pub(super) struct Kept {}

/// `POST /api/pull`.
#[derive(Debug, Serialize)]
pub(super) struct PullRequest<'a> {
    pub(super) model: &'a str,
    pub(super) stream: bool,
}

/// The answer of `GET /api/ps`.
#[derive(Debug, Deserialize)]
pub(super) struct Running {
    pub(super) models: Vec<RunningModel>,
}

/// A model in memory.
#[derive(Debug, Deserialize)]
pub(super) struct RunningModel {
    pub(super) name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spoilt_answers_are_read_or_refused() {
        let seeds = [
            b"{\"message\":{\"role\":\"assistant\",\"content\":\"\\u00e9\"},\"done\":false}"
                .to_vec(),
            b"{\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":11,\"eval_count\":3}"
                .to_vec(),
            b"{\"embeddings\":[[0.5,-1e-3]],\"prompt_eval_count\":3}".to_vec(),
            b"{\"models\":[{\"name\":\"a:b\",\"size\":3,\"details\":{\"family\":\"bert\"}}]}"
                .to_vec(),
            b"{\"version\":\"0.12.3\"}".to_vec(),
        ];
        crate::fuzz::fuzz("ollama", &seeds, |body| {
            let _ = serde_json::from_slice::<ChatLine>(body);
            let _ = serde_json::from_slice::<EmbedResponse>(body);
            let _ = serde_json::from_slice::<Tags>(body);
            let _ = serde_json::from_slice::<Version>(body);
        });
    }
}
