//! Steps: the entries of a run's journal.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{NewEvent, RunId, stored_enum};

stored_enum! {
    /// What a step does.
    StepKind {
        Recall = "recall",
        Plan = "plan",
        Model = "model",
        Tool = "tool",
        Task = "task",
        Answer = "answer",
        Remember = "remember",
    }
}

stored_enum! {
    /// How far a step got.
    StepState {
        Running = "running",
        Done = "done",
        Failed = "failed",
    }
}

/// A step as journalled.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) key: String,
    pub(crate) kind: StepKind,
    pub(crate) state: StepState,
    pub(crate) agent: String,
    pub(crate) input: Value,
    pub(crate) output: Option<Value>,
    pub(crate) error: String,
    pub(crate) attempts: u32,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) position: u64,
}

/// A step about to be taken.
#[derive(Debug, Clone)]
pub(crate) struct NewStep {
    /// Its place in the run: the same at every replay.
    pub(crate) key: String,
    pub(crate) kind: StepKind,
    /// Empty when none is concerned.
    pub(crate) agent: String,
    pub(crate) input: Value,
    /// Written when the step is first begun.
    pub(crate) begins: Option<NewEvent>,
}

/// What an agent put out for a task, to be stored with the step.
#[derive(Debug, Clone)]
pub(crate) struct NewOutput {
    pub(crate) agent: String,
    pub(crate) instructions_version: String,
    pub(crate) model: String,
    pub(crate) input: String,
    pub(crate) output: String,
}

/// What an agent put out for a task, as stored.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// Its place in the order in which outputs are read.
    pub(crate) ordinal: i64,
    pub(crate) id: Uuid,
    pub(crate) run_id: RunId,
    pub(crate) at: DateTime<Utc>,
    pub(crate) what: NewOutput,
}
