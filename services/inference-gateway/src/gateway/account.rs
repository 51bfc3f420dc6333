//! The accounting of one chat.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    catalogue::Entry,
    chat::{AgentId, Ended, ModelName, RunId},
    error::Error,
    metrics::{Metrics, Served, Took},
    schedule::Meter,
    usage::{Recorder, Used},
};

/// Counts a chat once, however it ends.
pub(super) struct Account {
    pub(super) model: ModelName,
    pub(super) backend: String,
    pub(super) agent: AgentId,
    pub(super) run: Option<RunId>,
    pub(super) begun: Instant,
    pub(super) waited: Duration,
    pub(super) meter: Arc<Meter>,
    pub(super) metrics: Metrics,
    pub(super) usage: Recorder,
    pub(super) closed: bool,
}

impl Account {
    fn of(&self) -> Served<'_> {
        Served { model: &self.model, backend: &self.backend }
    }

    /// It is `entry` that serves it.
    pub(super) fn of_entry(&mut self, entry: &Entry) {
        if self.model != entry.name {
            self.model = entry.name.clone();
            entry.backend().clone_into(&mut self.backend);
        }
    }

    /// It was answered.
    pub(super) fn answered(&mut self, ended: &Ended) {
        self.closed = true;
        let took = Took { waited: self.waited, whole: self.begun.elapsed() };
        self.metrics.answered(self.of(), &self.agent, ended, took);
        self.usage.record(Used {
            prompt_tokens: ended.prompt_tokens,
            completion_tokens: ended.completion_tokens,
            reused_tokens: ended.reused_tokens,
            took: ended.run,
            cpu: ended.cpu,
            ..self.used()
        });
    }

    /// As far as is known without the back end's word.
    fn used(&self) -> Used {
        let (prompt_tokens, completion_tokens) = self.meter.tokens();
        Used {
            agent: self.agent.clone(),
            run: self.run.clone(),
            model: self.model.clone(),
            prompt_tokens,
            completion_tokens,
            reused_tokens: 0,
            waited: self.waited,
            took: self.begun.elapsed().saturating_sub(self.waited),
            cpu: Duration::ZERO,
        }
    }

    /// What is not answered is used all the same.
    fn unanswered(&self, outcome: &'static str) {
        self.metrics.failed(self.of(), outcome, self.begun.elapsed());
        self.usage.record(self.used());
    }

    /// It failed.
    pub(super) fn failed(&mut self, error: &Error) {
        self.closed = true;
        tracing::warn!(model = %self.model, agent = %self.agent, %error, "chat failed");
        self.unanswered(error.reason());
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if !self.closed {
            tracing::debug!(model = %self.model, agent = %self.agent, "chat cancelled");
            self.unanswered("cancelled");
        }
    }
}
