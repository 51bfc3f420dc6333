//! What OpenAI's clients are given.

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    chat::{Ended, Finish, TokenLogprob, ToolCall},
    gateway::Answered,
};

/// Which of the two interfaces an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Text,
}

/// What all of an answer's messages have.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) form: Form,
    id: String,
    created: i64,
    model: String,
}

/// What it took.
#[derive(Debug, Serialize)]
pub(super) struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    prompt_tokens_details: Cached,
}

#[derive(Debug, Serialize)]
struct Cached {
    cached_tokens: u32,
}

impl Usage {
    pub(super) fn new(ended: &Ended) -> Self {
        Self {
            prompt_tokens: ended.prompt_tokens,
            completion_tokens: ended.completion_tokens,
            total_tokens: ended.prompt_tokens.saturating_add(ended.completion_tokens),
            prompt_tokens_details: Cached { cached_tokens: ended.reused_tokens },
        }
    }
}

impl Head {
    pub(super) fn new(form: Form, model: String) -> Self {
        let prefix = if form == Form::Chat { "chatcmpl" } else { "cmpl" };
        let id = format!("{prefix}-{}", Uuid::new_v4().simple());
        Self { form, id, created: chrono::Utc::now().timestamp(), model }
    }

    /// A whole answer.
    pub(super) fn whole(&self, answered: &Answered, logprobs: bool) -> Value {
        let finish = finish(answered.ended.finish);
        let (object, mut choice) = match self.form {
            Form::Chat => {
                let mut message = json!({
                    "role": "assistant",
                    "content": answered.content,
                    "refusal": null,
                });
                if !answered.tool_calls.is_empty() {
                    let calls: Vec<Value> = answered.tool_calls.iter().map(call).collect();
                    message["tool_calls"] = calls.into();
                    if answered.content.is_empty() {
                        message["content"] = Value::Null;
                    }
                }
                ("chat.completion", json!({ "index": 0, "message": message }))
            }
            Form::Text => ("text_completion", json!({ "index": 0, "text": answered.content })),
        };
        choice["finish_reason"] = finish.into();
        choice["logprobs"] =
            if logprobs { self.logprobs(&answered.logprobs, 0) } else { Value::Null };
        self.message(object, &json!([choice]), &json!(Usage::new(&answered.ended)))
    }

    /// A piece of an answer: `delta` is that of a chat, or the text itself.
    pub(super) fn piece(
        &self,
        delta: &Value,
        logprobs: Option<&Value>,
        finish: Option<Finish>,
        usage: bool,
    ) -> Value {
        let (object, key) = match self.form {
            Form::Chat => ("chat.completion.chunk", "delta"),
            Form::Text => ("text_completion", "text"),
        };
        let choice = json!({
            "index": 0,
            key: delta,
            "logprobs": logprobs,
            "finish_reason": finish.map(self::finish),
        });
        let mut piece = self.message(object, &json!([choice]), &Value::Null);
        // With `include_usage` every piece has the field, null but for the last.
        if !usage && let Some(fields) = piece.as_object_mut() {
            fields.remove("usage");
        }
        piece
    }

    /// The piece after the last: what it took.
    pub(super) fn usage(&self, ended: &Ended) -> Value {
        let object =
            if self.form == Form::Chat { "chat.completion.chunk" } else { "text_completion" };
        self.message(object, &json!([]), &json!(Usage::new(ended)))
    }

    fn message(&self, object: &str, choices: &Value, usage: &Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "choices": choices,
            "usage": usage,
        })
    }

    /// In the form's own way; `before` is the length of the text before these.
    pub(super) fn logprobs(&self, tokens: &[TokenLogprob], before: usize) -> Value {
        match self.form {
            Form::Chat => {
                let content: Vec<Value> = tokens.iter().map(detailed).collect();
                json!({ "content": content, "refusal": null })
            }
            Form::Text => flat(tokens, before),
        }
    }
}

/// Why it ended. A budget that was spent cuts an answer short as a limit of tokens does.
fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length | Finish::Budget => "length",
        Finish::ToolCalls => "tool_calls",
    }
}

/// A call of a tool.
pub(super) fn call(call: &ToolCall) -> Value {
    json!({
        "id": call.id,
        "type": "function",
        "function": { "name": call.name, "arguments": call.arguments },
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn detailed(token: &TokenLogprob) -> Value {
    let one = |bytes: &[u8], logprob: f32| json!({ "token": text(bytes), "logprob": logprob, "bytes": bytes });
    let mut value = one(&token.bytes, token.logprob);
    let top: Vec<Value> = token.top.iter().map(|(bytes, logprob)| one(bytes, *logprob)).collect();
    value["top_logprobs"] = top.into();
    value
}

fn flat(tokens: &[TokenLogprob], before: usize) -> Value {
    let mut offset = before;
    let offsets = tokens.iter().map(|token| {
        let at = offset;
        offset += text(&token.bytes).chars().count();
        at
    });
    let offsets: Vec<usize> = offsets.collect();
    let top = tokens.iter().map(|token| {
        let pairs = token.top.iter().map(|(bytes, logprob)| (text(bytes), json!(logprob)));
        Value::Object(pairs.collect())
    });
    let top: Vec<Value> = top.collect();
    json!({
        "tokens": tokens.iter().map(|token| text(&token.bytes)).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|token| token.logprob).collect::<Vec<_>>(),
        "top_logprobs": top,
        "text_offset": offsets,
    })
}
