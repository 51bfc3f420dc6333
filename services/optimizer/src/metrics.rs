//! All metrics of the optimizer.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::experiment::Outcome;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAgent {
    agent: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    result: &'static str,
}

fn label(outcome: Outcome) -> OfResult {
    OfResult { result: outcome.name() }
}

/// Handles to the metrics; clones count together. Agents are those of config.yaml.
#[derive(Debug, Clone)]
pub struct Metrics {
    outputs_scored: Family<OfAgent, Counter>,
    rolling_score: Family<OfAgent, Gauge<f64, AtomicU64>>,
    experiments: Family<OfResult, Counter>,
    experiment_seconds: Histogram,
    promotions: Counter,
    rollbacks: Counter,
    switches_pending: Gauge,
    rounds_failed: Counter,
}

impl Metrics {
    /// Names, describes and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self {
            outputs_scored: Family::default(),
            rolling_score: Family::default(),
            experiments: Family::default(),
            experiment_seconds: Histogram::new([0.1, 1.0, 5.0, 20.0, 60.0, 180.0, 600.0, 1_800.0]),
            promotions: Counter::default(),
            rollbacks: Counter::default(),
            switches_pending: Gauge::default(),
            rounds_failed: Counter::default(),
        };
        for outcome in [Outcome::Promoted, Outcome::Kept, Outcome::Failed] {
            let _ = this.experiments.get_or_create(&label(outcome));
        }
        registry.register(
            "alina_optimizer_outputs_scored",
            "Outputs of agents scored and stored",
            this.outputs_scored.clone(),
        );
        registry.register(
            "alina_optimizer_rolling_score",
            "Mean score of an agent's last outputs, 0 to 1",
            this.rolling_score.clone(),
        );
        registry.register(
            "alina_optimizer_experiments",
            "Experiments by how they ended",
            this.experiments.clone(),
        );
        registry.register(
            "alina_optimizer_experiment_seconds",
            "Time an experiment took",
            this.experiment_seconds.clone(),
        );
        registry.register(
            "alina_optimizer_promotions",
            "New instructions that the orchestrator has put in force",
            this.promotions.clone(),
        );
        registry.register(
            "alina_optimizer_rollbacks",
            "Earlier instructions that the orchestrator has put in force again",
            this.rollbacks.clone(),
        );
        registry.register(
            "alina_optimizer_switches_pending",
            "Instructions decided on that the orchestrator does not use yet",
            this.switches_pending.clone(),
        );
        registry.register(
            "alina_optimizer_rounds_failed",
            "Scheduled rounds that broke off",
            this.rounds_failed.clone(),
        );
        this
    }

    pub(crate) fn scored(&self, agent: &str) {
        self.outputs_scored.get_or_create(&OfAgent { agent: agent.to_owned() }).inc();
    }

    pub(crate) fn rolling(&self, agent: &str, score: f64) {
        self.rolling_score.get_or_create(&OfAgent { agent: agent.to_owned() }).set(score);
    }

    pub(crate) fn experiment(&self, outcome: Outcome, seconds: f64) {
        self.experiments.get_or_create(&label(outcome)).inc();
        self.experiment_seconds.observe(seconds);
    }

    pub(crate) fn promoted(&self) {
        self.promotions.inc();
    }

    pub(crate) fn rolled_back(&self) {
        self.rollbacks.inc();
    }

    pub(crate) fn pending(&self, switches: usize) {
        self.switches_pending.set(i64::try_from(switches).unwrap_or(i64::MAX));
    }

    pub(crate) fn round_failed(&self) {
        self.rounds_failed.inc();
    }
}
