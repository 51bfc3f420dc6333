//! The thread that owns a model's context and runs many answers in one batch: each step takes one
//! token of every answer and a piece of every prompt that is not in the context yet.

use std::{
    cmp::Reverse,
    num::NonZeroU32,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use llama_cpp_2::{
    context::{
        LlamaContext,
        params::LlamaContextParams,
        session::{LlamaStateSeqFlags, SeqState},
    },
    llama_batch::LlamaBatch,
    token::LlamaToken,
};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;

use super::{
    EngineSettings,
    calls::CallReader,
    choice::Choice,
    load::{Loaded, backend},
    prefixes::{Prefixes, common},
    slot::{Active, Output, Slot},
};
use crate::{
    chat::{AnswerText, Event},
    error::Error,
    models::Using,
    schedule::Place,
};

/// The most tokens of prompts in a step.
const STEP: usize = 256;
/// The same while answers are being made, which wait for it.
const STEP_BESIDE_ANSWERS: usize = 128;
/// A beginning shared with another sequence is copied when that saves this many tokens.
const WORTH_COPYING: usize = 64;

/// What the thread is given to do.
pub(super) struct Sequence {
    pub(super) prompt: Vec<LlamaToken>,
    pub(super) choice: Choice,
    pub(super) text: AnswerText,
    /// Finds calls of tools, when there are tools.
    pub(super) calls: Option<CallReader>,
    pub(super) logprobs: Option<u8>,
    pub(super) max_tokens: u32,
    /// Calculated by itself, from its beginning: some kernels round otherwise in larger batches.
    pub(super) alone: bool,
    pub(super) place: Place,
    pub(super) out: mpsc::Sender<Result<Event, Error>>,
    /// The model stays until the answer is made.
    pub(super) using: Using,
}

/// A handle to the thread; it ends when this is dropped and its answers are made.
pub(super) struct Engine {
    sequences: SyncSender<Sequence>,
    alive: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Engine {
    /// Makes the context and starts the thread. Blocks until it is ready.
    pub(super) fn start(loaded: Arc<Loaded>, settings: EngineSettings) -> Result<Self, String> {
        let (sequences, todo) = sync_channel(1_024);
        let (ready, is_ready) = sync_channel(1);
        let alive = Arc::new(AtomicBool::new(true));
        let ending = Ending(Arc::clone(&alive));
        let run = move || {
            // Told last: when all of the model is gone.
            let _ending = ending;
            let loaded = loaded;
            let work = AssertUnwindSafe(|| match open(&loaded, settings) {
                Ok(context) => {
                    let _ = ready.send(Ok(()));
                    Batcher::new(&loaded, context, settings).run(&todo);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            });
            if catch_unwind(work).is_err() {
                tracing::error!(
                    "the engine panicked: its answers fail, the next request starts it"
                );
            }
        };
        let thread = thread::Builder::new().name("engine".to_owned()).spawn(run);
        let thread = thread.map_err(|error| format!("no thread for the engine: {error}"))?;
        is_ready.recv().map_err(|_| "the engine ended while it started".to_owned())??;
        Ok(Self { sequences, alive, thread })
    }

    /// Ends the thread and waits until it has ended.
    pub(super) fn close(self) {
        drop(self.sequences);
        // A panic was logged where it happened.
        let _ = self.thread.join();
    }

    /// Whether the thread still runs.
    pub(super) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// Hands over an answer to make; false when the thread is gone. It never has more to do than
    /// there are places, so this does not block.
    pub(super) fn run(&self, sequence: Sequence) -> bool {
        self.sequences.try_send(sequence).is_ok()
    }
}

/// Tells that the thread has ended, however it did.
struct Ending(Arc<AtomicBool>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A context for `loaded`.
pub(super) fn open(loaded: &Loaded, settings: EngineSettings) -> Result<LlamaContext<'_>, String> {
    let sequences = u32::from(settings.sequences);
    let threads = i32::try_from(settings.threads).unwrap_or(i32::MAX);
    let step = u32::try_from(STEP).unwrap_or(u32::MAX);
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(loaded.context.saturating_mul(sequences)))
        .with_n_seq_max(sequences)
        .with_n_batch(step)
        .with_n_ubatch(step)
        .with_n_threads(threads)
        .with_n_threads_batch(threads)
        // Each sequence has a part of its own: no other can take its room.
        .with_kv_unified(false)
        .with_no_perf(true);
    loaded.model.new_context(backend()?, params).map_err(|error| {
        format!(
            "no context of {sequences} x {} tokens could be made ({error}); lower context_length \
             or max_running in config.yaml",
            loaded.context
        )
    })
}

/// The state of the thread.
struct Batcher<'a> {
    loaded: &'a Loaded,
    context: LlamaContext<'a>,
    batch: LlamaBatch<'static>,
    slots: Vec<Slot>,
    prefixes: Prefixes<SeqState>,
    /// How many threads calculate.
    threads: u32,
}

impl<'a> Batcher<'a> {
    fn new(loaded: &'a Loaded, context: LlamaContext<'a>, settings: EngineSettings) -> Self {
        let slots = (0..i32::from(settings.sequences)).map(Slot::new).collect();
        Self {
            loaded,
            context,
            batch: LlamaBatch::new(STEP, 1),
            slots,
            prefixes: Prefixes::new(settings.prefix_bytes),
            threads: u32::try_from(settings.threads).unwrap_or(1),
        }
    }

    fn run(&mut self, todo: &Receiver<Sequence>) {
        loop {
            if self.slots.iter().all(|slot| slot.active.is_none()) {
                // Idle: sleeps until there is something to do.
                let Ok(sequence) = todo.recv() else { return };
                self.admit(sequence);
            }
            while self.slots.iter().any(|slot| slot.active.is_none()) {
                let Ok(sequence) = todo.try_recv() else { break };
                self.admit(sequence);
            }
            self.step();
        }
    }

    /// Puts a sequence where the context already holds most of its beginning.
    fn admit(&mut self, sequence: Sequence) {
        let reusable = |slot: &Slot| if sequence.alone { 0 } else { slot.common(&sequence.prompt) };
        let free = self.slots.iter().enumerate().filter(|(_, slot)| slot.active.is_none());
        // Among equals the one whose loss costs least.
        let best = free.max_by_key(|(_, slot)| (reusable(slot), Reverse(slot.cached.len())));
        let Some((at, slot)) = best else { return };
        let mut keep = reusable(slot);
        self.save(at, keep);
        if !sequence.alone {
            keep = self.restore(at, keep, &sequence.prompt);
        }
        let slot = &mut self.slots[at];
        slot.truncate(&mut self.context, keep);
        let active = slot.active.insert(Active::new(sequence));
        active.reused = slot.cached.len();
    }

    /// Puts aside what a slot is about to lose after its first `keep` tokens.
    fn save(&mut self, at: usize, keep: usize) {
        let slot = &self.slots[at];
        if slot.cached.len() < keep + WORTH_COPYING {
            return;
        }
        let flags = LlamaStateSeqFlags::empty();
        let size = self.context.state_seq_get_size_ext(slot.id, flags);
        if !self.prefixes.wants(&slot.cached, size) {
            return;
        }
        match self.context.state_seq_get(slot.id, flags) {
            Ok(state) => self.prefixes.keep(slot.cached.clone(), state),
            Err(error) => tracing::debug!(%error, "a beginning is not kept"),
        }
    }

    /// Brings back what was put aside, when that has much more of the prompt's beginning.
    fn restore(&mut self, at: usize, keep: usize, prompt: &[LlamaToken]) -> usize {
        let last = prompt.len().saturating_sub(1);
        let Some((tokens, state, length)) = self.prefixes.best(prompt) else { return keep };
        let length = length.min(last);
        if length < keep + WORTH_COPYING {
            return keep;
        }
        let slot = &mut self.slots[at];
        slot.truncate(&mut self.context, 0);
        if let Err(error) = self.context.state_seq_set(state, slot.id) {
            tracing::warn!(%error, "a kept beginning cannot be used");
            let _ = self.context.clear_kv_cache_seq(u32::try_from(slot.id).ok(), None, None);
            return 0;
        }
        slot.cached = tokens.to_vec();
        length
    }

    /// For each prompt being read: copies a beginning that another sequence has, or waits while
    /// another calculates it. Returns who waits.
    ///
    /// Nobody waits for who has read less, and of two who have read as much the second waits: so
    /// there is always one who does not.
    fn share_beginnings(&mut self) -> Vec<usize> {
        let mut waiting = Vec::new();
        for at in 0..self.slots.len() {
            let Some(active) = self.slots[at].reading() else { continue };
            let (own, last) = (self.slots[at].cached.len(), active.prompt.len().saturating_sub(1));
            let others = || self.slots.iter().enumerate().filter(|(other, _)| *other != at);
            let is_ahead = |other: usize, slot: &Slot| {
                (slot.cached.len(), Reverse(other)) > (own, Reverse(at))
            };
            let comes = others().any(|(other, slot)| {
                let Some(leader) = slot.reading() else { return false };
                let shared = common(&leader.prompt, &active.prompt).min(last);
                is_ahead(other, slot) && shared >= own + WORTH_COPYING && slot.cached.len() < shared
            });
            if comes {
                waiting.push(at);
                continue;
            }
            let ready = others().map(|(other, slot)| (slot.common(&active.prompt), other)).max();
            if let Some((length, other)) = ready
                && length >= own + WORTH_COPYING
            {
                self.copy(other, at, length);
            }
        }
        waiting
    }

    /// Copies the first `length` tokens of one sequence to another.
    fn copy(&mut self, from: usize, to: usize, length: usize) {
        let (source, target) = (self.slots[from].id, self.slots[to].id);
        let before = self.slots[to].cached.len();
        // Between sequences with parts of their own only the whole can be copied.
        if self.context.kv_cache_seq_cp(source, target, None, None).is_err() {
            return;
        }
        self.slots[to].cached = self.slots[from].cached.clone();
        let slot = &mut self.slots[to];
        slot.truncate(&mut self.context, length);
        let gained = slot.cached.len().saturating_sub(before);
        if let Some(active) = &mut slot.active {
            active.reused += gained;
        }
    }

    /// One token of every answer, a piece of every prompt.
    fn step(&mut self) {
        for slot in &mut self.slots {
            if slot.active.as_ref().is_some_and(Active::is_cancelled) {
                slot.cancel();
            }
        }
        let waiting = self.share_beginnings();
        let mut together = Vec::new();
        let mut alone = Vec::new();
        for (at, slot) in self.slots.iter().enumerate() {
            match &slot.active {
                Some(_) if waiting.contains(&at) => {}
                Some(active) if active.alone => alone.push(at),
                Some(_) => together.push(at),
                None => {}
            }
        }
        if !together.is_empty() {
            self.decode(&together);
        }
        for at in alone {
            self.decode(&[at]);
        }
    }

    fn decode(&mut self, members: &[usize]) {
        let begun = cpu_time();
        let before: Vec<usize> = members.iter().map(|at| self.slots[*at].cached.len()).collect();
        self.run_batch(members);
        // The threads work in step: each takes what this one takes.
        let took = cpu_time().saturating_sub(begun) * self.threads;
        let total = u32::try_from(self.batch.n_tokens()).unwrap_or(1).max(1);
        for (&at, before) in members.iter().zip(before) {
            let slot = &mut self.slots[at];
            let tokens = slot.cached.len().saturating_sub(before);
            if let Some(active) = &mut slot.active {
                active.cpu += took * u32::try_from(tokens).unwrap_or(0) / total;
            }
        }
    }

    fn run_batch(&mut self, members: &[usize]) {
        self.batch.clear();
        let is_answer =
            |slot: &Slot| slot.active.as_ref().is_some_and(|active| active.newest.is_some());
        let answers = members.iter().filter(|at| is_answer(&self.slots[**at])).count();
        let prompts = members.len() - answers;
        let step = if answers == 0 { STEP } else { STEP_BESIDE_ANSWERS };
        let share = Share {
            prompt: step.checked_div(prompts).unwrap_or(0).max(1),
            context: self.loaded.context as usize,
            // Sequences with more tokens than others have them calculated after the others', where
            // the model's weights are read again: then guesses cost more than they save.
            guesses: members.len() == 1 && self.loaded.can_go_back,
        };
        // Which slot's next token comes from which token of the batch.
        let mut outputs = Vec::with_capacity(members.len());
        let mut result = Ok(());
        for &at in members {
            match fill(&mut self.slots[at], &mut self.batch, share) {
                Ok(Some(output)) => outputs.push((at, output)),
                Ok(None) => {}
                Err(error) => result = Err(error),
            }
        }
        let result = result
            .and_then(|()| self.context.decode(&mut self.batch).map_err(|error| error.to_string()));
        if let Err(cause) = result {
            tracing::error!(cause, "a batch failed");
            for &at in members {
                self.slots[at].fail(cause.clone());
                self.slots[at].truncate(&mut self.context, 0);
            }
            return;
        }
        for at in members.iter().filter(|at| outputs.iter().all(|(done, _)| done != *at)) {
            self.slots[*at].read();
        }
        for (at, output) in outputs {
            self.slots[at].follow(&mut self.context, self.loaded, &output);
        }
    }
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// What a slot may have of a step.
#[derive(Clone, Copy)]
struct Share {
    /// Tokens of a prompt.
    prompt: usize,
    /// Tokens that a slot has room for.
    context: usize,
    /// Whether there may be guesses at an answer.
    guesses: bool,
}

/// Adds a slot's next tokens to the batch. Returns those that its next tokens are chosen from,
/// unless more of the prompt must come first.
fn fill(
    slot: &mut Slot,
    batch: &mut LlamaBatch<'_>,
    share: Share,
) -> Result<Option<Output>, String> {
    let Some(active) = &mut slot.active else { return Ok(None) };
    let mut tokens = Vec::new();
    let mut guesses = Vec::new();
    let mut complete = true;
    if let Some(newest) = active.newest.take() {
        if share.guesses {
            let room = share.context.saturating_sub(slot.cached.len() + 1);
            guesses = active.guess(&slot.cached, newest, room);
        }
        tokens.push(newest);
        tokens.extend_from_slice(&guesses);
    } else {
        let begin = slot.cached.len();
        let end = active.prompt.len().min(begin + share.prompt);
        complete = end == active.prompt.len();
        tokens.extend_from_slice(&active.prompt[begin..end]);
    }
    let first = tokens.len().saturating_sub(guesses.len() + 1);
    let mut output = None;
    for (n, token) in tokens.into_iter().enumerate() {
        let position = i32::try_from(slot.cached.len()).map_err(|error| error.to_string())?;
        let wanted = complete && n >= first;
        batch.add(token, position, &[slot.id], wanted).map_err(|error| error.to_string())?;
        if wanted && n == first {
            output = Some(batch.n_tokens() - 1);
        }
        slot.cached.push(token);
    }
    Ok(output.map(|first| Output { first, guesses }))
}
