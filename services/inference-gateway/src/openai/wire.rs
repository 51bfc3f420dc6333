//! What servers are asked.

use serde::Serialize;
use serde_json::{Value, json};

use crate::chat::{Chat, Input, Message, Role, Sampling, Tool, ToolChoice};

/// `POST /chat/completions` or `POST /completions`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Request {
    model: String,
    #[serde(flatten)]
    input: WireInput,
    stream: bool,
    stream_options: Value,
    max_tokens: u32,
    temperature: f32,
    top_p: f32,
    frequency_penalty: f32,
    presence_penalty: f32,
    #[serde(flatten)]
    extensions: Option<Extensions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    /// A number with `prompt`, else whether they are wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u8>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
enum WireInput {
    Messages(Vec<Value>),
    Prompt(String),
}

/// Not OpenAI's. llama-server says `repeat_penalty`, vLLM `repetition_penalty`.
#[derive(Debug, Clone, Serialize)]
struct Extensions {
    top_k: u32,
    min_p: f32,
    repeat_penalty: f32,
    repetition_penalty: f32,
}

impl From<Sampling> for Extensions {
    fn from(sampling: Sampling) -> Self {
        Self {
            top_k: sampling.top_k,
            min_p: sampling.min_p,
            repeat_penalty: sampling.repeat_penalty,
            repetition_penalty: sampling.repeat_penalty,
        }
    }
}

impl Request {
    /// Of the server's `model`; with `extensions` also what OpenAI's interface does not know.
    pub(super) fn new(model: &str, chat: &Chat, extensions: bool) -> Self {
        let sampling = chat.sampling;
        let text = matches!(chat.input, Input::Text(_));
        let input = match &chat.input {
            Input::Messages(messages) => {
                WireInput::Messages(messages.iter().map(message).collect())
            }
            Input::Text(text) => WireInput::Prompt(text.clone()),
        };
        let format = |schema: &Value| {
            let named = json!({ "name": "answer", "schema": schema, "strict": true });
            json!({ "type": "json_schema", "json_schema": named })
        };
        let tools = chat.tools.as_ref();
        Self {
            model: model.to_owned(),
            input,
            stream: true,
            stream_options: json!({ "include_usage": true }),
            max_tokens: chat.max_tokens,
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            frequency_penalty: sampling.frequency_penalty,
            presence_penalty: sampling.presence_penalty,
            extensions: extensions.then(|| sampling.into()),
            seed: sampling.seed,
            // A constrained answer ends when it is whole.
            stop: if chat.constraint.is_some() { Vec::new() } else { chat.stop.clone() },
            response_format: chat.schema().map(format),
            tools: tools.iter().flat_map(|tools| &tools.tools).map(tool).collect(),
            tool_choice: tools.map(|tools| choice(&tools.choice)),
            logprobs: chat.logprobs.map(|count| if text { count.into() } else { true.into() }),
            top_logprobs: chat.logprobs.filter(|_| !text),
        }
    }

    pub(super) fn path(&self) -> &'static str {
        match self.input {
            WireInput::Messages(_) => "chat/completions",
            WireInput::Prompt(_) => "completions",
        }
    }
}

fn message(message: &Message) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut wire = json!({ "role": role, "content": message.content });
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            let function = json!({ "name": call.name, "arguments": call.arguments });
            json!({ "id": call.id, "type": "function", "function": function })
        });
        wire["tool_calls"] = calls.collect();
    }
    if let Some(id) = &message.tool_call_id {
        wire["tool_call_id"] = id.as_str().into();
    }
    wire
}

fn tool(tool: &Tool) -> Value {
    let Tool { name, description, parameters } = tool;
    let function = json!({ "name": name, "description": description, "parameters": parameters });
    json!({ "type": "function", "function": function })
}

fn choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => json!({ "type": "function", "function": { "name": name } }),
    }
}

/// `POST /embeddings`.
#[derive(Debug, Serialize)]
pub(super) struct EmbedRequest<'a> {
    pub(super) model: &'a str,
    pub(super) input: &'a [String],
    pub(super) encoding_format: &'static str,
}
