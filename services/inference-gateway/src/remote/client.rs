//! Asking one server.

use std::{path::PathBuf, sync::Arc, time::Duration};

use reqwest::{
    RequestBuilder, Response, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
    redirect::Policy,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{
    Timeouts,
    body::Body,
    refusal::{Fault, Refusal},
};
use crate::{
    chat::ModelName,
    error::Error,
    route::{Backend, Resting, Trial},
};

/// Questions that take no thought.
const QUICK: Duration = Duration::from_secs(3);
/// The longest answer to one.
const MOST_QUICK: usize = 8 << 20;
/// The most that is read of a refusal.
const MOST_REFUSAL: usize = 64 << 10;

/// How long a connection is kept for the next question: vLLM's server closes them after 5 s.
const IDLE: Duration = Duration::from_secs(2);

/// A server over HTTP.
#[derive(Debug)]
pub(crate) struct Client {
    backend: Arc<Backend>,
    url: Url,
    http: reqwest::Client,
    timeouts: Timeouts,
    /// Holds the bearer token.
    key_file: Option<PathBuf>,
    /// What it is and how to mend its absence.
    kind: Kind,
}

/// Words for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// For example "Ollama server".
    pub(crate) what: &'static str,
    /// For example "start it with `ollama serve`".
    pub(crate) mend: &'static str,
}

impl Client {
    /// Nothing is sent yet. Paths are added to `url`.
    ///
    /// # Errors
    /// When the URL is none; config.yaml was checked for that.
    pub(crate) fn new(
        backend: Arc<Backend>,
        url: &str,
        timeouts: Timeouts,
        key_file: Option<PathBuf>,
        kind: Kind,
    ) -> Result<Self, String> {
        let slash = if url.ends_with('/') { "" } else { "/" };
        let url = Url::parse(&format!("{url}{slash}")).map_err(|error| error.to_string())?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(timeouts.connect)
            // The key is for this server alone.
            .redirect(Policy::none())
            // Well before servers close idle connections, which may be when one is used again.
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { backend, url, http, timeouts, key_file, kind })
    }

    pub(crate) fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    pub(crate) fn name(&self) -> &str {
        self.backend.name()
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// Asks and waits for the head of the answer, until `until`.
    ///
    /// # Errors
    /// When there is none, or it is no success.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: &impl Serialize,
        until: Instant,
    ) -> Result<Response, Fault> {
        let url = self.join(path)?;
        self.send(self.http.post(url).json(body), until).await
    }

    /// Asks for something small.
    ///
    /// # Errors
    /// When it cannot be had quickly.
    pub(crate) async fn quick<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        let until = Instant::now() + QUICK;
        let response = self.send(self.http.get(self.join(path)?), until).await?;
        self.read(response, MOST_QUICK, until).await
    }

    /// The whole of an answer, as JSON of at most `most` bytes.
    ///
    /// # Errors
    /// When it is none, or comes too late.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        response: Response,
        most: usize,
        until: Instant,
    ) -> Result<T, Fault> {
        let kind = content_type(&response).to_owned();
        let bytes = Body::new(response, most).whole(until).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let kind = if kind.is_empty() { "something" } else { &kind };
            Fault::Failed(format!("it answered with {kind} that is not understood: {error}"))
        })
    }

    async fn send(&self, request: RequestBuilder, until: Instant) -> Result<Response, Fault> {
        let request = match &self.key_file {
            Some(file) => request.header(AUTHORIZATION, bearer(file).await.map_err(Fault::Away)?),
            None => request,
        };
        let sent = timeout_at(until, request.send()).await.map_err(|_| Fault::Late)?;
        let response = sent.map_err(|error| {
            let causes = causes(&error);
            if error.is_connect() { Fault::Away(self.away(&causes)) } else { Fault::Failed(causes) }
        })?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_success() {
            return Ok(response);
        }
        let soon = until.min(Instant::now() + QUICK);
        // What cannot be read is told by the status alone.
        let body = Body::new(response, MOST_REFUSAL).whole(soon).await.unwrap_or_default();
        Err(Fault::Refused(Refusal::new(status, &headers, &body)))
    }

    /// What a fault means for a request for the model `name`.
    pub(crate) fn error(&self, name: &ModelName, fault: Fault) -> Error {
        match fault {
            Fault::Away(problem) => Error::ModelUnavailable { name: name.clone(), problem },
            Fault::Late => self.failed(
                "it took longer than it may; see inference_gateway.timeouts in config.yaml",
            ),
            Fault::Failed(cause) => self.failed(cause),
            Fault::Refused(refusal) => refusal.into_error(self.name(), name),
        }
    }

    pub(crate) fn failed(&self, cause: impl Into<String>) -> Error {
        Error::BackendFailed { backend: self.name().to_owned(), cause: cause.into() }
    }

    /// What a fault means for those who look after the server.
    pub(crate) fn problem(&self, fault: Fault) -> String {
        let cause = match fault {
            Fault::Away(problem) => return problem,
            Fault::Late => "it took too long".to_owned(),
            Fault::Failed(cause) => cause,
            Fault::Refused(refusal) => format!("it refuses: {}", refusal.said()),
        };
        self.away(&cause)
    }

    /// Refuses when the server is left alone for a while.
    pub(crate) fn check(&self, name: &ModelName) -> Result<(), Error> {
        self.backend.check().map_err(|resting| self.resting(name, &resting))
    }

    /// Waits until the server may be asked: it is not when it is left alone for a while, nor before
    /// fewer requests run than its most.
    ///
    /// # Errors
    /// When it is not in time.
    pub(crate) async fn enter(
        &self,
        name: &ModelName,
    ) -> Result<(SemaphorePermit<'_>, Trial), Error> {
        let turn = self.backend.turn(Instant::now() + self.timeouts.first_token).await;
        let turn = turn.ok_or_else(|| Error::BackendBusy {
            backend: self.name().to_owned(),
            retry_after: Duration::from_secs(1),
            cause: "the requests that run there do not end".to_owned(),
        })?;
        let trial = self.backend.admit().map_err(|resting| self.resting(name, &resting))?;
        Ok((turn, trial))
    }

    /// Does `work`, which asks the server, when it may be asked, and notes how that went.
    ///
    /// # Errors
    /// When it may not, or the work fails.
    pub(crate) async fn watched<T>(
        &self,
        name: &ModelName,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let (_turn, mut trial) = self.enter(name).await?;
        let outcome = work.await;
        note(&mut trial, &outcome);
        outcome
    }

    fn resting(&self, name: &ModelName, resting: &Resting) -> Error {
        let again = match resting.left {
            Some(left) => format!("in {:.1} s", left.as_secs_f32()),
            None => "when a request that tries it was answered".to_owned(),
        };
        let problem = format!(
            "back end `{}` failed {} times in a row and is asked again {again}; the last time: {}",
            self.name(),
            resting.failures,
            resting.problem
        );
        Error::ModelUnavailable { name: name.clone(), problem }
    }

    fn join(&self, path: &str) -> Result<Url, Fault> {
        self.url.join(path).map_err(|error| Fault::Failed(error.to_string()))
    }

    fn away(&self, cause: &str) -> String {
        let Kind { what, mend } = self.kind;
        format!(
            "the {what} at {} does not answer ({cause}); {mend}, or mend the url of `{}` in \
             config.yaml",
            self.url,
            self.name()
        )
    }
}

/// Tells whether the back end did what it should.
pub(super) fn note<T>(trial: &mut Trial, outcome: &Result<T, Error>) {
    match outcome {
        Err(error) if error.is_fault_of_backend() => {
            trial.failed(error.to_string(), rand::random());
        }
        _ => trial.succeeded(),
    }
}

/// Read for each request: a key may change.
async fn bearer(file: &PathBuf) -> Result<HeaderValue, String> {
    let unusable = |problem: &str| format!("its key_file {} {problem}", file.display());
    let key = tokio::fs::read_to_string(file)
        .await
        .map_err(|error| unusable(&format!("cannot be read: {error}")))?;
    let value = HeaderValue::from_str(&format!("Bearer {}", key.trim()));
    // Never says what stands in it.
    let mut value = value.map_err(|_| unusable("holds what no key can be"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Without parameters; empty when it is not told.
pub(crate) fn content_type(response: &Response) -> &str {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim()
}

/// reqwest's own message leaves out why.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
