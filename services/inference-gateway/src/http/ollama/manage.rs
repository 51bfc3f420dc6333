//! Models fetched, deleted and unloaded.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{StatusCode, Uri},
    response::Response,
};
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;

use super::{
    super::{Shared, check::Checks, fault::Fault},
    Refusal, json_response, lines, read, resolve,
};
use crate::{catalogue::ModelChange, chat::ModelName, config::Kind, models::State as ModelState};

#[derive(Debug, Deserialize)]
struct Named {
    model: Option<String>,
    name: Option<String>,
    stream: Option<bool>,
}

impl Named {
    /// The model's name; `name` is what older clients call the field.
    fn model(&self) -> Result<&str, Fault> {
        let model = self.model.as_deref().or(self.name.as_deref()).unwrap_or_default();
        let mut checks = Checks::default();
        checks.model(model);
        checks.finish()?;
        Ok(model)
    }
}

pub(super) async fn pull(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Refusal> {
    let asked: Named = read(&shared, request).await?;
    let name = asked.model()?;
    let streamed = asked.stream.unwrap_or(true);
    if let Some((server, model)) = shared.gateway.on_ollama(name) {
        let mut progress = server.pull(&model).await.map_err(Fault::from)?;
        if streamed {
            return Ok(lines(progress.map(|line| match line {
                Ok(line) => line,
                Err(error) => super::error(&error.into()),
            })));
        }
        let mut last = json!({});
        while let Some(line) = progress.next().await {
            last = line.map_err(Fault::from)?;
        }
        return Ok(json_response(&last));
    }
    fetch(&shared, name).await?;
    let success = json!({ "status": "success" });
    Ok(if streamed {
        lines(stream::iter([json!({ "status": "pulling manifest" }), success]))
    } else {
        json_response(&success)
    })
}

/// Sees to it that a model is there: the one place where fetching is done. A model that is there
/// needs no fetching; only Ollama servers fetch others.
async fn fetch(shared: &Shared, name: &str) -> Result<(), Fault> {
    if let Ok(resolved) = resolve(shared, name, Kind::Chat) {
        let mut listed = shared.gateway.models().await.into_iter();
        let listed = listed.find(|listed| listed.name == resolved);
        match listed.map(|listed| listed.description.state) {
            Some(ModelState::Loaded | ModelState::Available) => return Ok(()),
            Some(ModelState::Unavailable(problem)) => {
                let error = crate::error::Error::ModelUnavailable { name: resolved, problem };
                return Err(error.into());
            }
            None => {}
        }
    }
    let message = format!(
        "model `{name}` cannot be fetched over this interface: add it to \
         inference_gateway.models in config.yaml, or fetch it on its own server"
    );
    Err(Fault::new(StatusCode::BAD_REQUEST, "unsupported", message))
}

pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Refusal> {
    let asked: Named = read(&shared, request).await?;
    let name = asked.model()?;
    let resolved = resolve(&shared, name, Kind::Chat).map_err(Fault::from)?;
    let message = format!(
        "model `{resolved}` cannot be deleted over this interface: remove it from \
         inference_gateway.models in config.yaml, or delete it on its own server"
    );
    Err(Fault::new(StatusCode::BAD_REQUEST, "unsupported", message).into())
}

/// Takes a model out of memory.
pub(super) async fn unload(shared: &Shared, model: &ModelName) -> Result<(), Fault> {
    if let Some((server, model)) = shared.gateway.on_ollama(&model.0) {
        return server.unload(&model).await.map_err(Fault::from);
    }
    let change = ModelChange { loaded: Some(false), pinned: None };
    shared.gateway.change_model(&model.0, change).await?;
    Ok(())
}

/// `/api/copy`, `/api/create` and `/api/push`.
pub(super) async fn unsupported(uri: Uri) -> Refusal {
    let message = format!("{} is not supported: models are described in config.yaml", uri.path());
    Refusal(Fault::new(StatusCode::NOT_IMPLEMENTED, "unsupported", message))
}

/// There is no such model, in Ollama's words, which clients look for.
pub(super) fn missing(name: &str) -> Fault {
    Fault::new(StatusCode::NOT_FOUND, "model_not_found", format!("model '{name}' not found"))
}
