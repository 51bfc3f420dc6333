//! One of the sequences in the batch: what of it is in the context already, and the answer that
//! is being made in it, if any.

use std::time::Duration;

use llama_cpp_2::{context::LlamaContext, token::LlamaToken};
use tokio::sync::mpsc;

use super::{choice::Choice, engine::Sequence, failed, load::Loaded};
use crate::{
    chat::{AnswerText, Ended, Event, Finish},
    error::Error,
    schedule::{Place, Spent},
};

/// A place in the batch.
pub(super) struct Slot {
    /// Its number in the context.
    pub(super) id: i32,
    /// The tokens whose keys and values the context holds.
    pub(super) cached: Vec<LlamaToken>,
    pub(super) active: Option<Active>,
}

/// An answer being made.
pub(super) struct Active {
    pub(super) prompt: Vec<LlamaToken>,
    /// The answer's newest token, not in the context yet; none while the prompt is read.
    pub(super) newest: Option<LlamaToken>,
    pub(super) alone: bool,
    choice: Choice,
    text: AnswerText,
    max_tokens: u32,
    completion: u32,
    first_token: Option<Duration>,
    place: Place,
    out: mpsc::Sender<Result<Event, Error>>,
}

impl Active {
    pub(super) fn new(sequence: Sequence) -> Self {
        Self {
            prompt: sequence.prompt,
            newest: None,
            alone: sequence.alone,
            choice: sequence.choice,
            text: sequence.text,
            max_tokens: sequence.max_tokens,
            completion: 0,
            first_token: None,
            place: sequence.place,
            out: sequence.out,
        }
    }

    /// Nobody reads the answer any more.
    pub(super) fn is_cancelled(&self) -> bool {
        self.out.is_closed()
    }

    fn prompt_tokens(&self) -> u32 {
        u32::try_from(self.prompt.len()).unwrap_or(u32::MAX)
    }

    /// Tells what it took so far; refused when a budget is spent.
    fn spend(&mut self) -> Result<(), Spent> {
        self.place.spend(self.prompt_tokens(), self.completion)
    }

    /// Gives the place back, then tells: who reads the end finds the place free. There is room for
    /// a whole answer, so telling only fails when nobody reads it.
    fn close(mut self, last: impl IntoIterator<Item = Result<Event, Error>>) {
        // It ends in any case.
        let _ = self.spend();
        drop(self.place);
        for event in last {
            let _ = self.out.try_send(event);
        }
    }

    fn end(mut self, finish: Finish) {
        let ended = Ended {
            finish,
            prompt_tokens: self.prompt_tokens(),
            reused_tokens: 0,
            completion_tokens: self.completion,
            first_token: self.first_token.unwrap_or_default(),
            run: self.place.since().elapsed(),
            cpu: Duration::ZERO,
        };
        let rest = self.text.finish();
        let rest = (!rest.is_empty()).then_some(Ok(Event::Text(rest.into())));
        self.close(rest.into_iter().chain([Ok(Event::Ended(ended))]));
    }
}

impl Slot {
    pub(super) fn new(id: i32) -> Self {
        Self { id, cached: Vec::new(), active: None }
    }

    /// How many tokens at the beginning of `prompt` the context holds here. The last one of a
    /// prompt must always be calculated.
    pub(super) fn common(&self, prompt: &[LlamaToken]) -> usize {
        let pairs = self.cached.iter().zip(prompt).take(prompt.len().saturating_sub(1));
        pairs.take_while(|(one, other)| one == other).count()
    }

    /// Forgets all tokens of the context after the first `keep`.
    pub(super) fn truncate(&mut self, context: &mut LlamaContext<'_>, keep: usize) {
        let from = u32::try_from(keep).unwrap_or(u32::MAX);
        let id = u32::try_from(self.id).unwrap_or_default();
        if keep > 0 && matches!(context.clear_kv_cache_seq(Some(id), Some(from), None), Ok(true)) {
            self.cached.truncate(keep);
            return;
        }
        // Removing a whole sequence cannot fail; a part of a recurrent model's state can.
        let _ = context.clear_kv_cache_seq(Some(id), None, None);
        self.cached.clear();
    }

    /// Ends the answer with a failure.
    pub(super) fn fail(&mut self, cause: String) {
        if let Some(active) = self.active.take() {
            active.close([Err(failed(cause))]);
        }
    }

    /// Drops an answer that nobody reads.
    pub(super) fn cancel(&mut self) {
        if let Some(active) = self.active.take() {
            active.close([]);
        }
    }

    /// A piece of the prompt was read; its budget may end there.
    pub(super) fn read(&mut self) {
        let Some(active) = &mut self.active else { return };
        let read = u32::try_from(self.cached.len()).unwrap_or(u32::MAX);
        if active.place.spend(read, 0).is_err() {
            active.prompt.truncate(self.cached.len());
            self.end(Finish::Budget);
        }
    }

    /// Chooses the next token, from what the batch's token `at` gave.
    pub(super) fn advance(&mut self, context: &LlamaContext<'_>, loaded: &Loaded, at: i32) {
        let Some(active) = &mut self.active else { return };
        let token = match active.choice.next(context, loaded, at) {
            Ok(token) => token,
            Err(cause) => return self.fail(cause),
        };
        let since = active.place.since();
        active.first_token.get_or_insert_with(|| since.elapsed());
        let vocabulary = loaded.model.vocab();
        if vocabulary.is_eog(token) {
            return self.end(Finish::Stop);
        }
        active.completion += 1;
        let text = active.text.push(&vocabulary.token_to_piece(token, false, None));
        if !text.is_empty() {
            let _ = active.out.try_send(Ok(Event::Text(text.into())));
        }
        let full = self.cached.len() + 1 >= loaded.context as usize;
        if active.text.stopped() || active.choice.is_complete() {
            self.end(Finish::Stop);
        } else if active.completion >= active.max_tokens || full {
            self.end(Finish::Length);
        } else if active.spend().is_err() {
            self.end(Finish::Budget);
        } else {
            active.newest = Some(token);
        }
    }

    fn end(&mut self, finish: Finish) {
        if let Some(active) = self.active.take() {
            active.end(finish);
        }
    }
}
