//! Events: what a run tells those who follow it.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{RunId, stored_enum};

stored_enum! {
    /// What happened.
    EventKind {
        RunStarted = "run_started",
        Planned = "planned",
        TaskStarted = "task_started",
        ToolCalled = "tool_called",
        ToolReturned = "tool_returned",
        TaskFinished = "task_finished",
        Waiting = "waiting",
        Resumed = "resumed",
        Alert = "alert",
        RunSucceeded = "run_succeeded",
        RunFailed = "run_failed",
        RunCancelled = "run_cancelled",
        Recalled = "recalled",
    }
}

impl EventKind {
    /// Whether it ends a run (which may yet be resumed).
    pub(crate) fn ends_run(self) -> bool {
        matches!(self, Self::RunSucceeded | Self::RunFailed | Self::RunCancelled)
    }
}

/// An event as journalled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) run_id: RunId,
    /// From 1, without gaps.
    pub(crate) sequence: u64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) what: NewEvent,
}

/// An event without its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewEvent {
    pub(crate) kind: EventKind,
    pub(crate) agent: String,
    pub(crate) step_key: String,
    pub(crate) text: String,
    pub(crate) data: Option<Value>,
}

impl NewEvent {
    pub(crate) fn new(kind: EventKind, text: impl Into<String>) -> Self {
        Self { kind, agent: String::new(), step_key: String::new(), text: text.into(), data: None }
    }

    pub(crate) fn of(mut self, agent: &str, step_key: &str) -> Self {
        agent.clone_into(&mut self.agent);
        step_key.clone_into(&mut self.step_key);
        self
    }

    pub(crate) fn data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }
}

stored_enum! {
    /// How bad what went wrong is.
    Severity {
        Info = "info",
        Warning = "warning",
        Critical = "critical",
    }
}

/// Names an alert; its order is the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AlertId(pub(crate) Uuid);

/// Something that went wrong in the suite.
#[derive(Debug, Clone)]
pub(crate) struct Alert {
    pub(crate) id: AlertId,
    pub(crate) source: String,
    pub(crate) name: String,
    pub(crate) severity: Severity,
    pub(crate) summary: String,
    pub(crate) details: Option<Value>,
    pub(crate) at: DateTime<Utc>,
    pub(crate) resolved: bool,
}

impl Alert {
    /// As runs are told of it.
    pub(crate) fn event(&self) -> NewEvent {
        NewEvent::new(EventKind::Alert, &self.summary).data(serde_json::json!({
            "id": self.id.0,
            "source": self.source,
            "name": self.name,
            "severity": self.severity.as_str(),
            "summary": self.summary,
            "details": self.details,
            "at": self.at,
            "resolved": self.resolved,
        }))
    }
}
