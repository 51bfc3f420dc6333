//! What Ollama's clients are given.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::{
    chat::{Finish, Piece, TokenLogprob, ToolCall},
    gateway::{Answered, Part},
};

/// Which of the two interfaces an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `/api/chat`.
    Chat,
    /// `/api/generate`.
    Generate,
}

/// What all of an answer's lines have.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) form: Form,
    /// As it was asked for.
    pub(super) model: String,
    pub(super) logprobs: bool,
    /// When the request came.
    pub(super) begun: Instant,
    /// How long its preparation took, its wait for a place included.
    pub(super) prepared: Duration,
}

/// A moment as Ollama writes it.
pub(super) fn moment(moment: chrono::DateTime<chrono::Utc>) -> Value {
    moment.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true).into()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Head {
    fn line(&self, text: &str, calls: &[ToolCall], done: bool) -> Map<String, Value> {
        let mut line = Map::new();
        line.insert("model".to_owned(), self.model.clone().into());
        line.insert("created_at".to_owned(), moment(chrono::Utc::now()));
        match self.form {
            Form::Generate => line.insert("response".to_owned(), text.into()),
            Form::Chat => {
                let mut message = json!({ "role": "assistant", "content": text });
                if !calls.is_empty() {
                    message["tool_calls"] = calls.iter().map(call).collect();
                }
                line.insert("message".to_owned(), message)
            }
        };
        line.insert("done".to_owned(), done.into());
        line
    }

    /// A line of a stream.
    pub(super) fn part(&self, part: Part) -> Option<Value> {
        let line = match part {
            Part::Text(piece) if self.says_nothing(&piece) => return None,
            Part::Text(piece) => {
                let mut line = self.line(&piece.text, &[], false);
                self.add_logprobs(&mut line, &piece.logprobs);
                line
            }
            Part::Tool(call) => self.line("", &[call], false),
            Part::Done(answered) => {
                let mut line = self.line("", &[], true);
                self.add_end(&mut line, &answered);
                line
            }
        };
        Some(Value::Object(line))
    }

    /// A whole answer.
    pub(super) fn whole(&self, answered: &Answered) -> Value {
        let mut line = self.line(&answered.content, &answered.tool_calls, true);
        self.add_logprobs(&mut line, &answered.logprobs);
        self.add_end(&mut line, answered);
        Value::Object(line)
    }

    /// No answer, but something was done with the model.
    pub(super) fn nothing(&self, why: &'static str) -> Value {
        let mut line = self.line("", &[], true);
        line.insert("done_reason".to_owned(), why.into());
        Value::Object(line)
    }

    fn says_nothing(&self, piece: &Piece) -> bool {
        piece.text.is_empty() && (piece.logprobs.is_empty() || !self.logprobs)
    }

    fn add_logprobs(&self, line: &mut Map<String, Value>, logprobs: &[TokenLogprob]) {
        if self.logprobs {
            line.insert("logprobs".to_owned(), logprobs.iter().map(detailed).collect());
        }
    }

    fn add_end(&self, line: &mut Map<String, Value>, answered: &Answered) {
        let ended = answered.ended;
        // Ollama knows no budgets and tells of tools by calling them.
        let reason = match ended.finish {
            Finish::Stop | Finish::ToolCalls => "stop",
            Finish::Length | Finish::Budget => "length",
        };
        let load = self.prepared.saturating_sub(answered.waited);
        let eval = ended.run.saturating_sub(ended.first_token);
        for (name, value) in [
            ("done_reason", json!(reason)),
            ("total_duration", json!(nanos(self.begun.elapsed()))),
            ("load_duration", json!(nanos(load))),
            ("prompt_eval_count", json!(ended.prompt_tokens)),
            ("prompt_eval_duration", json!(nanos(ended.first_token))),
            ("eval_count", json!(ended.completion_tokens)),
            ("eval_duration", json!(nanos(eval))),
        ] {
            line.insert(name.to_owned(), value);
        }
    }
}

/// A call of a tool; its arguments are an object here.
fn call(call: &ToolCall) -> Value {
    let arguments = serde_json::from_str(&call.arguments);
    let arguments = arguments.unwrap_or_else(|_| Value::Object(Map::new()));
    json!({ "id": call.id, "function": { "name": call.name, "arguments": arguments } })
}

fn detailed(token: &TokenLogprob) -> Value {
    let one = |bytes: &[u8], logprob: f32| json!({ "token": String::from_utf8_lossy(bytes), "logprob": logprob, "bytes": bytes });
    let mut value = one(&token.bytes, token.logprob);
    let top: Vec<Value> = token.top.iter().map(|(bytes, logprob)| one(bytes, *logprob)).collect();
    if !top.is_empty() {
        value["top_logprobs"] = top.into();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_their_arguments_as_an_object() {
        let head = Head {
            form: Form::Chat,
            model: "m".to_owned(),
            logprobs: false,
            begun: Instant::now(),
            prepared: Duration::ZERO,
        };
        let call = ToolCall {
            id: "call_0".to_owned(),
            name: "f".to_owned(),
            arguments: r#"{"a":[1]}"#.to_owned(),
        };
        let line = head.part(Part::Tool(call)).unwrap();
        let function = &line["message"]["tool_calls"][0]["function"];
        assert_eq!(function, &json!({ "name": "f", "arguments": { "a": [1] } }));
        assert_eq!((&line["done"], &line["message"]["content"]), (&json!(false), &json!("")));
        assert_eq!(head.part(Part::Text(Piece::default())), None);
        assert_eq!(head.nothing("load")["done_reason"], "load");
    }
}
