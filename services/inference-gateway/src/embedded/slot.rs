//! One of the sequences in the batch: what of it is in the context already, and the answer that
//! is being made in it, if any.

use std::time::Duration;

use llama_cpp_2::{context::LlamaContext, token::LlamaToken};
use tokio::sync::mpsc;

use super::{
    calls::{CallReader, Said},
    choice::{Choice, logprob},
    engine::Sequence,
    failed,
    guess::Guesser,
    load::Loaded,
    prefixes::common,
};
use crate::{
    chat::{AnswerText, Ended, Event, Finish, Piece, TokenLogprob},
    error::Error,
    models::Using,
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
    /// Of the prompt: what need not be calculated.
    pub(super) reused: usize,
    /// Its part of the CPU time of the steps so far.
    pub(super) cpu: Duration,
    guesser: Guesser,
    choice: Choice,
    text: AnswerText,
    calls: Option<CallReader>,
    logprobs: Option<u8>,
    max_tokens: u32,
    completion: u32,
    first_token: Option<Duration>,
    place: Place,
    out: mpsc::Sender<Result<Event, Error>>,
    _using: Using,
}

/// What a slot's next tokens are chosen from.
pub(super) struct Output {
    /// The number of the first one in the batch.
    pub(super) first: i32,
    /// The tokens after it in the batch, which may turn out wrong.
    pub(super) guesses: Vec<LlamaToken>,
}

impl Active {
    pub(super) fn new(sequence: Sequence) -> Self {
        Self {
            prompt: sequence.prompt,
            newest: None,
            alone: sequence.alone,
            reused: 0,
            cpu: Duration::ZERO,
            guesser: Guesser::default(),
            choice: sequence.choice,
            text: sequence.text,
            calls: sequence.calls,
            logprobs: sequence.logprobs,
            max_tokens: sequence.max_tokens,
            completion: 0,
            first_token: None,
            place: sequence.place,
            out: sequence.out,
            _using: sequence.using,
        }
    }

    /// Nobody reads the answer any more.
    pub(super) fn is_cancelled(&self) -> bool {
        self.out.is_closed()
    }

    /// Tokens that are likely after `newest` and fit into the answer.
    pub(super) fn guess(
        &mut self,
        before: &[LlamaToken],
        newest: LlamaToken,
        room: usize,
    ) -> Vec<LlamaToken> {
        // The last token is never followed by another.
        let left = self.max_tokens.saturating_sub(self.completion + 1);
        let room = room.min(usize::try_from(left).unwrap_or(usize::MAX));
        self.guesser.guess(before, newest, room)
    }

    fn prompt_tokens(&self) -> u32 {
        u32::try_from(self.prompt.len()).unwrap_or(u32::MAX)
    }

    /// Tells what `text` says. There is room for a whole answer, so telling only fails when nobody
    /// reads it.
    fn tell(&mut self, text: String, logprobs: Vec<TokenLogprob>) {
        for event in events(self.calls.as_mut(), text, logprobs) {
            let _ = self.out.try_send(Ok(event));
        }
    }

    /// Tells what it took so far; refused when a budget is spent.
    fn spend(&mut self) -> Result<(), Spent> {
        self.place.spend(self.prompt_tokens(), self.completion)
    }

    /// Gives the place back, then tells: who reads the end finds the place free.
    fn close(mut self, last: impl IntoIterator<Item = Result<Event, Error>>) {
        // It ends in any case.
        let _ = self.spend();
        drop(self.place);
        for event in last {
            let _ = self.out.try_send(event);
        }
    }

    fn end(mut self, finish: Finish) {
        let rest = self.text.finish();
        let mut last = events(self.calls.as_mut(), rest, Vec::new());
        let mut called = false;
        if let Some(calls) = &mut self.calls {
            last.extend(calls.finish().into_iter().map(event));
            called = calls.calls() > 0;
        }
        let ended = Ended {
            finish: if called && finish == Finish::Stop { Finish::ToolCalls } else { finish },
            prompt_tokens: self.prompt_tokens(),
            reused_tokens: u32::try_from(self.reused).unwrap_or(u32::MAX),
            completion_tokens: self.completion,
            first_token: self.first_token.unwrap_or_default(),
            run: self.place.since().elapsed(),
            cpu: self.cpu,
        };
        last.push(Event::Ended(ended));
        self.close(last.into_iter().map(Ok));
    }
}

/// What there is to tell of new text; its log-probabilities go with the first of it.
fn events(calls: Option<&mut CallReader>, text: String, logprobs: Vec<TokenLogprob>) -> Vec<Event> {
    let Some(calls) = calls else {
        let empty = text.is_empty() && logprobs.is_empty();
        return if empty { Vec::new() } else { vec![Event::Text(Piece { text, logprobs })] };
    };
    let mut events: Vec<Event> = calls.push(&text).into_iter().map(event).collect();
    if let Some(Event::Text(piece)) = events.first_mut() {
        piece.logprobs = logprobs;
    } else if !logprobs.is_empty() {
        events.insert(0, Event::Text(Piece { text: String::new(), logprobs }));
    }
    events
}

fn event(said: Said) -> Event {
    match said {
        Said::Text(text) => Event::Text(text.into()),
        Said::Call(call) => Event::Tool(call),
    }
}

impl Slot {
    pub(super) fn new(id: i32) -> Self {
        Self { id, cached: Vec::new(), active: None }
    }

    /// How many tokens at the beginning of `prompt` the context holds here. The last one of a
    /// prompt must always be calculated.
    pub(super) fn common(&self, prompt: &[LlamaToken]) -> usize {
        common(&self.cached, prompt).min(prompt.len().saturating_sub(1))
    }

    /// The prompt that is being read here and may be shared with others.
    pub(super) fn reading(&self) -> Option<&Active> {
        self.active.as_ref().filter(|active| active.newest.is_none() && !active.alone)
    }

    /// Forgets all tokens of the context after the first `keep`.
    pub(super) fn truncate(&mut self, context: &mut LlamaContext<'_>, keep: usize) {
        if keep == self.cached.len() {
            return;
        }
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

    /// Chooses the next token, and one more for each guess that was right.
    pub(super) fn follow(
        &mut self,
        context: &mut LlamaContext<'_>,
        loaded: &Loaded,
        output: &Output,
    ) {
        let certain = self.cached.len() - output.guesses.len();
        let mut right = 0;
        for at in output.first.. {
            let Some(token) = self.advance(context, loaded, at, certain + right) else { break };
            let Some(active) = &mut self.active else { break };
            active.guesser.learn(right, token);
            if output.guesses.get(right) != Some(&token) {
                active.newest = Some(token);
                break;
            }
            right += 1;
        }
        self.truncate(context, certain + right);
    }

    /// Chooses a token from what the batch's token `at` gave, the last of `held` in the context.
    /// None when the answer ends.
    fn advance(
        &mut self,
        context: &LlamaContext<'_>,
        loaded: &Loaded,
        at: i32,
        held: usize,
    ) -> Option<LlamaToken> {
        let active = self.active.as_mut()?;
        let token = match active.choice.next(context, loaded, at) {
            Ok(token) => token,
            Err(cause) => {
                self.fail(cause);
                return None;
            }
        };
        let since = active.place.since();
        active.first_token.get_or_insert_with(|| since.elapsed());
        let vocabulary = loaded.model.vocab();
        if vocabulary.is_eog(token) {
            self.end(Finish::Stop);
            return None;
        }
        active.completion += 1;
        let text = active.text.push(&vocabulary.token_to_piece(token, false, None));
        let logprobs =
            active.logprobs.map(|top| logprob(context.get_logits_ith(at), token, top, loaded));
        active.tell(text, logprobs.into_iter().collect());
        let full = held + 1 >= loaded.context as usize;
        if active.text.stopped() || active.choice.is_complete() {
            self.end(Finish::Stop);
        } else if active.completion >= active.max_tokens || full {
            self.end(Finish::Length);
        } else if active.spend().is_err() {
            self.end(Finish::Budget);
        } else {
            return Some(token);
        }
        None
    }

    fn end(&mut self, finish: Finish) {
        if let Some(active) = self.active.take() {
            active.end(finish);
        }
    }
}
