//! Rounds: collect and score what is new, find the weak agents, and improve them one by one.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use chrono::Utc;
use uuid::Uuid;

use crate::{
    collector::Collector,
    config::OptimizerConfig,
    error::Error,
    experiment::Outcome,
    laboratory::{Findings, Laboratory},
    metrics::Metrics,
    peers::Agent,
    roster::Roster,
    score::Score,
    settler::Settler,
    store::{Experiment, Store, Version},
};

/// What a round did.
#[derive(Debug)]
pub(crate) struct Round {
    /// Outputs that got their score.
    pub(crate) outputs_scored: u32,
    /// Experiments made.
    pub(crate) experiments: Vec<Experiment>,
}

/// Improves agents.
#[derive(Debug)]
pub(crate) struct Optimizer {
    pub(crate) config: Arc<OptimizerConfig>,
    pub(crate) store: Store,
    pub(crate) roster: Roster,
    pub(crate) collector: Collector,
    pub(crate) laboratory: Laboratory,
    pub(crate) settler: Arc<Settler>,
    pub(crate) metrics: Metrics,
    pub(crate) busy: Busy,
}

impl Optimizer {
    /// Collects, and improves every agent under the threshold that nobody is improving yet. When
    /// `only_news`, not those that put out nothing since their last experiment.
    pub(crate) async fn round(&self, only_news: bool) -> Result<Round, Error> {
        let outputs_scored = self.collector.collect().await?;
        let mut experiments = Vec::new();
        for agent in self.roster.refresh().await? {
            let Some(_permit) = self.busy.take(&agent.name) else { continue };
            if self.is_weak(&agent).await?
                && (!only_news || self.store.has_news(&agent.name).await?)
            {
                experiments.push(self.improve(&agent).await?);
            }
        }
        Ok(Round { outputs_scored, experiments })
    }

    /// Collects, and improves one agent, whatever its score.
    pub(crate) async fn improve_one(&self, name: &str) -> Result<Round, Error> {
        let _permit = self.take(name)?;
        self.roster.get(name).await?;
        let outputs_scored = self.collector.collect().await?;
        // What is in force may have changed meanwhile.
        let agent = self.roster.get(name).await?;
        let experiment = self.improve(&agent).await?;
        Ok(Round { outputs_scored, experiments: vec![experiment] })
    }

    /// Puts an earlier version in force again: `wanted`, or, when that is empty, the one before
    /// that in force.
    pub(crate) async fn roll_back(&self, name: &str, wanted: &str) -> Result<Version, Error> {
        let _permit = self.take(name)?;
        self.roster.get(name).await?;
        let versions = self.store.versions(name).await?;
        let target = target(name, &versions, wanted)?;
        let from = versions.iter().find(|version| version.in_force);
        let from = from.map_or("unknown instructions", |version| version.version.as_str());
        let reason = format!("rolled back from {from}");
        self.store.journal_rollback(name, &target.version, &reason).await?;
        let undone = self.settler.apply().await?;
        if let Some(undone) = undone.into_iter().find(|undone| undone.agent == name) {
            let mut error = undone.error;
            if !error.is_refusal() {
                error.message.push_str("; the roll-back is journalled and takes effect later");
            }
            return Err(error.into());
        }
        let versions = self.store.versions(name).await?;
        let found = versions.into_iter().find(|version| version.version == target.version);
        found.ok_or_else(|| Error::Store(format!("version {} is gone", target.version)))
    }

    fn take(&self, name: &str) -> Result<Permit<'_>, Error> {
        self.busy.take(name).ok_or_else(|| Error::OptimizationRunning(name.to_owned()))
    }

    /// Whether enough outputs by the instructions in force have a mean under the threshold. What
    /// earlier instructions led to says nothing of these.
    async fn is_weak(&self, agent: &Agent) -> Result<bool, Error> {
        let OptimizerConfig { window, min_outputs, threshold, .. } = *self.config;
        let last = self.store.last_scores(&agent.name, &agent.version, window).await?;
        let scores: Vec<Score> = last.iter().map(|score| score.score).collect();
        Ok(scores.len() >= min_outputs as usize && Score::mean(&scores).value() < threshold)
    }

    /// Makes an experiment, writes it down and, when it was won, has its instructions put in force.
    async fn improve(&self, agent: &Agent) -> Result<Experiment, Error> {
        let begun = Instant::now();
        let id = Uuid::now_v7();
        let findings = match self.laboratory.experiment(id, agent).await {
            Err(error) if !error.is_store() => {
                tracing::warn!(agent = agent.name, %error, "an experiment broke off");
                Findings::failed(&error)
            }
            other => other?,
        };
        let Findings { tried, pairs, outcome, old, new, reason } = findings;
        let experiment = Experiment {
            id,
            agent: agent.name.clone(),
            old_version: agent.version.clone(),
            new_version: String::new(),
            old,
            new,
            pairs,
            outcome,
            reason,
            at: Utc::now(),
        };
        let mut experiment = self.store.record_experiment(experiment, tried.as_deref()).await?;
        self.metrics.experiment(outcome, begun.elapsed().as_secs_f64());
        tracing::info!(
            agent = experiment.agent,
            experiment = %id,
            outcome = outcome.name(),
            reason = experiment.reason,
            "an experiment ended"
        );
        if outcome == Outcome::Promoted {
            let undone = self.settler.apply().await?;
            if let Some(undone) = undone.iter().find(|undone| undone.agent == agent.name) {
                let what = if undone.error.is_refusal() { "refused" } else { "not in force yet" };
                experiment.reason.push_str(&format!("; {what}: {}", undone.error));
            }
        }
        Ok(experiment)
    }
}

/// The version to go back to; `versions` are newest first.
fn target<'a>(agent: &str, versions: &'a [Version], wanted: &str) -> Result<&'a Version, Error> {
    let found = if wanted.is_empty() {
        let mut older = versions.iter().skip_while(|version| !version.in_force).skip(1);
        older.find(|version| version.was_in_force)
    } else {
        versions.iter().find(|version| version.version == wanted)
    };
    found.ok_or_else(|| {
        let names: Vec<_> = versions.iter().map(|version| version.version.as_str()).collect();
        Error::VersionNotFound {
            agent: agent.to_owned(),
            wanted: match wanted {
                "" => "version before that in force".to_owned(),
                wanted => format!("version `{wanted}`"),
            },
            known: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
        }
    })
}

/// The agents being improved or rolled back.
#[derive(Debug, Default)]
pub(crate) struct Busy(Mutex<HashSet<String>>);

/// An agent is one's own until this is dropped.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    busy: &'a Busy,
    agent: String,
}

impl Busy {
    /// `None` while somebody else has it.
    fn take(&self, agent: &str) -> Option<Permit<'_>> {
        let is_free =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(agent.to_owned());
        is_free.then(|| Permit { busy: self, agent: agent.to_owned() })
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.busy.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.agent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_taken_once_until_it_is_free_again() {
        let busy = Busy::default();
        let permit = busy.take("writer").unwrap();
        assert!(busy.take("writer").is_none() && busy.take("planner").is_some());
        drop(permit);
        assert!(busy.take("writer").is_some());
    }

    #[test]
    fn a_roll_back_goes_to_what_was_in_force_before() {
        let version = |name: &str, in_force, was_in_force| Version {
            agent: "writer".into(),
            version: name.into(),
            instructions: String::new(),
            score: Score::ZERO,
            in_force,
            was_in_force,
            reason: String::new(),
            created_at: Utc::now(),
        };
        // v4 and v2 lost their experiments.
        let versions = [
            version("v4", false, false),
            version("v3", true, true),
            version("v2", false, false),
            version("v1", false, true),
            version("config", false, true),
        ];
        assert_eq!(target("writer", &versions, "").unwrap().version, "v1");
        assert_eq!(target("writer", &versions, "config").unwrap().version, "config");
        let error = target("writer", &versions, "v7").unwrap_err().to_string();
        assert_eq!(error, "agent `writer` has no version `v7`; it has v4, v3, v2, v1, config");
        let only = [version("config", true, true)];
        let error = target("writer", &only, "").unwrap_err().to_string();
        assert!(error.contains("no version before that in force"), "{error}");
    }
}
