//! What a run leaves in memory. Every write carries the key of its step, so that a repetition
//! after a crash changes nothing; all content comes from the journal, so that it is the same.

use serde_json::json;
use tracing::warn;

use super::{
    journal::Effect,
    plan::Plan,
    program::{Outcome, Program},
};
use crate::{
    error::Error,
    peers::{Episode, Fact, LogEntry},
    run::StepKind,
    text::{excerpt, one_line},
};

/// A goal as the name of an entity.
const NAME_BYTES: usize = 160;

impl Program<'_> {
    /// Writes goal and answer, the tasks' results, and an entry of the action log. What memory
    /// refuses does not take the answer away: it is in the journal as a failed step.
    pub(super) async fn remember(
        &self,
        plan: &Plan,
        outcomes: &[Outcome<'_>],
        answer: &str,
    ) -> Result<(), Error> {
        let goal = &self.run.goal;
        let several = plan.tasks.len() > 1;
        let facts = plan.tasks.iter().filter(|_| several).map(|task| Fact {
            subject: excerpt(&one_line(goal), NAME_BYTES),
            predicate: "planned",
            object: task.task.clone(),
        });
        let text = format!("Goal: {goal}\nAnswer: {answer}");
        self.write("remember/goal", "agent:supervisor", text, facts.collect()).await?;
        for Outcome { task, result } in outcomes.iter().filter(|_| several) {
            let Ok(result) = result else { continue };
            let (key, actor) = (format!("remember/{}", task.id), format!("agent:{}", task.agent));
            let text = format!("Task: {}\nResult: {result}", task.task);
            self.write(&key, &actor, text, Vec::new()).await?;
        }
        self.log(outcomes).await
    }

    async fn write(
        &self,
        key: &str,
        actor: &str,
        text: String,
        facts: Vec<Fact>,
    ) -> Result<(), Error> {
        let id = self.run.id;
        let task = key.strip_prefix("remember/").filter(|part| part.starts_with("task-"));
        let episode = &Episode {
            idempotency_key: self.journal.idempotency_key(key),
            namespace: self.run.namespace.clone(),
            text,
            actor: actor.to_owned(),
            session: id.to_string(),
            source: task.map_or_else(|| format!("run:{id}"), |task| format!("run:{id}/{task}")),
            // The same at every repetition, which "now" would not be.
            occurred_at: Some(self.run.created_at),
            facts,
        };
        let step = self.step(key, StepKind::Remember, json!({ "text": episode.text }));
        let written = self
            .journal
            .step(step, |_| async move {
                let id = self.engine.memory.remember(episode.clone()).await?;
                Ok(Effect::new(json!({ "episode_id": id })))
            })
            .await;
        not_fatal(written.map(drop))
    }

    async fn log(&self, outcomes: &[Outcome<'_>]) -> Result<(), Error> {
        let key = "remember/log";
        let failed = outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
        let entry = &LogEntry {
            idempotency_key: self.journal.idempotency_key(key),
            namespace: self.run.namespace.clone(),
            action: "run.finished".to_owned(),
            summary: format!("answered: {}", excerpt(&one_line(&self.run.goal), NAME_BYTES)),
            details: json!({ "tasks": outcomes.len(), "failed_tasks": failed }),
            run_id: self.run.id.to_string(),
        };
        self.engine.told(self.run.id).await;
        let step = self.step(key, StepKind::Remember, json!({ "action": entry.action }));
        let written = self
            .journal
            .step(step, |_| async move {
                let id = self.engine.memory.log(entry.clone()).await?;
                Ok(Effect::new(json!({ "action_id": id })))
            })
            .await;
        not_fatal(written.map(drop))
    }
}

fn not_fatal(written: Result<(), Error>) -> Result<(), Error> {
    match written {
        Err(error @ Error::StepFailed { .. }) => {
            warn!(%error, "memory refused; the run goes on");
            Ok(())
        }
        other => other,
    }
}
