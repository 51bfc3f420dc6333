//! `alina models`.

use alina_proto::inference::v1::{ListModelsRequest, ModelKind, ModelState};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    output::{Output, bytes, table},
    session::Session,
};

pub(super) async fn models(session: &Session, output: Output) -> Result<(), Failure> {
    let connector = session.connect().await?;
    let models = connector.inference().list_models(ListModelsRequest {}).await?.into_inner().models;
    let state =
        |state: ModelState| state.as_str_name().trim_start_matches("MODEL_STATE_").to_lowercase();
    let kind =
        |kind: ModelKind| kind.as_str_name().trim_start_matches("MODEL_KIND_").to_lowercase();
    let value: Vec<Value> = models
        .iter()
        .map(|model| {
            json!({
                "name": model.name,
                "aliases": model.aliases,
                "kind": kind(model.kind()),
                "state": state(model.state()),
                "backend": model.backend,
                "context_length": model.context_length,
                "size_bytes": model.size_bytes,
                "quantization": model.quantization,
                "parameters": model.parameters,
                "path": model.path,
                "problem": model.problem,
            })
        })
        .collect();
    output.show(&Value::Array(value), |out| {
        let mut rows =
            table(["model", "aliases", "kind", "state", "where", "size", "quantised", "window"]);
        for model in &models {
            rows.add_row([
                model.name.clone(),
                model.aliases.join(", "),
                kind(model.kind()),
                state(model.state()),
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
