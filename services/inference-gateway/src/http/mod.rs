//! OpenAI's and Ollama's interfaces over HTTP, so that programs written for those need no change.
//!
//! A request's head is looked at first, for every route alike (`admit`): is there room, does it
//! come from a web page, whose key has it. Its body becomes the same domain request as one over
//! gRPC; errors become each interface's own, in `openai` and `ollama`.
//!
//! Headers that any request may have: `X-Alina-Agent` (who asks, when there are no keys),
//! `X-Alina-Run` (what it belongs to), `X-Alina-Class` (`batch` or `interactive`) and
//! `X-Alina-Timeout` (seconds after which nobody waits any more).

mod answer;
mod body;
mod caller;
mod check;
mod fault;
mod keys;
mod metrics;
mod ollama;
mod openai;
mod parse;
mod serve;
#[cfg(test)]
mod tests;

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, StatusCode, header::ORIGIN},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use futures::FutureExt;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use alina_service::{Context, StartError};

use self::{body::Holding, caller::Caller, fault::Fault, keys::Keys, metrics::Metrics};
use crate::{config::InferenceConfig, gateway::Gateway};

/// Requests answered at once, those that wait for a place included; past that they are refused.
const MAX_CONCURRENT: usize = 256;

/// What all requests share.
#[derive(Debug)]
struct Shared {
    gateway: Arc<Gateway>,
    shutdown: CancellationToken,
    keys: Option<Keys>,
    metrics: Metrics,
    places: Arc<Semaphore>,
    max_body_bytes: usize,
    started: DateTime<Utc>,
}

/// Listens, if config.yaml says so, and serves in the background until the service ends.
///
/// # Errors
/// When the address is taken or the keys cannot be read.
pub async fn start(
    ctx: &Context<InferenceConfig>,
    gateway: Arc<Gateway>,
) -> Result<(), StartError> {
    let config = &ctx.config.http;
    let Some(address) = config.listen else { return Ok(()) };
    let named = config.key_file.as_ref().map(|file| ("inference_gateway.http.key_file", file));
    let tokens = ctx.common.security.token_file.as_ref();
    let file = named.or(tokens.map(|file| ("security.token_file", file)));
    let keys = file.map(|(key, file)| {
        let keys = Keys::open(ctx.common.path(file));
        keys.map_err(|problem| StartError::Other(format!("{key}: {problem}")))
    });
    let keys = keys.transpose()?;
    let listener = TcpListener::bind(address).await.map_err(|cause| StartError::Listen {
        address,
        key: "inference_gateway.http.listen".to_owned(),
        cause,
    })?;
    if keys.is_none() && !address.ip().is_loopback() {
        tracing::warn!(%address, "whoever reaches it may ask: inference_gateway.http.key_file and security.token_file are null");
    }
    tracing::info!(listen = %address, keys = keys.is_some(), "OpenAI's and Ollama's interfaces are ready");
    let shared = Shared {
        gateway,
        shutdown: ctx.shutdown.clone(),
        keys,
        metrics: ctx.register(Metrics::register),
        places: Arc::new(Semaphore::new(MAX_CONCURRENT)),
        max_body_bytes: config.max_body_bytes,
        started: Utc::now(),
    };
    ctx.spawn("http", serve::serve(listener, router(shared), ctx.shutdown.clone()));
    Ok(())
}

fn router(shared: Shared) -> Router {
    let shared = Arc::new(shared);
    let unknown = async |request: Request| {
        let message = format!("{} {} is no route here", request.method(), request.uri().path());
        let fault = Fault::new(StatusCode::NOT_FOUND, "unknown_route", message);
        Surface::of(&request).refuse(fault)
    };
    let other_method = async |request: Request| {
        let message = format!("{} cannot be asked with {}", request.uri().path(), request.method());
        let fault = Fault::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
        Surface::of(&request).refuse(fault)
    };
    Router::new()
        .merge(openai::routes())
        .merge(ollama::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), admit))
        .with_state(shared)
}

/// In whose words a request is refused.
#[derive(Debug, Clone, Copy)]
enum Surface {
    OpenAi,
    Ollama,
}

impl Surface {
    fn of(request: &Request) -> Self {
        let path = request.uri().path();
        if path == "/" || path.starts_with("/api/") { Self::Ollama } else { Self::OpenAi }
    }

    fn refuse(self, fault: Fault) -> Response {
        match self {
            Self::OpenAi => openai::Refusal(fault).into_response(),
            Self::Ollama => ollama::Refusal(fault).into_response(),
        }
    }
}

/// Lets a request in, or not, and counts it.
async fn admit(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let surface = Surface::of(&request);
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let mut watch = shared.metrics.begin(route.unwrap_or("other").to_owned());
    let place = Arc::clone(&shared.places).try_acquire_owned();
    let response = match (&place, admitted(&shared, &request)) {
        (Err(_), _) => surface.refuse(Fault::busy(MAX_CONCURRENT)),
        (_, Err(fault)) => surface.refuse(fault),
        (Ok(_), Ok(caller)) => {
            request.extensions_mut().insert(caller);
            let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
            answered.unwrap_or_else(|_| {
                tracing::error!("a request panicked");
                surface.refuse(Fault::internal())
            })
        }
    };
    watch.answers(response.status().as_u16());
    // Both are over when the answer's last byte has been sent, or nobody wants it any more.
    response.map(|body| Holding::wrap(body, (watch, place.ok())))
}

fn admitted(shared: &Shared, request: &Request) -> Result<Caller, Fault> {
    refuse_web_pages(request.headers())?;
    // Whether it is there is no secret; clients ask before they have a key.
    let open = matches!(request.uri().path(), "/" | "/api/version");
    Caller::new(request.headers(), shared.keys.as_ref().filter(|_| !open))
}

/// A browser says which page a request comes from. Pages of other machines must not use what
/// listens on this one.
fn refuse_web_pages(headers: &HeaderMap) -> Result<(), Fault> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let page = origin.to_str().ok().and_then(|origin| reqwest::Url::parse(origin).ok());
    let host = page.as_ref().and_then(reqwest::Url::host_str);
    if matches!(host, Some("localhost" | "127.0.0.1" | "[::1]")) {
        return Ok(());
    }
    let message = "web pages of other machines may not ask: Origin must be localhost, or absent";
    Err(Fault::new(StatusCode::FORBIDDEN, "forbidden_origin", message))
}
