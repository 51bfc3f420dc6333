//! An answer's body, watched to its end: the outcome stands in the trailers, a stream may panic
//! while it is polled, and a deadline may pass in its midst.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    time::Instant as StdInstant,
};

use alina_client::deadline;
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::{Code, Status, body::Body};

use crate::metrics::{Method, Outcome as OutcomeLabels, RequestMetrics};

/// Counts a request when it ends, however it ends.
#[derive(Debug)]
pub(super) struct Outcome {
    metrics: RequestMetrics,
    method: String,
    begun: StdInstant,
    code: Option<Code>,
}

impl Outcome {
    pub(super) fn begin(metrics: &RequestMetrics, method: String) -> Self {
        metrics.in_flight.get_or_create(&Method { method: method.clone() }).inc();
        Self { metrics: metrics.clone(), method, begun: StdInstant::now(), code: None }
    }

    fn see(&mut self, headers: &HeaderMap) {
        if let Some(value) = headers.get("grpc-status") {
            self.code = Some(Code::from_bytes(value.as_bytes()));
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        // Without a status the caller went away before the end.
        let code = code_name(self.code.unwrap_or(Code::Cancelled));
        let method = std::mem::take(&mut self.method);
        let label = Method { method: method.clone() };
        self.metrics.in_flight.get_or_create(&label).dec();
        let seconds = self.begun.elapsed().as_secs_f64();
        self.metrics.seconds.get_or_create(&label).observe(seconds);
        self.metrics.requests.get_or_create(&OutcomeLabels { method, code }).inc();
    }
}

/// A body that reports to an [`Outcome`].
pub(super) struct Observed {
    inner: Body,
    outcome: Outcome,
    deadline: Option<Pin<Box<Sleep>>>,
    until: Option<Instant>,
    span: tracing::Span,
    ended: bool,
}

impl Observed {
    pub(super) fn wrap(
        response: Response<Body>,
        mut outcome: Outcome,
        until: Option<Instant>,
        span: tracing::Span,
    ) -> Response<Body> {
        outcome.see(response.headers());
        response.map(|inner| {
            let deadline = until.map(|until| Box::pin(tokio::time::sleep_until(until)));
            Body::new(Self { inner, outcome, deadline, until, span, ended: false })
        })
    }

    fn end_with(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.ended = true;
        let mut trailers = HeaderMap::new();
        match status.add_header(&mut trailers) {
            Ok(()) => {
                self.outcome.see(&trailers);
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

impl HttpBody for Observed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return this.end_with(&Status::deadline_exceeded("the caller's deadline passed"));
        }
        let polled = {
            let _entered = this.span.enter();
            let inner = Pin::new(&mut this.inner);
            catch_unwind(AssertUnwindSafe(|| {
                deadline::sync_scope(this.until, || inner.poll_frame(cx))
            }))
        };
        match polled {
            Ok(polled) => {
                if let Poll::Ready(Some(Ok(frame))) = &polled
                    && let Some(trailers) = frame.trailers_ref()
                {
                    this.outcome.see(trailers);
                }
                polled
            }
            Err(_) => {
                tracing::error!("a stream panicked");
                this.end_with(&Status::internal("a fault in the service; see its log"))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The code's name as the gRPC specification writes it.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
