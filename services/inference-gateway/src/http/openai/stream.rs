//! Answers as server-sent events.

use std::convert::Infallible;

use axum::response::sse::Event;
use futures::{Stream, StreamExt};
use serde_json::{Value, json};

use super::{
    super::answer::Answer,
    error, event,
    reply::{Form, Head, call},
};
use crate::{chat::Piece, gateway::Part};

/// What a stream is to have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    /// A last piece that tells what it took.
    pub(super) usage: bool,
    /// Log-probabilities.
    pub(super) logprobs: bool,
    /// At most one call of a tool.
    pub(super) one_call: bool,
}

/// The answer's events. Only a whole answer ends with `[DONE]`.
pub(super) fn events(
    head: Head,
    options: Options,
    answer: Answer,
) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
    async_stream::stream! {
        let mut parts = answer.parts().boxed();
        let mut pieces = Pieces { head, options, calls: 0, characters: 0 };
        if let Some(first) = pieces.first() {
            yield event(&first);
        }
        while let Some(part) = parts.next().await {
            match part {
                Ok(part) => {
                    let done = matches!(part, Part::Done(_));
                    for piece in pieces.of(part) {
                        yield event(&piece);
                    }
                    if done {
                        yield Ok(Event::default().data("[DONE]"));
                    }
                }
                Err(fault) => {
                    yield event(&error(&fault));
                }
            }
        }
    }
}

struct Pieces {
    head: Head,
    options: Options,
    /// Told so far.
    calls: u32,
    characters: usize,
}

impl Pieces {
    fn piece(&self, delta: &Value) -> Value {
        self.head.piece(delta, None, None, self.options.usage)
    }

    /// Who speaks.
    fn first(&self) -> Option<Value> {
        let delta = json!({ "role": "assistant", "content": "" });
        (self.head.form == Form::Chat).then(|| self.piece(&delta))
    }

    fn of(&mut self, part: Part) -> Vec<Value> {
        match part {
            Part::Text(piece) => self.text(&piece).into_iter().collect(),
            Part::Tool(_) if self.options.one_call && self.calls > 0 => Vec::new(),
            Part::Tool(tool) => {
                let mut call = call(&tool);
                call["index"] = self.calls.into();
                self.calls += 1;
                vec![self.piece(&json!({ "tool_calls": [call] }))]
            }
            Part::Done(answered) => {
                let (ended, usage) = (answered.ended, self.options.usage);
                let delta = match self.head.form {
                    Form::Chat => json!({}),
                    Form::Text => json!(""),
                };
                let mut last = vec![self.head.piece(&delta, None, Some(ended.finish), usage)];
                if usage {
                    last.push(self.head.usage(&ended));
                }
                last
            }
        }
    }

    fn text(&mut self, piece: &Piece) -> Option<Value> {
        let before = self.characters;
        self.characters += piece.text.chars().count();
        let logprobs = (self.options.logprobs && !piece.logprobs.is_empty())
            .then(|| self.head.logprobs(&piece.logprobs, before));
        if piece.text.is_empty() && logprobs.is_none() {
            return None;
        }
        let delta = match self.head.form {
            Form::Chat => json!({ "content": piece.text }),
            Form::Text => json!(piece.text),
        };
        Some(self.head.piece(&delta, logprobs.as_ref(), None, self.options.usage))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        chat::{Ended, Finish, ModelName, TokenLogprob, ToolCall},
        gateway::Answered,
    };

    fn done(finish: Finish) -> Part {
        let ended = Ended {
            finish,
            prompt_tokens: 3,
            reused_tokens: 2,
            completion_tokens: 4,
            first_token: Duration::ZERO,
            run: Duration::ZERO,
            cpu: Duration::ZERO,
        };
        Part::Done(Answered {
            content: String::new(),
            tool_calls: Vec::new(),
            logprobs: Vec::new(),
            ended,
            waited: Duration::ZERO,
            model: ModelName("m".to_owned()),
            backend: "embedded".to_owned(),
        })
    }

    fn tool(id: &str) -> Part {
        let (name, arguments) = ("f".to_owned(), "{}".to_owned());
        Part::Tool(ToolCall { id: id.to_owned(), name, arguments })
    }

    fn pieces(form: Form, options: Options, parts: impl IntoIterator<Item = Part>) -> Vec<Value> {
        let head = Head::new(form, "m".to_owned());
        let mut pieces = Pieces { head, options, calls: 0, characters: 0 };
        parts.into_iter().flat_map(|part| pieces.of(part)).collect()
    }

    const PLAIN: Options = Options { usage: false, logprobs: false, one_call: false };

    #[test]
    fn calls_are_numbered_and_may_be_kept_to_one() {
        let parts = || [tool("a"), tool("b"), done(Finish::ToolCalls)];
        let told = pieces(Form::Chat, PLAIN, parts());
        let call = |n: usize| &told[n]["choices"][0]["delta"]["tool_calls"][0];
        assert_eq!((&call(0)["id"], &call(0)["index"]), (&json!("a"), &json!(0)));
        assert_eq!((&call(1)["id"], &call(1)["index"]), (&json!("b"), &json!(1)));
        assert_eq!(call(1)["function"], json!({ "name": "f", "arguments": "{}" }));
        assert_eq!(told[2]["choices"][0]["finish_reason"], "tool_calls");
        assert!(told[2].get("usage").is_none());
        let told = pieces(Form::Chat, Options { one_call: true, ..PLAIN }, parts());
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn log_probabilities_are_told_in_each_form() {
        let token = |text: &str| TokenLogprob {
            bytes: text.as_bytes().to_vec(),
            logprob: -0.5,
            top: vec![(b"x".to_vec(), -0.25)],
        };
        let part = |text: &str| {
            let (text, logprobs) = (text.to_owned(), vec![token(text)]);
            Part::Text(Piece { text, logprobs })
        };
        let options = Options { logprobs: true, usage: true, ..PLAIN };
        let told = pieces(Form::Chat, options, [part("é"), done(Finish::Stop)]);
        let token = &told[0]["choices"][0]["logprobs"]["content"][0];
        assert_eq!((&token["token"], &token["bytes"]), (&json!("é"), &json!([195, 169])));
        assert_eq!(token["top_logprobs"][0]["logprob"], -0.25);
        assert_eq!(told[2]["usage"]["prompt_tokens_details"]["cached_tokens"], 2);
        let told = pieces(Form::Text, options, [part("é"), part("b")]);
        let flat = &told[1]["choices"][0]["logprobs"];
        assert_eq!((&flat["tokens"], &flat["text_offset"]), (&json!(["b"]), &json!([1])));
        assert_eq!(flat["top_logprobs"], json!([{ "x": -0.25 }]));
        let told = pieces(Form::Chat, PLAIN, [part("")]);
        assert!(told.is_empty());
    }
}
