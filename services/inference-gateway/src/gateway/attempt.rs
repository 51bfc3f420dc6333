//! Asking one place after another, until one begins to answer.

use futures::{StreamExt, stream::BoxStream};

use super::ChatRequest;
use crate::{
    catalogue::{Entry, Places},
    chat::{Chat, Event, Job},
    error::Error,
    metrics::Metrics,
    route::InFlight,
    schedule::Place,
};

/// Where a chat may be answered.
pub(super) struct Attempts {
    places: Places,
    request: ChatRequest,
    metrics: Metrics,
}

/// A chat that is ready to run.
pub(super) struct Ready {
    pub(super) entry: Entry,
    pub(super) job: Box<dyn Job>,
    entered: InFlight,
}

impl Attempts {
    pub(super) fn new(places: Places, request: ChatRequest, metrics: Metrics) -> Self {
        Self { places, request, metrics }
    }

    /// The chat, prepared by the first model that can.
    ///
    /// # Errors
    /// When none can, or the request itself is at fault.
    pub(super) async fn ready(&mut self) -> Result<Ready, Error> {
        let mut failed = None;
        while let Some((entry, entered)) = self.places.take() {
            let error = match prepare(&entry, &self.request).await {
                Ok(job) => return Ok(Ready { entry, job, entered }),
                Err(error) => error,
            };
            self.may_go_on(&entry, &error)?;
            failed = Some(graver(failed, error));
        }
        // There is one place at least.
        Err(failed
            .unwrap_or_else(|| Error::ModelNotFound { name: String::new(), near: Vec::new() }))
    }

    /// Whether the next place is to be asked after `error`; then that is counted.
    ///
    /// # Errors
    /// `error`, when another place would not help or there is none.
    fn may_go_on(&self, entry: &Entry, error: &Error) -> Result<(), Error> {
        let Some(next) = self.places.next().filter(|_| error.is_of_the_place()) else {
            return Err(error.clone());
        };
        tracing::warn!(model = %entry.name, next = %next.name, %error, "another place is asked");
        self.metrics.failed_over(entry.backend(), error.reason());
        Ok(())
    }
}

async fn prepare(entry: &Entry, request: &ChatRequest) -> Result<Box<dyn Job>, Error> {
    entry.chat()?.prepare(complete(entry, request)).await
}

/// With the model's defaults for what the request leaves open.
pub(super) fn complete(entry: &Entry, request: &ChatRequest) -> Chat {
    Chat {
        input: request.input.clone(),
        sampling: request.sampling.or(entry.sampling),
        max_tokens: request.max_tokens.unwrap_or(entry.max_tokens).max(1),
        stop: request.stop.clone(),
        constraint: request.constraint.clone(),
        tools: request.tools.clone(),
        logprobs: request.logprobs,
    }
}

/// What to tell of two failures: that a place cannot do what is asked says less than that one that
/// could is not well.
fn graver(earlier: Option<Error>, later: Error) -> Error {
    match earlier {
        Some(earlier) if matches!(later, Error::Unsupported { .. }) => earlier,
        _ => later,
    }
}

/// An answer on its way.
pub(super) struct Serving {
    /// Who gives it.
    pub(super) entry: Entry,
    answer: BoxStream<'static, Result<Event, Error>>,
    _entered: InFlight,
    /// As long as nothing has come and there are others to ask: those, and the place.
    others: Option<(Attempts, Place)>,
}

impl Serving {
    /// Runs what is ready; if that fails before its first event, the next of `attempts`.
    pub(super) fn start(ready: Ready, attempts: Attempts, place: Place) -> Self {
        let others = attempts.places.next().is_some();
        let others = others.then(|| (attempts, place.keep()));
        let answer = ready.job.start(place);
        Self { entry: ready.entry, answer, _entered: ready.entered, others }
    }

    /// The next event; none when it ended without an end.
    pub(super) async fn next(&mut self) -> Option<Result<Event, Error>> {
        loop {
            let event = self.answer.next().await;
            let Some((mut attempts, place)) = self.others.take() else { return event };
            let error = match event {
                Some(Err(error)) => error,
                None => Error::BackendFailed {
                    backend: self.entry.backend().to_owned(),
                    cause: "it stopped before it began to answer".to_owned(),
                },
                // From now on nobody else could go on where this one is.
                begun => return begun,
            };
            if let Err(error) = attempts.may_go_on(&self.entry, &error) {
                return Some(Err(error));
            }
            match attempts.ready().await {
                Ok(ready) => *self = Self::start(ready, attempts, place),
                Err(later) => return Some(Err(graver(Some(error), later))),
            }
        }
    }
}
