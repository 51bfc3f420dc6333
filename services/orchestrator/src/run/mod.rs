//! What a run is: its state, its steps and its events.

mod event;
mod step;
mod text;

use std::{fmt, str::FromStr};

use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

pub(crate) use event::{Alert, AlertId, Event, EventKind, NewEvent, Severity};
pub(crate) use step::{NewOutput, NewStep, Output, Step, StepKind, StepState};
pub(crate) use text::{UnknownText, stored_enum};

/// Names a run; its order is the order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RunId(pub(crate) Uuid);

impl RunId {
    pub(crate) fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// One process that works on runs; a new one after each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnerId(pub(crate) Uuid);

impl OwnerId {
    pub(crate) fn new() -> Self {
        Self(Uuid::new_v4())
    }
}

stored_enum! {
    /// Where a run stands.
    RunState {
        Queued = "queued",
        Running = "running",
        Succeeded = "succeeded",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

impl RunState {
    /// Whether it has yet to end.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }
}

/// A run as stored.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) goal: String,
    pub(crate) namespace: String,
    /// Empty: all.
    pub(crate) agents: Vec<String>,
    pub(crate) state: RunState,
    pub(crate) answer: String,
    pub(crate) error: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) deadline_at: DateTime<Utc>,
    pub(crate) steps_done: u32,
    pub(crate) last_sequence: u64,
}

/// What a run begins with.
#[derive(Debug, Clone)]
pub(crate) struct NewRun {
    pub(crate) id: RunId,
    pub(crate) goal: String,
    pub(crate) namespace: String,
    pub(crate) agents: Vec<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) deadline_at: DateTime<Utc>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// With this answer.
    Succeeded(String),
    /// Because of this.
    Failed(String),
}

/// The time in the precision in which it is stored, so that an event looks the same live and past.
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
