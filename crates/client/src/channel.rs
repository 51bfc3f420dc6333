//! The channel under every client.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use alina_proto::Service;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use http_body_util::BodyExt;
use opentelemetry::propagation::Injector;
use tokio::time::Instant;
use tonic::{
    Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{breaker::Breaker, connector::Token, deadline};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// A lazily connecting channel to one service; clones share the connection.
#[derive(Clone)]
pub struct PeerChannel {
    service: Service,
    channel: Channel,
    breaker: Arc<Breaker>,
    authorization: Option<HeaderValue>,
}

impl fmt::Debug for PeerChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerChannel").field("service", &self.service).finish_non_exhaustive()
    }
}

impl PeerChannel {
    pub(crate) fn new(service: Service, endpoint: &Endpoint, token: Option<&Token>) -> Self {
        let channel = endpoint
            .clone()
            .connect_timeout(Duration::from_secs(2))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .connect_lazy();
        let authorization = token.map(Token::header);
        Self { service, channel, breaker: Arc::default(), authorization }
    }
}

impl tower::Service<http::Request<Body>> for PeerChannel {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // The inner channel is made ready in `call`, where its failure has a name.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let mut this = self.clone();
        this.describe(request.headers_mut());
        Box::pin(async move {
            let service = this.service;
            this.breaker.admit().map_err(|wait| {
                Status::unavailable(format!(
                    "{service} is away; tried again in {} ms",
                    wait.as_millis()
                ))
            })?;
            let sent = async {
                futures::future::poll_fn(|cx| this.channel.poll_ready(cx)).await?;
                this.channel.call(request).await
            };
            match sent.await {
                Ok(response) => {
                    this.breaker.succeeded();
                    Ok(response.map(|body| Body::new(body.map_err(move |e| broken(service, &e)))))
                }
                Err(error) if has_expired(&error) => {
                    // The caller's time was up; that says little of the peer.
                    Err(Status::deadline_exceeded(format!("{service} did not answer in time")))
                }
                Err(error) => {
                    this.breaker.failed();
                    Err(broken(service, &error))
                }
            }
        })
    }
}

impl PeerChannel {
    /// Says on whose behalf the call is made and until when it matters.
    fn describe(&self, headers: &mut HeaderMap) {
        if let Some(authorization) = &self.authorization {
            headers.entry(AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
        if let Some(deadline) = deadline::current() {
            let left = deadline.saturating_duration_since(Instant::now());
            let own = headers.get(GRPC_TIMEOUT).and_then(parse_timeout);
            if own.is_none_or(|own| left < own) {
                headers.insert(GRPC_TIMEOUT, format_timeout(left));
            }
        }
        let context = tracing::Span::current().context();
        opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut Headers(headers));
        });
    }
}

/// Whether tonic's own timer for `grpc-timeout` ended the call.
fn has_expired(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(<dyn std::error::Error>::is::<tonic::TimeoutExpired>)
}

/// A failure of the connection, with the service's name and the innermost cause.
fn broken(service: Service, error: &dyn std::error::Error) -> Status {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Status::unavailable(format!("{service} cannot be reached or broke off: {cause}"))
}

/// As the gRPC specification has it: at most 8 digits and a unit.
fn format_timeout(left: Duration) -> HeaderValue {
    let millis = left.as_millis().max(1);
    let text = if millis < 100_000_000 {
        format!("{millis}m")
    } else {
        format!("{}S", left.as_secs().min(99_999_999))
    };
    // Digits and a letter are always a valid value.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("1m"))
}

fn parse_timeout(value: &HeaderValue) -> Option<Duration> {
    deadline_header(value.to_str().ok()?)
}

/// Reads a `grpc-timeout` value; `None` when malformed.
pub fn deadline_header(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

struct Headers<'a>(&'a mut HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_survive_the_header() {
        for millis in [1, 1_500, 3_600_000] {
            let span = Duration::from_millis(millis);
            assert_eq!(parse_timeout(&format_timeout(span)), Some(span));
        }
        for malformed in ["", "m", "10", "-1m", "123456789m", "1x"] {
            assert_eq!(deadline_header(malformed), None, "{malformed}");
        }
    }
}
