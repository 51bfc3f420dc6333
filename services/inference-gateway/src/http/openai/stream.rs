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
