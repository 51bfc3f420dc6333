//! Every metric of the orchestrator.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::run::{RunState, StepKind, StepState};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    kind: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ForLabel {
    away: &'static str,
}

/// Counts what runs do. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Runs this process works on.
    pub(crate) active_runs: Gauge,
    runs_ended: Family<StateLabel, Counter>,
    steps: Family<StepLabels, Counter>,
    replayed: Counter,
    waits: Family<ForLabel, Counter>,
    step_time: Family<KindLabel, Histogram>,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            active_runs: Gauge::default(),
            runs_ended: Family::default(),
            steps: Family::default(),
            replayed: Counter::default(),
            waits: Family::default(),
            step_time: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.01, 2.0, 15))
            }),
        };
        registry.register(
            "alina_orchestrator_active_runs",
            "Runs this process works on",
            metrics.active_runs.clone(),
        );
        registry.register(
            "alina_orchestrator_runs_ended",
            "Runs that ended, by state",
            metrics.runs_ended.clone(),
        );
        registry.register(
            "alina_orchestrator_steps",
            "Steps done and failed, by kind",
            metrics.steps.clone(),
        );
        registry.register(
            "alina_orchestrator_steps_replayed",
            "Steps whose output came from the journal",
            metrics.replayed.clone(),
        );
        registry.register(
            "alina_orchestrator_waits",
            "Times a run began to wait for what was away",
            metrics.waits.clone(),
        );
        registry.register_with_unit(
            "alina_orchestrator_step",
            "Time a step took, its repetitions included",
            Unit::Seconds,
            metrics.step_time.clone(),
        );
        metrics
    }

    pub(crate) fn run_ended(&self, state: RunState) {
        self.runs_ended.get_or_create(&StateLabel { state: state.as_str() }).inc();
    }

    pub(crate) fn step_ended(&self, kind: StepKind, state: StepState, took: Duration) {
        let (kind, state) = (kind.as_str(), state.as_str());
        self.steps.get_or_create(&StepLabels { kind, state }).inc();
        self.step_time.get_or_create(&KindLabel { kind }).observe(took.as_secs_f64());
    }

    pub(crate) fn step_replayed(&self) {
        self.replayed.inc();
    }

    pub(crate) fn waits_for(&self, away: &'static str) {
        self.waits.get_or_create(&ForLabel { away }).inc();
    }
}
