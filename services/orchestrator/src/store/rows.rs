//! Rows to what they stand for.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{Row, postgres::PgRow};

use crate::{
    error::Error,
    run::{Alert, AlertId, Event, NewEvent, NewOutput, Output, Run, RunId, Step, UnknownText},
};

impl From<UnknownText> for Error {
    fn from(error: UnknownText) -> Self {
        Self::Store(error.to_string())
    }
}

/// Counts are stored in signed columns and never negative.
fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn small(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn parse<T: std::str::FromStr<Err = UnknownText>>(row: &PgRow, column: &str) -> Result<T, Error> {
    Ok(row.try_get::<&str, _>(column)?.parse()?)
}

pub(super) fn run(row: &PgRow) -> Result<Run, Error> {
    Ok(Run {
        id: RunId(row.try_get("id")?),
        goal: row.try_get("goal")?,
        namespace: row.try_get("namespace")?,
        agents: row.try_get("agents")?,
        state: parse(row, "state")?,
        answer: row.try_get("answer")?,
        error: row.try_get("error")?,
        created_at: row.try_get("created_at")?,
        finished_at: row.try_get("finished_at")?,
        deadline_at: row.try_get("deadline_at")?,
        steps_done: small(row.try_get("steps_done")?),
        last_sequence: count(row.try_get("last_sequence")?),
    })
}

pub(super) fn step(row: &PgRow) -> Result<Step, Error> {
    Ok(Step {
        key: row.try_get("key")?,
        kind: parse(row, "kind")?,
        state: parse(row, "state")?,
        agent: row.try_get("agent")?,
        input: row.try_get("input")?,
        output: row.try_get("output")?,
        error: row.try_get("error")?,
        attempts: small(row.try_get("attempts")?),
        started_at: row.try_get("started_at")?,
        finished_at: row.try_get("finished_at")?,
        position: count(row.try_get("position")?),
    })
}

pub(super) fn event(row: &PgRow) -> Result<Event, Error> {
    Ok(Event {
        run_id: RunId(row.try_get("run_id")?),
        sequence: count(row.try_get("sequence")?),
        at: row.try_get("at")?,
        what: NewEvent {
            kind: parse(row, "kind")?,
            agent: row.try_get("agent")?,
            step_key: row.try_get("step_key")?,
            text: row.try_get("text")?,
            data: row.try_get("data")?,
        },
    })
}

pub(super) fn output(row: &PgRow) -> Result<Output, Error> {
    Ok(Output {
        ordinal: row.try_get("ordinal")?,
        id: row.try_get("id")?,
        run_id: RunId(row.try_get("run_id")?),
        at: row.try_get("at")?,
        what: NewOutput {
            agent: row.try_get("agent")?,
            instructions_version: row.try_get("instructions_version")?,
            model: row.try_get("model")?,
            input: row.try_get("input")?,
            output: row.try_get("output")?,
        },
    })
}

pub(super) fn alert(row: &PgRow) -> Result<Alert, Error> {
    let at: DateTime<Utc> = row.try_get("at")?;
    let details: Option<Value> = row.try_get("details")?;
    Ok(Alert {
        id: AlertId(row.try_get("id")?),
        source: row.try_get("source")?,
        name: row.try_get("name")?,
        severity: parse(row, "severity")?,
        summary: row.try_get("summary")?,
        details,
        at,
        resolved: row.try_get("resolved")?,
    })
}
