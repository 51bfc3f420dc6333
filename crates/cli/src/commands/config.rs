//! `alina config`: each service knows its own section and is asked about it.

use std::{path::PathBuf, process::ExitCode};

use alina_proto::Service;
use owo_colors::OwoColorize;
use serde_json::{Map, Value, json};
use tokio::process::Command;

use crate::{arguments::Config, failure::Failure, output::Output, session::Session};

pub(super) async fn run(
    command: &Config,
    session: &Session,
    output: Output,
) -> Result<ExitCode, Failure> {
    match command {
        Config::Check => check(session, output).await,
        Config::Schema => print_schema(output).await.map(|()| ExitCode::SUCCESS),
    }
}

pub(super) async fn print_schema(output: Output) -> Result<(), Failure> {
    let schema = schema().await?;
    output.show(&schema, |out| writeln!(out, "{schema:#}"))
}

async fn check(session: &Session, output: Output) -> Result<ExitCode, Failure> {
    session.common()?;
    let problems = problems(session).await?;
    let fine = problems.is_empty();
    output.show(&json!({ "file": session.config, "problems": problems }), |out| {
        if fine {
            return writeln!(out, "{} {}", "✓".green(), session.config.display());
        }
        problems.iter().try_for_each(|problem| writeln!(out, "{} {problem}", "✗".red()))
    })?;
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::from(64) })
}

/// What the services say is wrong with their sections.
pub(super) async fn problems(session: &Session) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    for service in Service::ALL {
        let program = program(service)?;
        let checked = Command::new(&program)
            .arg("--check-config")
            .arg("--config")
            .arg(&session.config)
            .output()
            .await
            .map_err(|error| missing(&program, &error))?;
        if !checked.status.success() {
            let said = String::from_utf8_lossy(&checked.stderr);
            problems.push(said.trim().to_owned());
        }
    }
    Ok(problems)
}

/// The schema of the whole file: the shared sections and each service's own.
async fn schema() -> Result<Value, Failure> {
    let mut root = alina_service::config::common_schema();
    for service in Service::ALL {
        let program = program(service)?;
        let printed = Command::new(&program)
            .arg("--print-schema")
            .output()
            .await
            .map_err(|error| missing(&program, &error))?;
        let mut section: Value = serde_json::from_slice(&printed.stdout)
            .map_err(|error| Failure::other(format!("{}: {error}", program.display())))?;
        // Definitions are referred to from the root of the file.
        let prefix = format!("{}_", service.key());
        let definitions = section.as_object_mut().and_then(|section| section.remove("$defs"));
        rename_references(&mut section, &prefix);
        for (name, mut definition) in definitions
            .iter()
            .flat_map(Value::as_object)
            .flatten()
            .map(|(name, definition)| (format!("{prefix}{name}"), definition.clone()))
        {
            rename_references(&mut definition, &prefix);
            object(&mut root, "$defs").insert(name, definition);
        }
        object(&mut root, "properties").insert(service.key().to_owned(), section);
    }
    root["title"] = json!("AgentAlina's config.yaml");
    Ok(root)
}

fn object<'a>(root: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !root[key].is_object() {
        root[key] = json!({});
    }
    match &mut root[key] {
        Value::Object(map) => map,
        // Made an object above.
        _ => unreachable!("{key} was made an object"),
    }
}

fn rename_references(value: &mut Value, prefix: &str) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/$defs/")
            {
                *reference = format!("#/$defs/{prefix}{name}");
            }
            map.values_mut().for_each(|value| rename_references(value, prefix));
        }
        Value::Array(values) => {
            values.iter_mut().for_each(|value| rename_references(value, prefix));
        }
        _ => {}
    }
}

fn program(service: Service) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    Ok(own.with_file_name(service.program()))
}

fn missing(program: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::other(format!("{}: {error}", program.display()))
        .hint("build the services with ./deploy/bootstrap build")
}
