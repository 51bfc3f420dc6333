//! Ollama's interface. <https://github.com/ollama/ollama/blob/main/docs/api.md>

mod embed;
mod manage;
mod models;
mod reply;
mod request;

use std::{convert::Infallible, sync::Arc, time::Instant};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{
        HeaderValue,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use futures::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::{
    reply::{Form, Head},
    request::{Asked, Chat, Generate},
};
use super::{Shared, answer::Answer, body, caller::Caller, fault::Fault};
use crate::{chat::ModelName, config::Kind, error::Error};

/// The version of the interface, which clients ask for to know what they may use.
const VERSION: &str = "0.12.11";

/// The routes.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(async || "Ollama is running"))
        .route("/api/version", get(version))
        .route("/api/chat", post(chat))
        .route("/api/generate", post(generate))
        .route("/api/embed", post(embed::embed))
        .route("/api/embeddings", post(embed::embed_one))
        .route("/api/tags", get(models::tags))
        .route("/api/show", post(models::show))
        .route("/api/ps", get(models::running))
        .route("/api/pull", post(manage::pull))
        .route("/api/delete", delete(manage::delete))
        .route("/api/copy", post(manage::unsupported))
        .route("/api/create", post(manage::unsupported))
        .route("/api/push", post(manage::unsupported))
}

/// A fault as Ollama tells it.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) Fault);

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

/// The body of a refusal, also the line that ends a stream.
fn error(fault: &Fault) -> Value {
    json!({ "error": fault.message })
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(fault) = self;
        let mut response = json_response(&error(&fault));
        *response.status_mut() = fault.status;
        if let Some(after) = fault.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

fn json_response(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json; charset=utf-8")], value.to_string()).into_response()
}

/// Ollama's clients, and curl as its documentation uses it, name all kinds of content: whatever
/// they say it is, it must be JSON.
async fn read<T: DeserializeOwned>(shared: &Shared, request: Request) -> Result<T, Fault> {
    body::parse(&body::read(request, shared.max_body_bytes).await?)
}

/// The model that a name stands for. Ollama takes a name without a tag to mean `latest`, and its
/// clients add the tag; names in config.yaml have none.
fn resolve(shared: &Shared, name: &str, kind: Kind) -> Result<ModelName, Error> {
    let found = shared.gateway.name_of(name, kind);
    match name.strip_suffix(":latest") {
        Some(bare) if found.is_err() => shared.gateway.name_of(bare, kind).or(found),
        _ => found,
    }
}

async fn version() -> Response {
    json_response(&json!({ "version": VERSION, "alina": env!("CARGO_PKG_VERSION") }))
}

async fn chat(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Refusal> {
    let asked: Chat = read(&shared, request).await?;
    let (model, stream) = (asked.model.clone(), asked.stream.unwrap_or(true));
    Ok(answered(&shared, &caller, Form::Chat, model, asked.into_domain()?, stream).await?)
}

async fn generate(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Refusal> {
    let asked: Generate = read(&shared, request).await?;
    let (model, stream) = (asked.model.clone(), asked.stream.unwrap_or(true));
    Ok(answered(&shared, &caller, Form::Generate, model, asked.into_domain()?, stream).await?)
}

async fn answered(
    shared: &Shared,
    caller: &Caller,
    form: Form,
    model: String,
    asked: Asked,
    stream: bool,
) -> Result<Response, Fault> {
    let begun = Instant::now();
    let resolved = resolve(shared, &model, Kind::Chat)?;
    let head = |logprobs, prepared| Head { form, model, logprobs, begun, prepared };
    let mut request = match asked {
        Asked::Answer(request) => request,
        Asked::Load => {
            shared.gateway.load_model(&resolved.0).await?;
            return Ok(json_response(&head(false, begun.elapsed()).nothing("load")));
        }
        Asked::Unload => {
            manage::unload(shared, &resolved).await?;
            return Ok(json_response(&head(false, begun.elapsed()).nothing("unload")));
        }
    };
    request.model = resolved.0;
    caller.sign(&mut request, None);
    let logprobs = request.logprobs.is_some();
    let answer = Answer::begin(shared, caller, *request).await?;
    let head = head(logprobs, begun.elapsed());
    if stream {
        return Ok(lines(answer.parts().filter_map(move |part| {
            let line = match part {
                Ok(part) => head.part(part),
                Err(fault) => Some(error(&fault)),
            };
            futures::future::ready(line)
        })));
    }
    Ok(json_response(&head.whole(&answer.whole().await?)))
}

/// One value a line.
fn lines(values: impl Stream<Item = Value> + Send + 'static) -> Response {
    let lines = values.map(|value| Ok::<_, Infallible>(Bytes::from(format!("{value}\n"))));
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}
