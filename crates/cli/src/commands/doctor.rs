//! `alina doctor`: everything a run needs, and how to mend it.

mod models;
mod stores;

use std::{net::TcpListener, process::ExitCode, time::Duration};

use alina_client::Connector;
use alina_local::{PostgresPrograms, redis_server};
use alina_proto::{
    Service,
    inference::v1::{ListModelsRequest, ModelState},
};
use owo_colors::OwoColorize;
use serde_json::json;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::config;
use crate::{failure::Failure, output::Output, plan::Machine, session::Session, suite};

/// A suite with the small model.
const LEAST_MEMORY_MB: u32 = 3_000;
/// Databases, logs and models.
const LEAST_DISK: u64 = 2 * 1024 * 1024 * 1024;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);

struct Finding {
    what: &'static str,
    fine: bool,
    /// What was found, or what is wrong and how to mend it.
    said: String,
}

pub(super) async fn doctor(session: &Session, output: Output) -> Result<ExitCode, Failure> {
    let mut findings = vec![configuration(session).await];
    findings.push(cpu());
    findings.push(memory());
    findings.push(disk(session));
    findings.extend(programs(session));
    findings.extend(models::files(session).await);
    findings.extend(stores::answers(session).await);
    findings.extend(ports(session));
    if suite::is_running(&session.layout) || findings.iter().all(|finding| finding.what != "ports")
    {
        findings.extend(services(session).await);
    }

    let ill = findings.iter().any(|finding| !finding.fine);
    let value = json!({
        "healthy": !ill,
        "findings": findings.iter().map(|finding| json!({
            "what": finding.what, "fine": finding.fine, "said": finding.said,
        })).collect::<Vec<_>>(),
    });
    output.show(&value, |out| {
        for finding in &findings {
            let mark = match finding.fine {
                true => "✓".green().to_string(),
                false => "✗".red().bold().to_string(),
            };
            writeln!(out, "{mark} {:17} {}", finding.what, finding.said)?;
        }
        Ok(())
    })?;
    Ok(if ill { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn finding<T: ToString, E: ToString>(what: &'static str, result: Result<T, E>) -> Finding {
    match result {
        Ok(said) => Finding { what, fine: true, said: said.to_string() },
        Err(said) => Finding { what, fine: false, said: said.to_string() },
    }
}

async fn configuration(session: &Session) -> Finding {
    let checked = async {
        session.common().map_err(|failure| failure.to_string())?;
        let problems = config::problems(session).await.map_err(|failure| failure.to_string())?;
        match problems.is_empty() {
            true => Ok(session.config.display().to_string()),
            false => Err(problems.join("\n")),
        }
    };
    finding("configuration", checked.await)
}

fn cpu() -> Finding {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpus = Machine::read().cpus.len();
    let has = info.split_whitespace().any(|word| word == "avx2");
    let said = format!("{cpus} CPUs with AVX2");
    finding("CPU", has.then_some(said).ok_or("no AVX2: the embedded engine cannot run here; name an Ollama server in inference_gateway.ollama"))
}

fn memory() -> Finding {
    let memory = Machine::read().memory_mb;
    let enough = memory >= LEAST_MEMORY_MB;
    let few = format!("{memory} MiB; at least {LEAST_MEMORY_MB} are needed");
    finding("memory", enough.then(|| format!("{memory} MiB")).ok_or(few))
}

fn disk(session: &Session) -> Finding {
    let home = session.layout.home();
    let space = || -> Result<String, String> {
        session.layout.prepare().map_err(|error| error.to_string())?;
        let disk = rustix::fs::statvfs(home).map_err(|error| error.to_string())?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let said = format!("{} free for {}", crate::output::bytes(free), home.display());
        if free >= LEAST_DISK {
            Ok(said)
        } else {
            Err(format!("{said}; at least 2 GiB are needed"))
        }
    };
    finding("disk", space())
}

fn programs(session: &Session) -> [Finding; 2] {
    let venv = session.layout.venv();
    let postgres = PostgresPrograms::find(&venv);
    [
        finding(
            "PostgreSQL",
            postgres.map(|found| found.program("postgres").display().to_string()),
        ),
        finding("Redis", redis_server(&venv).map(|found| found.display().to_string())),
    ]
}

/// Ports are free, or ours.
fn ports(session: &Session) -> Option<Finding> {
    let common = session.common().ok()?;
    if suite::is_running(&session.layout) {
        return None;
    }
    let taken: Vec<String> = Service::ALL
        .into_iter()
        .flat_map(|service| {
            let place = common.endpoint(service);
            [(service, "listen", place.listen), (service, "metrics", place.metrics)]
        })
        .filter(|(_, _, address)| TcpListener::bind(address).is_err())
        .map(|(service, key, address)| format!("{address} (services.{}.{key})", service.key()))
        .collect();
    if taken.is_empty() {
        return Some(finding::<_, String>("ports", Ok("free; the suite is not running")));
    }
    // Containers publish the services' ports: then they answer.
    (taken.len() > Service::ALL.len()).then(|| {
        let said = format!("taken by another program: {}", taken.join(", "));
        finding::<String, _>("ports", Err(said))
    })
}

/// How each service is, and what the models' keeper says of them.
async fn services(session: &Session) -> Vec<Finding> {
    let connector = match session.connect().await {
        Ok(connector) => connector,
        Err(failure) => return vec![finding::<String, _>("services", Err(failure))],
    };
    let asked = Service::ALL.map(|service| health(&connector, service));
    let mut findings: Vec<Finding> = futures::future::join_all(asked).await;
    let listed = tokio::time::timeout(ANSWER_WITHIN, async {
        connector.inference().list_models(ListModelsRequest {}).await
    });
    let models = match listed.await {
        Ok(Ok(answer)) => {
            let models = answer.into_inner().models;
            let ill: Vec<_> =
                models.iter().filter(|model| model.state() == ModelState::Unavailable).collect();
            match ill.is_empty() {
                true => Ok(format!("{} ready", models.len())),
                false => Err(ill
                    .iter()
                    .map(|model| format!("{}: {}", model.name, model.problem))
                    .collect::<Vec<_>>()
                    .join("; ")),
            }
        }
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err("the inference-gateway does not answer".to_owned()),
    };
    findings.push(finding("models", models));
    findings
}

async fn health(connector: &Connector, service: Service) -> Finding {
    let mut client = HealthClient::new(connector.channel(service));
    let request = HealthCheckRequest { service: service.grpc_name().to_owned() };
    let log = format!("see `alina status` and .alina/log/{service}.log");
    let said = match tokio::time::timeout(ANSWER_WITHIN, client.check(request)).await {
        Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => Ok("serving"),
        Ok(Ok(_)) => Err(format!("not serving yet; {log}")),
        Ok(Err(status)) => Err(format!("{}; {log}", status.message())),
        Err(_) => Err(format!("no answer; {log}")),
    };
    finding(service.name(), said)
}
