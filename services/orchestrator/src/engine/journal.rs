//! Steps that are done once. A run's program is ordinary code over [`Journal::step`]: run again
//! from its beginning it gets the outputs of the steps that were done and takes up the first one
//! that was not. An effect that changes anything outside must carry an idempotency key made of
//! the run and the step, as a crash between the effect and its entry repeats the effect.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{info, warn};

use super::Bus;
use crate::{
    error::Error,
    metrics::Metrics,
    run::{Ending, EventKind, NewEvent, NewOutput, NewStep, OwnerId, RunId, StepKind, StepState},
    store::{Begun, Store},
};

const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Short, so that a run goes on soon after what was away is back.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// What an effect gives to the journal.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    pub(super) output: Value,
    pub(super) events: Vec<NewEvent>,
    pub(super) put_out: Option<NewOutput>,
}

impl Effect {
    pub(super) fn new(output: Value) -> Self {
        Self { output, events: Vec::new(), put_out: None }
    }

    pub(super) fn event(mut self, event: NewEvent) -> Self {
        self.events.push(event);
        self
    }
}

/// The journal of one run, as its owner writes it.
pub(super) struct Journal {
    pub(super) store: Store,
    pub(super) bus: Bus,
    pub(super) metrics: Metrics,
    pub(super) run: RunId,
    pub(super) owner: OwnerId,
    pub(super) max_attempts: u32,
    /// Services that followers were told are away.
    told: Mutex<HashSet<&'static str>>,
    /// Whether the store was away and followers have yet to be told.
    store_was_away: AtomicBool,
}

impl Journal {
    pub(super) fn new(
        store: Store,
        bus: Bus,
        metrics: Metrics,
        run: RunId,
        owner: OwnerId,
        max_attempts: u32,
    ) -> Self {
        Self {
            store,
            bus,
            metrics,
            run,
            owner,
            max_attempts,
            told: Mutex::default(),
            store_was_away: AtomicBool::new(false),
        }
    }

    /// The key with which the side effect of a step is done once.
    pub(super) fn idempotency_key(&self, step_key: &str) -> String {
        format!("{}/{step_key}", self.run)
    }

    /// Gives the output of a step that was done, else does it: `effect` gets the number of the
    /// attempt, from 1.
    ///
    /// # Errors
    /// `StepFailed` when it failed for good, now or earlier; `LeaseLost` when the run is no longer
    /// this owner's.
    pub(super) async fn step<F, Fut>(&self, step: NewStep, effect: F) -> Result<Value, Error>
    where
        F: Fn(u32) -> Fut,
        Fut: Future<Output = Result<Effect, Error>>,
    {
        let started = Instant::now();
        let mut pause = Pause::default();
        for attempt in 1.. {
            match self.stored(|| self.store.begin_step(self.run, self.owner, &step)).await? {
                Begun::Done(output) => {
                    self.metrics.step_replayed();
                    return Ok(output);
                }
                Begun::Failed(reason) => return Err(Error::StepFailed { key: step.key, reason }),
                Begun::Running(events) => self.bus.events(events),
            }
            let error = match self.patiently(|| effect(attempt)).await {
                Ok(effect) => return self.finish(&step, effect, started).await,
                Err(error @ Error::LeaseLost(_)) => return Err(error),
                Err(error) => error,
            };
            if !error.may_pass() || attempt >= self.max_attempts {
                return Err(self.fail(&step, &error, started).await?);
            }
            warn!(run = %self.run, step = step.key, attempt, %error, "a step is tried again");
            pause.wait().await;
        }
        // The loop has no end of its own.
        Err(Error::LeaseLost(self.run))
    }

    async fn finish(
        &self,
        step: &NewStep,
        effect: Effect,
        started: Instant,
    ) -> Result<Value, Error> {
        let Effect { output, events, put_out } = effect;
        let finish = || {
            let put_out = put_out.as_ref();
            self.store.finish_step(self.run, self.owner, &step.key, &output, &events, put_out)
        };
        self.bus.events(self.stored(finish).await?);
        self.metrics.step_ended(step.kind, StepState::Done, started.elapsed());
        Ok(output)
    }

    async fn fail(&self, step: &NewStep, error: &Error, started: Instant) -> Result<Error, Error> {
        let reason = error.to_string();
        warn!(run = %self.run, step = step.key, reason, "a step has failed");
        let event = (step.kind == StepKind::Task).then(|| {
            NewEvent::new(EventKind::TaskFinished, format!("failed: {reason}"))
                .of(&step.agent, &step.key)
                .data(json!({ "error": reason }))
        });
        let events: Vec<_> = event.into_iter().collect();
        let fail = || self.store.fail_step(self.run, self.owner, &step.key, &reason, &events);
        self.bus.events(self.stored(fail).await?);
        self.metrics.step_ended(step.kind, StepState::Failed, started.elapsed());
        Ok(Error::StepFailed { key: step.key.clone(), reason })
    }

    /// Journals the run's end.
    pub(super) async fn end(&self, ending: &Ending) -> Result<(), Error> {
        let events = self.stored(|| self.store.end_run(self.run, self.owner, ending)).await?;
        self.bus.events(events);
        Ok(())
    }

    /// Repeats `work` until what it needs is there; the run's deadline bounds that.
    async fn patiently<T, F, Fut>(&self, work: F) -> Result<T, Error>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let mut pause = Pause::default();
        let mut waited_for = HashSet::new();
        loop {
            let result = work().await;
            let Some((who, error)) =
                result.as_ref().err().and_then(|error| Some((error.away()?, error)))
            else {
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                told.retain(|who| !waited_for.contains(who));
                return result;
            };
            waited_for.insert(who);
            self.tell_away(who, error).await?;
            pause.wait().await;
        }
    }

    /// Tells followers once that something is away.
    async fn tell_away(&self, who: &'static str, error: &Error) -> Result<(), Error> {
        if matches!(error, Error::StoreUnavailable(_)) {
            self.store_was_away.store(true, Ordering::Relaxed);
            return Ok(());
        }
        if !self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(who) {
            return Ok(());
        }
        info!(run = %self.run, %error, "waiting for {who}");
        self.metrics.waits_for(who);
        let text = format!("waiting for {who}: {error}");
        let waiting = [NewEvent::new(EventKind::Waiting, text).data(json!({ "away": who }))];
        let add = || self.store.add_events(self.run, self.owner, &waiting);
        self.bus.events(self.stored(add).await?);
        Ok(())
    }

    /// Asks the store until it answers; followers are told afterwards, as events are stored, too.
    async fn stored<T, F, Fut>(&self, question: F) -> Result<T, Error>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let mut pause = Pause::default();
        loop {
            let result = match self.tell_store_was_away().await {
                Ok(()) => question().await,
                Err(error) => Err(error),
            };
            let Err(Error::StoreUnavailable(reason)) = result else { return result };
            if !self.store_was_away.swap(true, Ordering::Relaxed) {
                info!(run = %self.run, reason, "waiting for PostgreSQL");
            }
            pause.wait().await;
        }
    }

    async fn tell_store_was_away(&self) -> Result<(), Error> {
        if !self.store_was_away.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let waiting = NewEvent::new(EventKind::Waiting, "PostgreSQL was away; the run goes on")
            .data(json!({ "away": "PostgreSQL" }));
        match self.store.add_events(self.run, self.owner, &[waiting]).await {
            Ok(events) => {
                self.metrics.waits_for("PostgreSQL");
                self.bus.events(events);
                Ok(())
            }
            Err(error) => {
                self.store_was_away.store(true, Ordering::Relaxed);
                Err(error)
            }
        }
    }
}

/// Waits that double up to a bound, each shortened by chance so that many do not come back at once.
#[derive(Debug, Default)]
struct Pause {
    waits: u32,
}

impl Pause {
    async fn wait(&mut self) {
        let full = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(self.waits.min(8)));
        self.waits += 1;
        let share = rand::random_range(0.5..1.0);
        tokio::time::sleep(full.min(LONGEST_WAIT).mul_f64(share)).await;
    }
}

#[cfg(test)]
mod tests;
