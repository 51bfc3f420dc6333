//! `alina models`.

pub(super) mod configured;
mod files;
mod quantize;

use alina_proto::inference::v1::{ListModelsRequest, Model, ModelKind, ModelState};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use crate::{
    arguments::Models,
    failure::Failure,
    output::{Output, bytes, table},
    session::Session,
};

pub(super) async fn run(
    command: Option<Models>,
    session: &Session,
    output: Output,
) -> Result<(), Failure> {
    match command {
        None | Some(Models::List) => list(session, output).await,
        Some(Models::Show { name }) => show(&name, session, output).await,
        Some(Models::Pull { source, name, sha256 }) => {
            files::pull(&source, name.as_deref(), sha256.as_deref(), session, output).await
        }
        Some(Models::Rm { name }) => files::rm(&name, session, output).await,
        Some(Models::Quantize { from, to, target }) => {
            quantize::quantize(&from, &to, &target, session, output).await
        }
    }
}

fn state(model: &Model) -> String {
    model.state().as_str_name().trim_start_matches("MODEL_STATE_").to_lowercase()
}

fn kind(model: &Model) -> String {
    let kind: ModelKind = model.kind();
    kind.as_str_name().trim_start_matches("MODEL_KIND_").to_lowercase()
}

fn value(model: &Model) -> Value {
    json!({
        "name": model.name,
        "aliases": model.aliases,
        "kind": kind(model),
        "state": state(model),
        "backend": model.backend,
        "context_length": model.context_length,
        "size_bytes": model.size_bytes,
        "quantization": model.quantization,
        "parameters": model.parameters,
        "path": model.path,
        "problem": model.problem,
        "pinned": model.pinned,
        "memory_bytes": model.memory_bytes,
    })
}

async fn models(session: &Session) -> Result<Vec<Model>, Failure> {
    let connector = session.connect().await?;
    Ok(connector.inference().list_models(ListModelsRequest {}).await?.into_inner().models)
}

async fn list(session: &Session, output: Output) -> Result<(), Failure> {
    let models = models(session).await?;
    output.show(&models.iter().map(value).collect(), |out| {
        let mut rows =
            table(["model", "aliases", "kind", "state", "where", "size", "quantised", "window"]);
        for model in &models {
            rows.add_row([
                model.name.clone(),
                model.aliases.join(", "),
                kind(model),
                if model.pinned { format!("{}, pinned", state(model)) } else { state(model) },
                model.backend.clone(),
                bytes(model.size_bytes),
                model.quantization.clone(),
                model.context_length.to_string(),
            ]);
        }
        writeln!(out, "{rows}")?;
        for model in models.iter().filter(|model| !model.problem.is_empty()) {
            writeln!(out, "{} {}", "✗".red(), model.problem)?;
        }
        Ok(())
    })
}

async fn show(name: &str, session: &Session, output: Output) -> Result<(), Failure> {
    let models = models(session).await?;
    let is = |model: &&Model| model.name == name || model.aliases.iter().any(|alias| alias == name);
    let found = models.iter().find(is);
    let model = found.ok_or_else(|| {
        Failure::other(format!("no model `{name}`")).hint("`alina models` lists those there are")
    })?;
    output.show(&value(model), |out| {
        let memory = match model.state() {
            ModelState::Loaded => bytes(model.memory_bytes),
            _ => "none".to_owned(),
        };
        for (what, is) in [
            ("name", model.name.clone()),
            ("aliases", model.aliases.join(", ")),
            ("kind", kind(model)),
            ("state", state(model)),
            ("pinned", if model.pinned { "yes" } else { "no" }.to_owned()),
            ("where", model.backend.clone()),
            ("size", bytes(model.size_bytes)),
            ("memory", memory),
            ("quantised", model.quantization.clone()),
            ("weights", model.parameters.to_string()),
            ("window", model.context_length.to_string()),
            ("path", model.path.clone()),
        ] {
            writeln!(out, "{what:10} {is}")?;
        }
        match model.problem.as_str() {
            "" => Ok(()),
            problem => writeln!(out, "{} {problem}", "✗".red()),
        }
    })
}
