//! Facts are extracted in the background, in two tiers: rules read every episode soon after it was
//! written; a model reads them too where it is allowed, within budgets. Writing waits for neither.
//!
//! What an episode comes to is written in the transaction that takes it from those that wait, so that
//! a crash loses and repeats nothing.

mod model;

use std::time::{Duration, Instant};

use crate::{
    backoff::{self, Backoff, rest},
    error::MemoryError,
    knowledge::{Namespace, extraction::stated},
    metrics::{Metrics, Tiered},
    store::{Concluded, Cost, Store, Tier, Waiting},
};

pub(crate) use self::model::{Model, ModelBudget};

/// Episodes read at once.
const BATCH: i64 = 64;
/// How often it is looked for episodes when there were none.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often old costs are dropped.
const DROP_EVERY: Duration = Duration::from_secs(3_600);
/// How often it is counted how many wait, and who waits in vain is dismissed.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// The background task of the rules.
pub(crate) struct Rules {
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    /// Whether they are allowed; otherwise what waits only passes by.
    pub(crate) allowed: bool,
    /// Whether a model reads after them.
    pub(crate) then_model: bool,
}

impl Rules {
    /// Works until it is dropped.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::new();
        let mut after = String::new();
        let mut dropped = Instant::now();
        let mut counted: Option<Instant> = None;
        loop {
            if counted.is_none_or(|at| at.elapsed() > COUNT_EVERY) {
                counted = Some(Instant::now());
                if let Err(error) = self.count().await {
                    told(&error);
                }
            }
            if dropped.elapsed() > DROP_EVERY {
                dropped = Instant::now();
                if let Err(error) = self.store.drop_old_costs().await {
                    tracing::warn!(%error, "old costs stay for now");
                }
            }
            match self.batch(&after).await {
                Ok(Some(namespace)) => {
                    after = namespace.0;
                    backoff.reset();
                }
                // All namespaces have had their turn.
                Ok(None) if !after.is_empty() => after.clear(),
                Ok(None) => self.resolve().await,
                Err(error) => {
                    told(&error);
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
        }
    }

    /// Looks for entities that may be one, when there is nothing else to do.
    async fn resolve(&self) {
        let begun = Instant::now();
        match self.store.suggest_merges().await {
            Ok(1..) => rest(begun).await,
            Ok(0) => tokio::time::sleep(LOOK_EVERY).await,
            Err(error) => {
                told(&error);
                tokio::time::sleep(backoff::LONGEST).await;
            }
        }
    }

    /// Reads some episodes of the namespace after `after`; gives its name, or nothing when none wait.
    /// Each that states something is written by itself, with a rest after it: who writes meanwhile waits.
    async fn batch(&self, after: &str) -> Result<Option<Namespace>, MemoryError> {
        if self.off() {
            return Ok(None);
        }
        let begun = Instant::now();
        let next = self.store.next_waiting(Tier::Rules, after, BATCH).await?;
        let Some((namespace, waiting)) = next else { return Ok(None) };
        let reading = Instant::now();
        let (stating, silent): (Vec<Concluded>, Vec<Concluded>) = waiting
            .into_iter()
            .map(|episode| self.read(episode))
            .partition(|concluded| !concluded.facts.is_empty());
        let mut micros = micros(reading);
        if !silent.is_empty() {
            self.conclude(&namespace, silent, std::mem::take(&mut micros)).await?;
        }
        rest(begun).await;
        for concluded in stating {
            let begun = Instant::now();
            self.conclude(&namespace, vec![concluded], std::mem::take(&mut micros)).await?;
            rest(begun).await;
        }
        Ok(Some(namespace))
    }

    fn off(&self) -> bool {
        !self.allowed && !self.then_model
    }

    /// Tells how many wait.
    async fn count(&self) -> Result<(), MemoryError> {
        if self.off() {
            self.store.dismiss_waiting(Tier::Rules).await?;
        }
        let waiting = self.store.count_waiting(Tier::Rules).await?;
        self.metrics.awaiting(Tier::Rules, waiting);
        Ok(())
    }

    fn read(&self, episode: Waiting) -> Concluded {
        let facts = if self.allowed {
            stated(&episode.text, &episode.actor, episode.happened)
        } else {
            Vec::new()
        };
        Concluded { episode, facts }
    }

    async fn conclude(
        &self,
        namespace: &Namespace,
        concluded: Vec<Concluded>,
        micros: i64,
    ) -> Result<(), MemoryError> {
        let begun = Instant::now();
        let cost = Cost { micros, ..Cost::default() };
        let (episodes, facts) =
            self.store.conclude(namespace, Tier::Rules, concluded, self.then_model, cost).await?;
        let seconds = begun.elapsed().as_secs_f64();
        self.metrics.extracted(Tier::Rules, Cost { episodes, facts, ..cost }, seconds);
        Ok(())
    }
}

fn micros(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_micros()).unwrap_or(i64::MAX)
}

fn told(error: &MemoryError) {
    backoff::told("extraction", error);
}

impl Metrics {
    fn awaiting(&self, tier: Tier, episodes: i64) {
        self.awaiting_extraction.get_or_create(&Tiered { tier: tier.name() }).set(episodes);
    }

    fn extracted(&self, tier: Tier, cost: Cost, seconds: f64) {
        let tier = Tiered { tier: tier.name() };
        let add = |count: i64| u64::try_from(count).unwrap_or(0);
        self.extracted_episodes.get_or_create(&tier).inc_by(add(cost.episodes));
        self.extracted_facts.get_or_create(&tier).inc_by(add(cost.facts));
        self.refused_facts.get_or_create(&tier).inc_by(add(cost.refused));
        self.extraction_tokens.get_or_create(&tier).inc_by(add(cost.tokens));
        self.extraction_seconds.get_or_create(&tier).inc_by(seconds);
    }
}
