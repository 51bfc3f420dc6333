//! `alina scores`.

use alina_proto::optimizer::v1::{
    Experiment, ListAgentScoresRequest, ListScoresRequest, ListVersionsRequest, OptimizeRequest,
    RollBackRequest, Version,
};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use crate::{
    arguments::Scores,
    failure::Failure,
    output::{Output, brief, rfc3339, table, when},
    session::Session,
};

pub(super) async fn run(command: Scores, session: &Session, output: Output) -> Result<(), Failure> {
    let mut optimizer = session.connect().await?.optimizer();
    match command {
        Scores::Agents => {
            let agents = optimizer.list_agent_scores(ListAgentScoresRequest {}).await?;
            let agents = agents.into_inner().agents;
            let value: Vec<Value> = agents
                .iter()
                .map(|agent| {
                    json!({
                        "agent": agent.agent,
                        "rolling_score": agent.rolling_score,
                        "outputs": agent.outputs,
                        "instructions_version": agent.instructions_version,
                        "threshold": agent.threshold,
                    })
                })
                .collect();
            output.show(&Value::Array(value), |out| {
                let mut rows = table(["agent", "score", "outputs", "threshold", "instructions"]);
                for agent in &agents {
                    let score = format!("{:.2}", agent.rolling_score);
                    let good = agent.outputs == 0 || agent.rolling_score >= agent.threshold;
                    let score =
                        if good { score.green().to_string() } else { score.red().to_string() };
                    rows.add_row([
                        agent.agent.clone(),
                        score,
                        agent.outputs.to_string(),
                        format!("{:.2}", agent.threshold),
                        agent.instructions_version.clone(),
                    ]);
                }
                writeln!(out, "{rows}")
            })
        }
        Scores::List { agent } => {
            let request = ListScoresRequest { agent, ..ListScoresRequest::default() };
            let scores = optimizer.list_scores(request).await?.into_inner().scores;
            let value: Vec<Value> = scores
                .iter()
                .map(|score| {
                    json!({
                        "run_id": score.run_id,
                        "agent": score.agent,
                        "score": score.score,
                        "functions": score.functions.iter().map(|function| json!({
                            "function": function.function,
                            "score": function.score,
                            "reason": function.reason,
                        })).collect::<Vec<_>>(),
                        "at": rfc3339(score.at.as_ref()),
                    })
                })
                .collect();
            output.show(&Value::Array(value), |out| {
                let mut rows = table(["when", "agent", "score", "why"]);
                for score in &scores {
                    let why = score.functions.iter();
                    let why = why.map(|f| format!("{} {:.2}: {}", f.function, f.score, f.reason));
                    rows.add_row([
                        when(score.at.as_ref()),
                        score.agent.clone(),
                        format!("{:.2}", score.score),
                        brief(&why.collect::<Vec<_>>().join("; "), 160),
                    ]);
                }
                writeln!(out, "{rows}")
            })
        }
        Scores::Optimize { agent } => {
            let done = optimizer.optimize(OptimizeRequest { agent }).await?.into_inner();
            let value = json!({
                "outputs_scored": done.outputs_scored,
                "experiments": done.experiments.iter().map(experiment_json).collect::<Vec<_>>(),
            });
            output.show(&value, |out| {
                writeln!(out, "{} outputs scored", done.outputs_scored)?;
                for experiment in &done.experiments {
                    let verdict = if experiment.promoted { "promoted" } else { "kept the old" };
                    writeln!(
                        out,
                        "{}: {} → {} on {} cases, {verdict}: {}",
                        experiment.agent.bold(),
                        format_args!("{:.2}", experiment.old_score),
                        format_args!("{:.2}", experiment.new_score),
                        experiment.cases,
                        experiment.reason
                    )?;
                }
                Ok(())
            })
        }
        Scores::Versions { agent } => {
            let request = ListVersionsRequest { agent };
            let versions = optimizer.list_versions(request).await?.into_inner().versions;
            show_versions(&versions, output)
        }
        Scores::Rollback { agent, version } => {
            let request = RollBackRequest { agent, version };
            let version = optimizer.roll_back(request).await?.into_inner().version;
            show_versions(&[version.unwrap_or_default()], output)
        }
    }
}

fn experiment_json(experiment: &Experiment) -> Value {
    json!({
        "agent": experiment.agent,
        "old_version": experiment.old_version,
        "new_version": experiment.new_version,
        "old_score": experiment.old_score,
        "new_score": experiment.new_score,
        "cases": experiment.cases,
        "promoted": experiment.promoted,
        "reason": experiment.reason,
    })
}

fn show_versions(versions: &[Version], output: Output) -> Result<(), Failure> {
    let value: Vec<Value> = versions
        .iter()
        .map(|version| {
            json!({
                "version": version.version,
                "agent": version.agent,
                "instructions": version.instructions,
                "score": version.score,
                "in_force": version.in_force,
                "reason": version.reason,
                "created_at": rfc3339(version.created_at.as_ref()),
            })
        })
        .collect();
    output.show(&Value::Array(value), |out| {
        for version in versions {
            let mark =
                if version.in_force { "in force".green().to_string() } else { String::new() };
            writeln!(out, "{} {mark} {}", version.version.bold(), version.reason.dimmed())?;
            writeln!(out, "  {}\n", version.instructions)?;
        }
        Ok(())
    })
}
