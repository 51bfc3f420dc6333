//! Which models there are: `/api/tags`, `/api/show` and `/api/ps`.

use std::{path::PathBuf, sync::Arc};

use axum::{
    extract::{Request, State},
    response::Response,
};
use chrono::{DateTime, Days, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    super::{Shared, check::Checks, fault::Fault},
    Refusal, json_response, read,
    reply::moment,
    resolve,
};
use crate::{config::Kind, gateway::Listed, models::State as ModelState};

/// When a model leaves memory that no time drives out.
const NEVER: Days = Days::new(36_500);

#[derive(Debug, Deserialize)]
struct Show {
    model: Option<String>,
    name: Option<String>,
}

pub(super) async fn tags(State(shared): State<Arc<Shared>>) -> Response {
    let mut models = Vec::new();
    for listed in shared.gateway.models().await {
        if !matches!(listed.description.state, ModelState::Unavailable(_)) {
            let modified = modified(&shared, listed.description.path.clone()).await;
            // Clients look here before they use a name: aliases are listed, too, as copies are.
            for name in std::iter::once(&listed.name.0).chain(&listed.aliases) {
                let mut model = summary(&listed, name);
                model["modified_at"] = moment(modified);
                models.push(model);
            }
        }
    }
    json_response(&json!({ "models": models }))
}

pub(super) async fn running(State(shared): State<Arc<Shared>>) -> Response {
    let now = Utc::now();
    let never = now.checked_add_days(NEVER).unwrap_or(now);
    let models = shared.gateway.models().await.into_iter();
    let models = models.filter(|listed| listed.description.state == ModelState::Loaded);
    let models: Vec<Value> = models
        .map(|listed| {
            let mut model = summary(&listed, &listed.name.0);
            model["expires_at"] = moment(never);
            model["size_vram"] = 0.into();
            model["context_length"] = listed.description.traits.context_length.into();
            model
        })
        .collect();
    json_response(&json!({ "models": models }))
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Refusal> {
    let asked: Show = read(&shared, request).await?;
    let name = asked.model.or(asked.name).unwrap_or_default();
    let mut checks = Checks::default();
    checks.model(&name);
    checks.finish()?;
    let resolved = resolve(&shared, &name, Kind::Chat).map_err(Fault::from)?;
    let mut models = shared.gateway.models().await.into_iter();
    let listed = models.find(|listed| untagged(&listed.name.0) == untagged(&resolved.0));
    let listed = listed.ok_or_else(|| super::manage::missing(&name))?;
    if let ModelState::Unavailable(problem) = &listed.description.state {
        let name = listed.name.clone();
        let error = crate::error::Error::ModelUnavailable { name, problem: problem.clone() };
        return Err(Fault::from(error).into());
    }
    let capabilities = match listed.kind {
        Kind::Chat => json!(["completion", "tools"]),
        Kind::Embedding => json!(["embedding"]),
    };
    // Ollama prefixes what belongs to an architecture with its name.
    let traits = &listed.description.traits;
    let mut info = json!({
        "general.architecture": "unknown",
        "general.basename": listed.name.0,
        "unknown.context_length": traits.context_length,
    });
    if traits.parameters > 0 {
        info["general.parameter_count"] = traits.parameters.into();
    }
    let modified = modified(&shared, listed.description.path.clone()).await;
    Ok(json_response(&json!({
        "license": "",
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": details(&listed),
        "model_info": info,
        "capabilities": capabilities,
        "modified_at": moment(modified),
    })))
}

/// What every list says of a model under one of its names.
fn summary(listed: &Listed, name: &str) -> Value {
    let tagged = if name.contains(':') { name.to_owned() } else { format!("{name}:latest") };
    // Ollama's clients want a hash and show its beginning. This one tells models apart; it is not
    // that of the file's contents.
    let name = &listed.name.0;
    let path = listed.description.path.as_deref().unwrap_or(name.as_ref());
    let identity = format!("{name}\n{}\n{}", path.display(), listed.description.size_bytes);
    let digest = Sha256::digest(identity.as_bytes());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "name": tagged,
        "model": tagged,
        "size": listed.description.size_bytes,
        "digest": digest,
        "details": details(listed),
    })
}

fn details(listed: &Listed) -> Value {
    let traits = &listed.description.traits;
    let parameters = match traits.parameters {
        0 => String::new(),
        count @ ..1_000_000_000 => format!("{}M", count / 1_000_000),
        count => format!("{}.{}B", count / 1_000_000_000, count / 100_000_000 % 10),
    };
    json!({
        "parent_model": "",
        "format": if listed.kind == Kind::Chat { "gguf" } else { "safetensors" },
        "family": "unknown",
        "families": ["unknown"],
        "parameter_size": parameters,
        "quantization_level": traits.quantization,
    })
}

fn untagged(name: &str) -> &str {
    name.strip_suffix(":latest").unwrap_or(name)
}

/// When a model's file was written; when this service began, if that is not known.
async fn modified(shared: &Shared, path: Option<PathBuf>) -> DateTime<Utc> {
    let Some(path) = path else { return shared.started };
    let modified = tokio::fs::metadata(path).await.and_then(|metadata| metadata.modified());
    modified.map_or(shared.started, DateTime::from)
}
