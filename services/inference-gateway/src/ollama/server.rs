//! Talking to one server.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::stream::BoxStream;
use serde_json::Value;
use tokio::time::Instant;

use super::wire::{
    ChatRequest, EmbedRequest, EmbedResponse, Keep, Kept, PullRequest, Running, Tag, Tags, Version,
};
use crate::{
    chat::ModelName,
    config::{Kind, OllamaConfig},
    error::Error,
    models::Traits,
    remote::{self, Body, Client, Fault, Offered, Timeouts, message},
    route::Backend,
};

/// The first that answers by a schema.
const LEAST_VERSION: (u32, u32) = (0, 5);
/// Checking what was fetched gives no line all the while.
const PULL_SILENCE: Duration = Duration::from_secs(600);
/// Of all progress of fetching one model.
const MOST_PULL: usize = 256 << 20;
const MOST_VECTORS: usize = 256 << 20;
/// Of a stream, whatever was asked for.
const LEAST_BODY: usize = 1 << 20;
/// Of one line, generously.
const MOST_LINE: usize = 16 << 10;

/// An Ollama server.
#[derive(Debug)]
pub struct Server {
    client: Arc<Client>,
    /// Once it was asked: whether it is new enough.
    version: Mutex<Option<Result<String, String>>>,
}

impl Server {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// When the URL is none; config.yaml was checked for that.
    pub fn new(config: &OllamaConfig, timeouts: Timeouts) -> Result<Self, String> {
        let backend = Arc::new(Backend::new(&config.name, config.max_running));
        let kind = remote::Kind { what: "Ollama server", mend: "start it with `ollama serve`" };
        let client = Client::new(backend, &config.url, timeouts, None, kind)?;
        Ok(Self { client: Arc::new(client), version: Mutex::default() })
    }

    /// The prefix of its models' names.
    #[must_use]
    pub fn name(&self) -> &str {
        self.client.name()
    }

    /// How busy and how well it is.
    #[must_use]
    pub fn backend(&self) -> &Arc<Backend> {
        self.client.backend()
    }

    /// Its version, asked now.
    ///
    /// # Errors
    /// Why it is away or of no use, and how to mend that.
    pub async fn version(&self) -> Result<String, String> {
        let asked = self.client.quick::<Version>("api/version").await;
        let version = asked.map_err(|fault| self.client.problem(fault))?.version;
        let usable = self.usable(version);
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(usable.clone());
        usable
    }

    fn usable(&self, version: String) -> Result<String, String> {
        // Versions made from its source say 0.0.0.
        if number(&version).is_none_or(|number| number >= LEAST_VERSION || number == (0, 0)) {
            return Ok(version);
        }
        let (major, minor) = LEAST_VERSION;
        Err(format!(
            "the Ollama server `{}` is of version {version}, which cannot answer by a schema; \
             update it to {major}.{minor}.0 or later",
            self.name()
        ))
    }

    /// Refuses when it is known to be too old; asks when nothing is known yet.
    pub(super) async fn check(&self, name: &ModelName) -> Result<(), Error> {
        self.client.check(name)?;
        let known = self.version.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let usable = match known {
            Some(known) => known,
            None => self.version().await,
        };
        let problem = |problem| Error::ModelUnavailable { name: name.clone(), problem };
        usable.map(|_| ()).map_err(problem)
    }

    /// The models it has.
    ///
    /// # Errors
    /// Why it is away, and how to mend that.
    pub async fn offered(&self) -> Result<Vec<Offered>, String> {
        let tags = self.client.quick::<Tags>("api/tags").await;
        let tags = tags.map_err(|fault| self.client.problem(fault))?;
        // Which are in memory is good to know, no more.
        let running: HashSet<String> =
            self.running().await.unwrap_or_default().into_iter().collect();
        let models = tags.models.into_iter().map(|tag| {
            let loaded = running.contains(&tag.name);
            Offered { loaded, ..Offered::from(tag) }
        });
        Ok(models.collect())
    }

    /// The models it has in memory.
    ///
    /// # Errors
    /// Why it is away, and how to mend that.
    pub async fn running(&self) -> Result<Vec<String>, String> {
        let running = self.client.quick::<Running>("api/ps").await;
        let running = running.map_err(|fault| self.client.problem(fault))?;
        Ok(running.models.into_iter().map(|model| model.name).collect())
    }

    /// Has it take a model out of memory.
    ///
    /// # Errors
    /// When it has none of that name, or fails.
    pub async fn unload(&self, model: &str) -> Result<(), Error> {
        let until = Instant::now() + self.client.timeouts().first_token;
        let request = Keep { model, keep_alive: 0, stream: false };
        let unloaded = async {
            let response = self.client.post("api/generate", &request, until).await?;
            self.client.read::<Kept>(response, LEAST_BODY, until).await
        };
        match unloaded.await {
            Ok(Kept {}) => Ok(()),
            Err(fault) => Err(self.error(&self.named(model), fault).await),
        }
    }

    /// Has it fetch a model; its progress comes in Ollama's own words, to the line with the status
    /// "success". Dropping the stream stops it.
    ///
    /// # Errors
    /// When there is none of that name, or it fails; the stream ends with one when it fails on the
    /// way.
    pub async fn pull(
        self: &Arc<Self>,
        model: &str,
    ) -> Result<BoxStream<'static, Result<Value, Error>>, Error> {
        let (this, name) = (Arc::clone(self), self.named(model));
        let request = PullRequest { model, stream: true };
        let begun = self.client.post("api/pull", &request, Instant::now() + PULL_SILENCE).await;
        let response = match begun {
            Ok(response) => response,
            Err(fault) => return Err(self.error(&name, fault).await),
        };
        let mut body = Body::new(response, MOST_PULL);
        Ok(Box::pin(async_stream::try_stream! {
            let mut success = false;
            let fail = |fault| this.client.error(&name, fault);
            while let Some(line) = body.line(Instant::now() + PULL_SILENCE).await.map_err(fail)? {
                let value: Value = serde_json::from_slice(&line)
                    .map_err(|error| this.client.failed(error.to_string()))?;
                if value.get("error").is_some() {
                    let cause = message(&value).unwrap_or_else(|| value.to_string());
                    Err(this.client.failed(cause))?;
                }
                success = value["status"] == "success";
                yield value;
            }
            if !success {
                Err(this.client.failed("it stopped before the model was fetched"))?;
            }
        }))
    }

    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    pub(super) async fn chat(
        &self,
        name: &ModelName,
        request: &ChatRequest,
        max_tokens: u32,
        until: Instant,
    ) -> Result<Body, Error> {
        let most = LEAST_BODY.saturating_add((max_tokens as usize).saturating_mul(MOST_LINE));
        match self.client.post(request.path(), request, until).await {
            Ok(response) => Ok(Body::new(response, most)),
            Err(fault) => Err(self.error(name, fault).await),
        }
    }

    pub(super) async fn embed(
        &self,
        name: &ModelName,
        model: &str,
        texts: &[String],
    ) -> Result<(Vec<Vec<f32>>, u32), Error> {
        let until = Instant::now() + self.client.timeouts().first_token;
        let request = EmbedRequest { model, input: texts, truncate: true };
        let read = async {
            let response = self.client.post("api/embed", &request, until).await?;
            self.client.read::<EmbedResponse>(response, MOST_VECTORS, until).await
        };
        let answer = match read.await {
            Ok(answer) => answer,
            Err(fault) => return Err(self.error(name, fault).await),
        };
        let vectors = remote::vectors(answer.embeddings, texts.len())
            .ok_or_else(|| self.client.failed("it gave other vectors than were asked for"))?;
        Ok((vectors, answer.prompt_eval_count))
    }

    /// With names near one that it does not have.
    async fn error(&self, name: &ModelName, fault: Fault) -> Error {
        let mut error = self.client.error(name, fault);
        if let Error::ModelNotFound { near, .. } = &mut error {
            let offered = self.offered().await.unwrap_or_default();
            *near = remote::near(self.name(), name, &offered);
        }
        error
    }

    fn named(&self, model: &str) -> ModelName {
        ModelName(format!("{}/{model}", self.name()))
    }
}

/// The first two numbers of a version.
fn number(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

impl From<Tag> for Offered {
    fn from(tag: Tag) -> Self {
        let family = tag.details.family;
        let embedding = family.contains("bert") || tag.name.contains("embed");
        Self {
            kind: if embedding { Kind::Embedding } else { Kind::Chat },
            model: tag.name,
            size_bytes: tag.size,
            loaded: false,
            traits: Traits {
                quantization: tag.details.quantization_level,
                parameters: parameters(&tag.details.parameter_size),
                context_length: 0,
            },
        }
    }
}

/// "7.6B" is 7,600,000,000; 0 when it is not understood.
fn parameters(text: &str) -> u64 {
    let unit = match text.chars().last() {
        Some('B') => 1e9,
        Some('M') => 1e6,
        Some('K') => 1e3,
        _ => return 0,
    };
    let number: f64 = text[..text.len() - 1].parse().unwrap_or(0.0);
    if !(0.0..1e6).contains(&number) {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 10^15, whole after rounding"
    )]
    let parameters = (number * unit).round() as u64;
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_understood() {
        assert_eq!(parameters("7.6B"), 7_600_000_000);
        assert_eq!(parameters("134.52M"), 134_520_000);
        assert_eq!(parameters(""), 0);
        assert_eq!(parameters("é"), 0);
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(number("0.12.3"), Some((0, 12)));
        assert!(number("0.12.3") > Some(LEAST_VERSION) && number("0.4.7") < Some(LEAST_VERSION));
        assert_eq!((number("1.0-rc1"), number("newest")), (None, None));
    }
}
