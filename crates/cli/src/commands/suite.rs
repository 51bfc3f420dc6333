//! `alina up`, `down`, `status`.

use std::time::{Duration, Instant};

use alina_proto::{Service, monitor::v1::GetStatusRequest};
use indicatif::{ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;
use serde_json::json;

use crate::{
    failure::Failure,
    output::{Output, bytes, table},
    session::Session,
    suite::{self, ChildState, State, SuiteError},
};

/// Draining requests, then the databases.
const DOWN_WITHIN: Duration = Duration::from_secs(40);
const MONITOR_WITHIN: Duration = Duration::from_secs(2);

impl From<SuiteError> for Failure {
    fn from(error: SuiteError) -> Self {
        match error {
            SuiteError::Config(error) => error.into(),
            error => Self::other(error),
        }
    }
}

pub(super) async fn foreground(session: &Session) -> Result<(), Failure> {
    Ok(suite::supervise(&session.layout, &session.config).await?)
}

/// Starts the suite unless it runs; shows how far it is.
pub(super) async fn start(session: &Session, output: Output) -> Result<State, Failure> {
    let bar = if output.is_json() { ProgressBar::hidden() } else { ProgressBar::new(8) };
    let style = ProgressStyle::with_template("{spinner} starting {bar:24} {pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let started = suite::up(&session.layout, &session.config, |state| {
        let healthy = state.children.iter().filter(|child| child.healthy).count();
        bar.set_position(healthy as u64);
        let waiting: Vec<_> = state.children.iter().filter(|child| !child.healthy).collect();
        bar.set_message(waiting.first().map_or(String::new(), |child| child.name.clone()));
        bar.tick();
    });
    let started = started.await;
    bar.finish_and_clear();
    Ok(started?)
}

pub(super) async fn up(session: &Session, output: Output) -> Result<(), Failure> {
    let begun = Instant::now();
    let running = suite::is_running(&session.layout);
    let state = start(session, output).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let value =
        json!({ "already_running": running, "seconds": seconds, "children": state.children });
    output.show(&value, |out| {
        if running {
            return writeln!(
                out,
                "{} the suite runs already; `alina status` shows it",
                "✓".green()
            );
        }
        writeln!(out, "{} the suite is up after {seconds:.1} s", "✓".green())?;
        writeln!(
            out,
            "  alina run \"GOAL\" · alina status · alina down · logs in {}",
            session.layout.home().join("log").display()
        )
    })
}

pub(super) async fn down(session: &Session, output: Output) -> Result<(), Failure> {
    let ran = suite::down(&session.layout, DOWN_WITHIN).await?;
    output.show(&json!({ "was_running": ran }), |out| {
        let text = if ran { "the suite is down" } else { "the suite was not running" };
        writeln!(out, "{} {text}", "✓".green())
    })
}

pub(super) async fn status(session: &Session, output: Output) -> Result<(), Failure> {
    let common = session.common()?;
    let running = suite::is_running(&session.layout);
    let state =
        if running { State::read(&session.layout).unwrap_or_default() } else { State::default() };
    let connector = session.connect().await?;
    let mut monitor = connector.monitor();
    let asked = tokio::time::timeout(MONITOR_WITHIN, monitor.get_status(GetStatusRequest {})).await;
    let told = match asked {
        Ok(Ok(answer)) => answer.into_inner().status,
        // It runs and refuses: that is another matter than nothing being there.
        Ok(Err(refusal)) if !running && !alina_client::is_away(&refusal) => {
            return Err(refusal.into());
        }
        Ok(Err(_)) | Err(_) => None,
    };
    let seen = |name: &str| {
        told.as_ref().and_then(|status| status.services.iter().find(|service| service.name == name))
    };

    let value = json!({
        "supervisor": running,
        "children": state.children,
        "machine": told.as_ref().and_then(|status| status.machine.as_ref()).map(|machine| json!({
            "cpus": machine.cpus,
            "cpu_used": machine.cpu_used,
            "memory_available_bytes": machine.memory_available_bytes,
            "memory_total_bytes": machine.memory_total_bytes,
        })),
        "services": told.iter().flat_map(|status| &status.services).map(|service| json!({
            "name": service.name,
            "up": service.up,
            "resident_bytes": service.resident_bytes,
            "requests_per_second": service.requests_per_second,
            "latency_p99_ms": service.latency_p99_ms,
        })).collect::<Vec<_>>(),
        "alerts": told.iter().flat_map(|status| &status.alerts).map(|alert| json!({
            "rule": alert.rule, "severity": alert.severity, "summary": alert.summary,
        })).collect::<Vec<_>>(),
    });
    output.show(&value, |out| {
        if !running && told.is_none() {
            return writeln!(out, "the suite is not running; start it with `alina up`");
        }
        let mut rows = table([
            "",
            "service",
            "process",
            "restarts",
            "memory",
            "requests/s",
            "p99",
            "gRPC",
            "note",
        ]);
        let names = ["postgres", "redis"].into_iter().chain(Service::ALL.map(Service::name));
        for name in names {
            let child = state.children.iter().find(|child| child.name == name);
            let seen = seen(name);
            let healthy = child.map_or(seen.is_some_and(|seen| seen.up), |child| child.healthy);
            if child.is_none() && seen.is_none() {
                continue;
            }
            let port = name.parse::<Service>().ok();
            rows.add_row([
                if healthy { "✓".green().to_string() } else { "✗".red().to_string() },
                name.to_owned(),
                child.and_then(|child| child.pid).map(|pid| pid.to_string()).unwrap_or_default(),
                child.map(|child| child.restarts.to_string()).unwrap_or_default(),
                seen.map(|seen| bytes(seen.resident_bytes)).unwrap_or_default(),
                seen.map(|seen| format!("{:.1}", seen.requests_per_second)).unwrap_or_default(),
                seen.map(|seen| format!("{:.0} ms", seen.latency_p99_ms)).unwrap_or_default(),
                port.map(|service| common.endpoint(service).listen.to_string()).unwrap_or_default(),
                child.map(note).unwrap_or_default(),
            ]);
        }
        writeln!(out, "{rows}")?;
        let Some(told) = &told else { return Ok(()) };
        if let Some(machine) = &told.machine {
            writeln!(
                out,
                "{} CPUs, {:.0} % used; {} of {} memory free",
                machine.cpus,
                machine.cpu_used * 100.0,
                bytes(machine.memory_available_bytes),
                bytes(machine.memory_total_bytes),
            )?;
        }
        for alert in &told.alerts {
            writeln!(out, "{} {}: {}", "!".yellow().bold(), alert.rule, alert.summary)?;
        }
        Ok(())
    })
}

fn note(child: &ChildState) -> String {
    if child.healthy && child.restarts == 0 { String::new() } else { child.note.clone() }
}
