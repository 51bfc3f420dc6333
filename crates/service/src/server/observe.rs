//! What happens to every request: it is admitted or refused, gets a span under its caller's, its
//! deadline is put in force, a panic becomes INTERNAL, and its outcome is counted.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    task::{Context, Poll},
    time::Duration,
};

use alina_client::{deadline, deadline_header};
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, Request, Response};
use opentelemetry::propagation::Extractor;
use tokio::time::Instant;
use tonic::{Code, Status, body::Body};
use tower::{BoxError, Layer, Service, ServiceExt};
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{
    auth::Tokens,
    body::{Observed, Outcome},
};
use crate::{metrics::RequestMetrics, status};

#[derive(Debug, Clone)]
pub(super) struct ObserveLayer {
    metrics: RequestMetrics,
    tokens: Tokens,
}

impl ObserveLayer {
    pub(super) fn new(metrics: RequestMetrics, tokens: Tokens) -> Self {
        Self { metrics, tokens }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, metrics: self.metrics.clone(), tokens: self.tokens.clone() }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Observe<S> {
    inner: S,
    metrics: RequestMetrics,
    tokens: Tokens,
}

impl<S, B> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The inner service is made ready in `call`, where being overloaded becomes a status.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let outcome = Outcome::begin(&self.metrics, method_label(&path));
        let span = tracing::info_span!("grpc", "otel.name" = path, "otel.kind" = "server");
        let parent = opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.extract(&Headers(request.headers()))
        });
        // Refused only once the span has begun, and it has not.
        let _ = span.set_parent(parent);
        let until = request
            .headers()
            .get("grpc-timeout")
            .and_then(|value| deadline_header(value.to_str().ok()?))
            .map(|span| Instant::now() + span);

        let admitted = self.tokens.admit(&path, request.headers());
        let inner = self.inner.clone();
        let answered = async move {
            if !admitted {
                return refuse(&Status::unauthenticated(
                    "a bearer token of security.token_file is needed",
                ));
            }
            let answer = deadline::scope(until, inner.oneshot(request));
            let answer = AssertUnwindSafe(answer).catch_unwind();
            let answer = match until {
                Some(until) => match tokio::time::timeout_at(until, answer).await {
                    Ok(answer) => answer,
                    Err(_) => {
                        return refuse(&Status::deadline_exceeded("the caller's deadline passed"));
                    }
                },
                None => answer.await,
            };
            match answer {
                Ok(Ok(response)) => match unreadable(response.headers()) {
                    Some(status) => refuse(&status),
                    None => response,
                },
                Ok(Err(error)) => refuse(&overloaded(&error.into())),
                Err(panic) => {
                    tracing::error!(panic = panic_message(panic.as_ref()), "a request panicked");
                    refuse(&Status::internal("a fault in the service; see its log"))
                }
            }
        };
        Box::pin(
            async move {
                let response = answered.await;
                let span = tracing::Span::current();
                Ok(Observed::wrap(response, outcome, until, span))
            }
            .instrument(span),
        )
    }
}

/// The method when it is one of ours, else one label for all others: labels must not grow with
/// input.
fn method_label(path: &str) -> String {
    let path = path.strip_prefix('/').unwrap_or(path);
    let ours = alina_proto::methods().contains(path);
    let chassis = matches!(
        path,
        "grpc.health.v1.Health/Check"
            | "grpc.health.v1.Health/Watch"
            | "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
            | "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    );
    if ours || chassis { path.to_owned() } else { "other".to_owned() }
}

fn overloaded(error: &BoxError) -> Status {
    if error.is::<tower::load_shed::error::Overloaded>() {
        return status::retry(
            Code::ResourceExhausted,
            "OVERLOADED",
            "too many requests at once",
            Duration::from_millis(250),
        );
    }
    tracing::error!(%error, "a request failed below gRPC");
    Status::internal("a fault in the service; see its log")
}

/// What a request that is no protobuf, or has text that is no UTF-8, is answered: tonic calls it a fault
/// of the service, and it is the caller's.
fn unreadable(headers: &HeaderMap) -> Option<Status> {
    let status = Status::from_header_map(headers)?;
    let what = status.message().strip_prefix("failed to decode Protobuf message: ")?;
    let message = format!("the request cannot be read: {what}");
    let fault = status.code() == Code::Internal;
    fault.then(|| status::error(Code::InvalidArgument, "INVALID_REQUEST", message))
}

fn refuse(status: &Status) -> Response<Body> {
    status.clone().into_http()
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_grow_with_input() {
        let known = "/alina.memory.v1.MemoryService/Search";
        assert_eq!(method_label(known), known[1..]);
        assert_eq!(method_label("/evil.Service/X"), "other");
        assert_eq!(method_label("/alina.memory.v1.MemoryService/Invented"), "other");
        assert_eq!(method_label(""), "other");
    }
}
