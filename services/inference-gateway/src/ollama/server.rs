//! Talking to one server.

use std::{fmt, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use reqwest::{Client, Response, StatusCode, Url};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    lines::Lines,
    wire::{ChatLine, ChatRequest, EmbedRequest, EmbedResponse, Refusal, Tag, Tags, Version},
};
use crate::{
    chat::ModelName,
    config::{Kind, OllamaConfig},
    error::Error,
    models::Traits,
};

const CONNECT: Duration = Duration::from_secs(2);
/// Loading a model into memory, or reading a long prompt, gives no byte all the while.
const SILENCE: Duration = Duration::from_secs(300);
const QUICK: Duration = Duration::from_secs(3);

/// An Ollama server.
pub struct Server {
    name: String,
    url: Url,
    client: Client,
}

/// A model that a server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// What the server calls it.
    pub model: String,
    /// What it is for.
    pub kind: Kind,
    /// Of its file.
    pub size_bytes: u64,
    /// What the server says of it.
    pub traits: Traits,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({} at {})", self.name, self.url)
    }
}

impl Server {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// When the URL is none; config.yaml was checked for that.
    pub fn new(config: &OllamaConfig) -> Result<Self, String> {
        let url = Url::parse(&config.url).map_err(|error| error.to_string())?;
        let client = Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { name: config.name.clone(), url, client })
    }

    /// The prefix of its models' names.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    ///
    /// # Errors
    /// Why it is away, and how to mend that.
    pub async fn version(&self) -> Result<String, String> {
        self.quick::<Version>("api/version").await.map(|version| version.version)
    }

    /// The models it has.
    ///
    /// # Errors
    /// Why it is away, and how to mend that.
    pub async fn offered(&self) -> Result<Vec<Offered>, String> {
        let tags = self.quick::<Tags>("api/tags").await?;
        Ok(tags.models.into_iter().map(Offered::from).collect())
    }

    pub(super) async fn chat(
        &self,
        name: &ModelName,
        request: &ChatRequest,
    ) -> Result<BoxStream<'static, Result<ChatLine, Error>>, Error> {
        let response = self.post("api/chat", name, request).await?;
        let backend = self.name.clone();
        let failed = move |cause: String| Error::BackendFailed { backend: backend.clone(), cause };
        let lines = async_stream::try_stream! {
            let mut lines = Lines::default();
            let mut body = response.bytes_stream();
            while let Some(bytes) = body.next().await {
                let bytes = bytes.map_err(|error| failed(causes(&error)))?;
                for line in lines.push(&bytes).map_err(|cause| failed(cause.to_owned()))? {
                    yield serde_json::from_slice(&line).map_err(|e| failed(e.to_string()))?;
                }
            }
            if let Some(line) = lines.finish() {
                yield serde_json::from_slice(&line).map_err(|error| failed(error.to_string()))?;
            }
        };
        Ok(lines.boxed())
    }

    pub(super) async fn embed(
        &self,
        name: &ModelName,
        model: &str,
        texts: Vec<String>,
    ) -> Result<(Vec<Vec<f32>>, u32), Error> {
        let request = EmbedRequest { model, input: &texts, truncate: true };
        let response = self.post("api/embed", name, &request).await?;
        let answer: EmbedResponse =
            response.json().await.map_err(|error| self.failed(causes(&error)))?;
        Ok((answer.embeddings, answer.prompt_eval_count))
    }

    pub(super) fn failed(&self, cause: impl Into<String>) -> Error {
        Error::BackendFailed { backend: self.name.clone(), cause: cause.into() }
    }

    async fn post(
        &self,
        path: &str,
        name: &ModelName,
        body: &impl Serialize,
    ) -> Result<Response, Error> {
        let url = self.join(path).map_err(|cause| self.failed(cause))?;
        let sent = self.client.post(url).json(body).send().await;
        let response = sent.map_err(|error| {
            if error.is_connect() {
                let problem = self.away(&causes(&error));
                Error::ModelUnavailable { name: name.clone(), problem }
            } else {
                self.failed(causes(&error))
            }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        let said = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.error);
        let said = said.unwrap_or_else(|_| format!("HTTP status {status}"));
        if status == StatusCode::NOT_FOUND {
            let offered = self.offered().await.unwrap_or_default();
            let known: Vec<String> =
                offered.iter().map(|model| format!("{}/{}", self.name, model.model)).collect();
            let near = crate::catalogue::nearest(&name.0, known.iter().map(String::as_str));
            return Err(Error::ModelNotFound { name: name.0.clone(), near });
        }
        Err(self.failed(said))
    }

    async fn quick<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let url = self.join(path)?;
        let request = self.client.get(url).timeout(QUICK).send();
        let response = request.await.and_then(Response::error_for_status);
        let response = response.map_err(|error| self.away(&causes(&error)))?;
        response.json().await.map_err(|error| self.away(&causes(&error)))
    }

    fn join(&self, path: &str) -> Result<Url, String> {
        self.url.join(path).map_err(|error| error.to_string())
    }

    fn away(&self, cause: &str) -> String {
        format!(
            "the Ollama server at {} does not answer ({cause}); start it with `ollama serve`, or \
             mend ollama.url in config.yaml",
            self.url
        )
    }
}

impl From<Tag> for Offered {
    fn from(tag: Tag) -> Self {
        let family = tag.details.family;
        let embedding = family.contains("bert") || tag.name.contains("embed");
        Self {
            kind: if embedding { Kind::Embedding } else { Kind::Chat },
            model: tag.name,
            size_bytes: tag.size,
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

/// reqwest's own message leaves out why.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
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
}
