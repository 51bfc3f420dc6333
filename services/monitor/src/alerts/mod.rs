//! Rules about the status, and what becomes of them: quiet → pending → active → resolved.

mod engine;
mod rule;

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};

use alina_proto::Service;

pub use engine::Engine;
pub use rule::{Metric, Operator, Rule, Scope, Severity};

/// A point in time by both clocks: people read `wall`, spans are measured by `monotonic`, which
/// never jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// UTC.
    pub wall: DateTime<Utc>,
    /// Since some fixed point.
    pub monotonic: Duration,
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The machine the suite runs on.
    Machine,
    /// One of the services.
    Service(Service),
}

impl Subject {
    /// The service's name; `None` for the machine.
    #[must_use]
    pub fn service(self) -> Option<&'static str> {
        match self {
            Self::Machine => None,
            Self::Service(service) => Some(service.name()),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.service().unwrap_or("machine"))
    }
}

/// A rule that has held for long enough.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// The rule's name.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// A sentence for people.
    pub summary: String,
    /// The metric's value when last looked at.
    pub value: f64,
    /// When the rule began to hold.
    pub since: DateTime<Utc>,
}

/// An alert that began or ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// As it was then.
    pub alert: Alert,
    /// When it began or ended.
    pub at: DateTime<Utc>,
    /// Which of the two.
    pub transition: Transition,
}

/// Whether an alert began or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// It is active from now on.
    Raised,
    /// It is over.
    Resolved,
}

impl Change {
    /// Names this change and no other, so that telling it twice counts once.
    #[must_use]
    pub fn key(&self) -> String {
        let Alert { rule, subject, since, .. } = &self.alert;
        let state = match self.transition {
            Transition::Raised => "active",
            Transition::Resolved => "resolved",
        };
        format!("monitor/{rule}/{subject}/{}/{state}", since.timestamp_micros())
    }
}
