//! `alina runs`.

use std::process::ExitCode;

use alina_proto::orchestrator::v1::{
    CancelRunRequest, GetRunRequest, ListRunsRequest, ListStepsRequest, ResumeRunRequest, Run,
    Step, StepState,
};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::follow::{follow, run_json, state_name};
use crate::{
    arguments::Runs,
    failure::Failure,
    output::{Output, brief, rfc3339, table, when},
    session::Session,
};

pub(super) async fn run(
    command: Runs,
    session: &Session,
    output: Output,
) -> Result<ExitCode, Failure> {
    let connector = session.connect().await?;
    let mut orchestrator = connector.orchestrator();
    match command {
        Runs::List { limit } => {
            let request = ListRunsRequest { page_size: limit, ..ListRunsRequest::default() };
            let runs = orchestrator.list_runs(request).await?.into_inner().runs;
            list(&runs, output)?;
        }
        Runs::Show { id } => {
            let request = GetRunRequest { run_id: id.clone() };
            let run = orchestrator.get_run(request).await?.into_inner().run.unwrap_or_default();
            let request = ListStepsRequest { run_id: id };
            let steps = orchestrator.list_steps(request).await?.into_inner().steps;
            show(&run, &steps, output)?;
        }
        Runs::Follow { id, after } => {
            let run = follow(&connector, &id, after, true, output).await?;
            answer(&run, output)?;
        }
        Runs::Cancel { id } => {
            let request = CancelRunRequest { run_id: id };
            let run = orchestrator.cancel_run(request).await?.into_inner().run.unwrap_or_default();
            answer(&run, output)?;
        }
        Runs::Resume { id } => {
            let request = ResumeRunRequest { run_id: id.clone() };
            orchestrator.resume_run(request).await?;
            return super::run::watch(&connector, &id, true, session, output).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn answer(run: &Run, output: Output) -> Result<(), Failure> {
    output.show(&run_json(run), |out| {
        writeln!(out, "{} {}\n{}{}", run.id, state_name(run.state()), run.answer, run.error)
    })
}

fn list(runs: &[Run], output: Output) -> Result<(), Failure> {
    let value = Value::Array(runs.iter().map(run_json).collect());
    output.show(&value, |out| {
        let mut rows = table(["run", "state", "begun", "steps", "goal"]);
        for run in runs {
            rows.add_row([
                run.id.clone(),
                state_name(run.state()),
                when(run.created_at.as_ref()),
                run.steps.to_string(),
                brief(&run.goal, 70),
            ]);
        }
        writeln!(out, "{rows}")
    })
}

fn show(run: &Run, steps: &[Step], output: Output) -> Result<(), Failure> {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    let kind =
        |step: &Step| step.kind().as_str_name().trim_start_matches("STEP_KIND_").to_lowercase();
    let steps_json: Vec<Value> = steps
        .iter()
        .map(|step| {
            json!({
                "position": step.position,
                "key": step.key,
                "kind": kind(step),
                "state": step.state().as_str_name().trim_start_matches("STEP_STATE_").to_lowercase(),
                "agent": step.agent,
                "attempts": step.attempts,
                "input": parsed(&step.input_json),
                "output": parsed(&step.output_json),
                "error": step.error,
                "started_at": rfc3339(step.started_at.as_ref()),
                "finished_at": rfc3339(step.finished_at.as_ref()),
            })
        })
        .collect();
    let value = json!({ "run": run_json(run), "steps": steps_json });
    output.show(&value, |out| {
        writeln!(out, "{}\n{} · {}\n", run.goal.bold(), run.id, state_name(run.state()))?;
        let mut rows = table(["", "step", "kind", "agent", "tries", "seconds", "output"]);
        for step in steps {
            let mark = match step.state() {
                StepState::Done => "✓".green().to_string(),
                StepState::Failed => "✗".red().to_string(),
                _ => "…".yellow().to_string(),
            };
            let said = if step.error.is_empty() { &step.output_json } else { &step.error };
            rows.add_row([
                mark,
                step.key.clone(),
                kind(step),
                step.agent.clone(),
                step.attempts.to_string(),
                seconds(step),
                brief(said, 90),
            ]);
        }
        writeln!(out, "{rows}\n\n{}{}", run.answer.trim(), run.error)
    })
}

fn seconds(step: &Step) -> String {
    let at = |wire: Option<&prost_types::Timestamp>| wire.and_then(alina_proto::time::date_time);
    match (at(step.started_at.as_ref()), at(step.finished_at.as_ref())) {
        (Some(begun), Some(ended)) => {
            format!("{:.1}", (ended - begun).as_seconds_f64())
        }
        _ => String::new(),
    }
}
