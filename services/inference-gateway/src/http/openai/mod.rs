//! OpenAI's interface. <https://platform.openai.com/docs/api-reference>

mod embeddings;
mod legacy;
mod reply;
mod request;
mod stream;

use std::{convert::Infallible, sync::Arc};

use axum::{
    Extension, Router,
    extract::{Path, Request, State},
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{get, post},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::{
    embeddings::Embeddings,
    legacy::Completion,
    reply::{Form, Head},
    request::{ChatCompletion, StreamOptions},
    stream::Options,
};
use super::{
    Shared,
    answer::{self, Answer},
    body,
    caller::Caller,
    fault::Fault,
};
use crate::{config::Kind, gateway::ChatRequest};

/// The routes.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(complete))
        .route("/v1/embeddings", post(embed))
        .route("/v1/models", get(models))
        .route("/v1/models/{*id}", get(model))
}

/// A fault as OpenAI tells it.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) Fault);

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

/// The body of a refusal, also the event that ends a stream.
fn error(fault: &Fault) -> Value {
    let kind = match fault.status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    // The gateway's names of fields are those of gRPC.
    let param = fault.field.as_deref().map(|field| match field {
        "json_schema" => "response_format.json_schema.schema",
        field => field,
    });
    let (message, code) = (&fault.message, fault.code);
    json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
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
    ([(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

async fn read<T: DeserializeOwned>(shared: &Shared, request: Request) -> Result<T, Fault> {
    body::must_be_json(request.headers())?;
    body::parse(&body::read(request, shared.max_body_bytes).await?)
}

async fn chat(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Refusal> {
    let asked: ChatCompletion = read(&shared, request).await?;
    let (stream, usage, user) = (asked.stream, asked.stream_options, asked.user.clone());
    let one_call = asked.parallel_tool_calls == Some(false);
    let mut request = asked.into_domain()?;
    caller.sign(&mut request, user.as_deref());
    answered(&shared, &caller, Form::Chat, request, stream_of(stream, usage), one_call).await
}

async fn complete(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Refusal> {
    let asked: Completion = read(&shared, request).await?;
    let (stream, usage, user) = (asked.stream, asked.stream_options, asked.user.clone());
    let mut request = asked.into_domain()?;
    caller.sign(&mut request, user.as_deref());
    answered(&shared, &caller, Form::Text, request, stream_of(stream, usage), false).await
}

/// Whether a stream is wanted, and whether it tells what it took.
fn stream_of(stream: Option<bool>, options: Option<StreamOptions>) -> Option<bool> {
    let usage = options.and_then(|options| options.include_usage).unwrap_or(false);
    stream.unwrap_or(false).then_some(usage)
}

async fn answered(
    shared: &Shared,
    caller: &Caller,
    form: Form,
    mut request: ChatRequest,
    stream: Option<bool>,
    one_call: bool,
) -> Result<Response, Refusal> {
    let model = shared.gateway.name_of(&request.model, Kind::Chat).map_err(Fault::from)?;
    request.model.clone_from(&model.0);
    let head = Head::new(form, model.0);
    let logprobs = request.logprobs.is_some();
    let answer = Answer::begin(shared, caller, request).await?;
    if let Some(usage) = stream {
        let options = Options { usage, logprobs, one_call };
        let events = stream::events(head, options, answer);
        return Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response());
    }
    let mut answered = answer.whole().await?;
    if one_call {
        answered.tool_calls.truncate(1);
    }
    Ok(json_response(&head.whole(&answered, logprobs)))
}

/// One event of a stream.
fn event(value: &Value) -> Result<Event, Infallible> {
    Ok(Event::default().data(value.to_string()))
}

async fn embed(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Refusal> {
    let asked: Embeddings = read(&shared, request).await?;
    asked.check()?;
    let (dimensions, base64) = asked.form();
    let model = shared.gateway.name_of(&asked.model, Kind::Embedding).map_err(Fault::from)?;
    let made = answer::embed(&shared, &caller, model, asked.input.0).await?;
    Ok(json_response(&Embeddings::reply(dimensions, base64, &made)?))
}

async fn models(State(shared): State<Arc<Shared>>) -> Response {
    json_response(&json!({ "object": "list", "data": list(&shared).await }))
}

async fn model(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let known = list(&shared).await.into_iter().find(|model| model["id"] == id.as_str());
    match known {
        Some(model) => Ok(json_response(&model)),
        // The gateway's error names near ones.
        None => Err(match shared.gateway.name_of(&id, Kind::Chat) {
            Err(error) => Refusal(error.into()),
            Ok(_) => Refusal(Fault {
                field: Some("model".to_owned()),
                ..Fault::new(StatusCode::NOT_FOUND, "model_not_found", format!("no model `{id}`"))
            }),
        }),
    }
}

/// Every name and alias.
async fn list(shared: &Shared) -> Vec<Value> {
    let mut all = Vec::new();
    for listed in shared.gateway.models().await {
        for id in std::iter::once(&listed.name.0).chain(&listed.aliases) {
            all.push(json!({
                "id": id,
                "object": "model",
                "created": shared.started.timestamp(),
                "owned_by": listed.backend,
                "root": listed.name.0,
            }));
        }
    }
    all
}
