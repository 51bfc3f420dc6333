//! `alina agents` and `alina alerts`.

use alina_proto::orchestrator::v1::{AlertSeverity, ListAgentsRequest, ListAlertsRequest};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    output::{Output, rfc3339, table, when},
    session::Session,
};

pub(super) async fn agents(session: &Session, output: Output) -> Result<(), Failure> {
    let connector = session.connect().await?;
    let agents = connector.orchestrator().list_agents(ListAgentsRequest {}).await?;
    let agents = agents.into_inner().agents;
    let value: Vec<Value> = agents
        .iter()
        .map(|agent| {
            json!({
                "name": agent.name,
                "description": agent.description,
                "instructions": agent.instructions,
                "instructions_version": agent.instructions_version,
                "tools": agent.tools,
                "model": agent.model,
                "running": agent.running,
            })
        })
        .collect();
    output.show(&Value::Array(value), |out| {
        for agent in &agents {
            let name = agent.name.bold();
            writeln!(out, "{name}  {}", agent.description)?;
            let model = if agent.model.is_empty() { "default" } else { &agent.model };
            let facts = format!(
                "  model {model} · instructions {} · tools {} · {} at work",
                agent.instructions_version,
                agent.tools.join(", "),
                agent.running
            );
            writeln!(out, "{}\n  {}\n", facts.dimmed(), agent.instructions)?;
        }
        Ok(())
    })
}

pub(super) async fn alerts(session: &Session, output: Output) -> Result<(), Failure> {
    let connector = session.connect().await?;
    let alerts = connector.orchestrator().list_alerts(ListAlertsRequest::default()).await?;
    let alerts = alerts.into_inner().alerts;
    let severity = |severity: AlertSeverity| {
        severity.as_str_name().trim_start_matches("ALERT_SEVERITY_").to_lowercase()
    };
    let value: Vec<Value> = alerts
        .iter()
        .map(|alert| {
            json!({
                "id": alert.id,
                "source": alert.source,
                "name": alert.name,
                "severity": severity(alert.severity()),
                "summary": alert.summary,
                "at": rfc3339(alert.at.as_ref()),
                "resolved": alert.resolved,
            })
        })
        .collect();
    output.show(&Value::Array(value), |out| {
        let mut rows = table(["when", "from", "alert", "severity", "", "what"]);
        for alert in &alerts {
            rows.add_row([
                when(alert.at.as_ref()),
                alert.source.clone(),
                alert.name.clone(),
                severity(alert.severity()),
                if alert.resolved { "over".to_owned() } else { String::new() },
                alert.summary.clone(),
            ]);
        }
        writeln!(out, "{rows}")
    })
}
