//! The domain to the wire.

use std::time::Duration;

use alina_proto::{orchestrator::v1 as wire, time::timestamp};
use alina_service::status;
use serde_json::Value;
use tonic::{Code, Status};

use crate::{
    agents::Agent,
    error::Error,
    run::{
        Alert, Event, EventKind, Output, Run, RunId, RunState, Severity, Step, StepKind, StepState,
        now,
    },
    store::Instructions,
    tools::Tool,
};

impl From<RunState> for wire::RunState {
    fn from(state: RunState) -> Self {
        match state {
            RunState::Queued => Self::Queued,
            RunState::Running => Self::Running,
            RunState::Succeeded => Self::Succeeded,
            RunState::Failed => Self::Failed,
            RunState::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Run> for wire::Run {
    fn from(run: Run) -> Self {
        Self {
            id: run.id.to_string(),
            goal: run.goal,
            state: wire::RunState::from(run.state).into(),
            created_at: Some(timestamp(run.created_at)),
            finished_at: run.finished_at.map(timestamp),
            answer: run.answer,
            error: run.error,
            steps: run.steps_done,
            last_sequence: run.last_sequence,
            namespace: run.namespace,
        }
    }
}

impl From<StepKind> for wire::StepKind {
    fn from(kind: StepKind) -> Self {
        match kind {
            StepKind::Recall => Self::Recall,
            StepKind::Plan => Self::Plan,
            StepKind::Model => Self::Model,
            StepKind::Tool => Self::Tool,
            StepKind::Task => Self::Task,
            StepKind::Answer => Self::Answer,
            StepKind::Remember => Self::Remember,
        }
    }
}

impl From<StepState> for wire::StepState {
    fn from(state: StepState) -> Self {
        match state {
            StepState::Running => Self::Running,
            StepState::Done => Self::Done,
            StepState::Failed => Self::Failed,
        }
    }
}

impl From<Step> for wire::Step {
    fn from(step: Step) -> Self {
        Self {
            key: step.key,
            kind: wire::StepKind::from(step.kind).into(),
            state: wire::StepState::from(step.state).into(),
            agent: step.agent,
            input_json: step.input.to_string(),
            output_json: json(step.output.as_ref()),
            error: step.error,
            attempts: step.attempts,
            started_at: Some(timestamp(step.started_at)),
            finished_at: step.finished_at.map(timestamp),
            position: step.position,
        }
    }
}

impl From<EventKind> for wire::EventKind {
    fn from(kind: EventKind) -> Self {
        match kind {
            EventKind::RunStarted => Self::RunStarted,
            EventKind::Planned => Self::Planned,
            EventKind::TaskStarted => Self::TaskStarted,
            EventKind::ToolCalled => Self::ToolCalled,
            EventKind::ToolReturned => Self::ToolReturned,
            EventKind::TaskFinished => Self::TaskFinished,
            EventKind::Waiting => Self::Waiting,
            EventKind::Resumed => Self::Resumed,
            EventKind::Alert => Self::Alert,
            EventKind::RunSucceeded => Self::RunSucceeded,
            EventKind::RunFailed => Self::RunFailed,
            EventKind::RunCancelled => Self::RunCancelled,
            EventKind::Recalled => Self::Recalled,
        }
    }
}

impl From<Event> for wire::FollowRunResponse {
    fn from(event: Event) -> Self {
        let Event { run_id, sequence, at, what } = event;
        let event = wire::Event {
            run_id: run_id.to_string(),
            sequence,
            at: Some(timestamp(at)),
            kind: wire::EventKind::from(what.kind).into(),
            agent: what.agent,
            step_key: what.step_key,
            text: what.text,
            data_json: json(what.data.as_ref()),
        };
        Self { event: Some(event) }
    }
}

/// A delta of a run.
pub(super) fn delta(run: RunId, delta: &crate::engine::Delta) -> wire::FollowRunResponse {
    let event = wire::Event {
        run_id: run.to_string(),
        sequence: 0,
        at: Some(timestamp(now())),
        kind: wire::EventKind::Delta.into(),
        agent: delta.agent.clone(),
        step_key: delta.step_key.clone(),
        text: delta.text.clone(),
        data_json: String::new(),
    };
    wire::FollowRunResponse { event: Some(event) }
}

impl From<Output> for wire::Output {
    fn from(output: Output) -> Self {
        let Output { ordinal: _, id, run_id, at, what } = output;
        Self {
            id: id.to_string(),
            run_id: run_id.to_string(),
            agent: what.agent,
            instructions_version: what.instructions_version,
            model: what.model,
            input: what.input,
            output: what.output,
            at: Some(timestamp(at)),
        }
    }
}

impl From<Alert> for wire::Alert {
    fn from(alert: Alert) -> Self {
        let severity = match alert.severity {
            Severity::Info => wire::AlertSeverity::Info,
            Severity::Warning => wire::AlertSeverity::Warning,
            Severity::Critical => wire::AlertSeverity::Critical,
        };
        Self {
            id: alert.id.0.to_string(),
            source: alert.source,
            name: alert.name,
            severity: severity.into(),
            summary: alert.summary,
            details_json: json(alert.details.as_ref()),
            at: Some(timestamp(alert.at)),
            resolved: alert.resolved,
        }
    }
}

/// An agent with the instructions in force.
pub(super) fn agent(agent: &Agent, in_force: Instructions) -> wire::Agent {
    let config = &agent.config;
    wire::Agent {
        name: config.name.clone(),
        description: config.description.clone(),
        instructions: in_force.text,
        instructions_version: in_force.version,
        tools: config.tools.clone(),
        model: config.model.clone(),
        running: agent.running(),
    }
}

pub(super) fn tool(tool: &dyn Tool) -> wire::Tool {
    wire::Tool {
        name: tool.name().to_owned(),
        description: tool.description().to_owned(),
        arguments_schema: tool.arguments().to_string(),
        has_side_effect: tool.has_side_effect(),
    }
}

/// JSON with its keys in order: PostgreSQL keeps objects in an order of its own, and an event must
/// look the same whether it comes live or from the journal.
fn json(value: Option<&Value>) -> String {
    value.map(|value| ordered(value).to_string()).unwrap_or_default()
}

fn ordered(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            entries.into_iter().map(|(key, value)| (key.clone(), ordered(value))).collect()
        }
        Value::Array(values) => values.iter().map(ordered).collect(),
        other => other.clone(),
    }
}

/// A failure as the contract names it.
pub(super) fn status(error: Error) -> Status {
    let message = error.to_string();
    match error {
        Error::UnknownAgent { name, .. } => {
            status::resource(Code::NotFound, "UNKNOWN_AGENT", "agent", name, message)
        }
        Error::RunNotFound(id) => {
            status::resource(Code::NotFound, "RUN_NOT_FOUND", "run", id.to_string(), message)
        }
        Error::KeyReused(_) => status::error(Code::AlreadyExists, "KEY_REUSED", message),
        Error::RunFinished(..) => status::error(Code::FailedPrecondition, "RUN_FINISHED", message),
        Error::TooManyRuns(_) => {
            let after = Duration::from_secs(5);
            status::retry(Code::ResourceExhausted, "TOO_MANY_RUNS", message, after)
        }
        Error::StoreUnavailable(_) => {
            let after = Duration::from_secs(1);
            status::retry(Code::Unavailable, "STORE_UNAVAILABLE", message, after)
        }
        // The reason of whoever failed; without one it was not reached.
        Error::Peer(error) if error.reason.is_empty() => Status::new(error.code, message),
        Error::Peer(error) => status::error(error.code, &error.reason, message),
        Error::Store(_)
        | Error::BadOutput(_)
        | Error::StepFailed { .. }
        | Error::AllTasksFailed(_)
        | Error::LeaseLost(_) => {
            tracing::error!(message, "a request failed");
            status::error(Code::Internal, "INTERNAL", message)
        }
    }
}
