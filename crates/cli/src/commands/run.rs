//! `alina run`.

use std::{process::ExitCode, time::Duration};

use alina_client::{Connector, is_away};
use alina_proto::orchestrator::v1::{
    CancelRunRequest, ListAgentsRequest, RunState, StartRunRequest,
};
use owo_colors::OwoColorize;
use serde_json::json;
use uuid::Uuid;

use super::follow::{follow, run_json};
use crate::{
    arguments::RunArguments, commands::suite, failure::Failure, output::Output, session::Session,
};

const ANSWER_WITHIN: Duration = Duration::from_secs(3);

pub(super) async fn run(
    arguments: RunArguments,
    session: &Session,
    output: Output,
) -> Result<ExitCode, Failure> {
    let connector = reach(session, output).await?;
    let request = StartRunRequest {
        goal: arguments.goal,
        // The same request may be sent twice; it is one run.
        idempotency_key: Uuid::new_v4().to_string(),
        agents: arguments.agents,
        namespace: arguments.namespace,
    };
    let started = alina_client::retry(alina_client::Retry::default(), || async {
        connector.orchestrator().start_run(request.clone()).await
    });
    let run = started.await?.into_inner().run.unwrap_or_default();
    if arguments.detach {
        output.show(&run_json(&run), |out| {
            writeln!(out, "{}\n  follow it with: alina runs follow {}", run.id, run.id)
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    watch(&connector, &run.id, !arguments.no_deltas, session, output).await
}

/// Follows a run to its end; the first Ctrl-C cancels it, the second leaves at once.
pub(super) async fn watch(
    connector: &Connector,
    run_id: &str,
    deltas: bool,
    session: &Session,
    output: Output,
) -> Result<ExitCode, Failure> {
    let interrupted = async {
        // Without a handler Ctrl-C simply ends this program.
        let _ = tokio::signal::ctrl_c().await;
        let request = CancelRunRequest { run_id: run_id.to_owned() };
        let cancelled = connector.orchestrator().cancel_run(request).await;
        if let Err(status) = cancelled {
            return Failure::from(status);
        }
        let _ = tokio::signal::ctrl_c().await;
        Failure::other(format!("left; the run is {run_id}"))
    };
    let run = tokio::select! {
        run = follow(connector, run_id, 0, deltas, output) => run?,
        failure = interrupted => return Err(failure),
    };
    let succeeded = run.state() == RunState::Succeeded;
    let value = json!({ "run": run_json(&run) });
    output.show(&value, |out| {
        if !succeeded {
            writeln!(out, "\n{} {}", "✗".red().bold(), run.error)?;
            return writeln!(out, "  take it up again with: alina runs resume {}", run.id);
        }
        writeln!(out, "\n{}\n{}\n", "Answer".green().bold(), run.answer.trim())?;
        writeln!(out, "{}", next(&run.id, session).dimmed())
    })?;
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where to look next, and how to stop.
fn next(run_id: &str, session: &Session) -> String {
    let look = format!(
        "journal  alina runs show {run_id}\nmemory   alina ask \"what did we plan?\"\n\
         search   alina memory search WORDS\n"
    );
    let native =
        format!("logs     {}\nstop     alina down", session.layout.home().join("log").display());
    let containers = session.layout.secrets().join("grafana_admin_password");
    if crate::suite::is_running(&session.layout) || !containers.is_file() {
        return look + &native;
    }
    let port = std::env::var("ALINA_GRAFANA_PORT").unwrap_or_else(|_| "3000".to_owned());
    format!(
        "{look}graphs   http://127.0.0.1:{port} (user admin, password in {})\n\
         logs     docker compose logs\nstop     docker compose down",
        containers.display()
    )
}

/// Clients to a suite that answers; it is started when nothing does.
async fn reach(session: &Session, output: Output) -> Result<Connector, Failure> {
    let connector = session.connect().await?;
    let mut orchestrator = connector.orchestrator();
    let asked = orchestrator.list_agents(ListAgentsRequest {});
    match tokio::time::timeout(ANSWER_WITHIN, asked).await {
        Ok(Ok(_)) => Ok(connector),
        Ok(Err(status)) if !is_away(&status) => Err(status.into()),
        _ => {
            suite::start(session, output).await?;
            session.connect().await
        }
    }
}
