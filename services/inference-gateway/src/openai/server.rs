//! Talking to one server.

use std::{path::PathBuf, sync::Arc};

use tokio::time::Instant;

use super::{
    reply::{Embeddings, Listed, Models},
    wire::{EmbedRequest, Request},
};
use crate::{
    chat::ModelName,
    config::{Kind, OpenAiConfig},
    error::Error,
    models::Traits,
    remote::{self, Body, Client, Fault, Offered, Timeouts, content_type},
    route::Backend,
};

/// Numbers as text take some ten bytes each.
const MOST_VECTORS: usize = 256 << 20;
/// Of a stream, whatever was asked for.
const LEAST_BODY: usize = 1 << 20;
/// Of an event with twenty alternatives to its token, generously.
const MOST_EVENT: usize = 16 << 10;

/// A server that speaks OpenAI's interface.
#[derive(Debug)]
pub struct Server {
    client: Arc<Client>,
    extensions: bool,
}

impl Server {
    /// Nothing is sent yet. `key_file` is that of `config` as a path from here.
    ///
    /// # Errors
    /// When the URL is none; config.yaml was checked for that.
    pub fn new(
        config: &OpenAiConfig,
        key_file: Option<PathBuf>,
        timeouts: Timeouts,
    ) -> Result<Self, String> {
        let backend = Arc::new(Backend::new(&config.name, config.max_running));
        let kind = remote::Kind { what: "OpenAI-compatible server", mend: "start it" };
        let client = Client::new(backend, &config.url, timeouts, key_file, kind)?;
        Ok(Self { client: Arc::new(client), extensions: config.extensions })
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

    /// The models it has. Which of them make vectors it does not say; names do.
    ///
    /// # Errors
    /// Why it is away, and how to mend that.
    pub async fn offered(&self) -> Result<Vec<Offered>, String> {
        let models = self.client.quick::<Models>("models").await;
        let models = models.map_err(|fault| self.client.problem(fault))?;
        Ok(models.data.into_iter().map(Offered::from).collect())
    }

    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    pub(super) fn extensions(&self) -> bool {
        self.extensions
    }

    /// The stream of an answer.
    pub(super) async fn chat(
        &self,
        name: &ModelName,
        request: &Request,
        max_tokens: u32,
        until: Instant,
    ) -> Result<Body, Error> {
        let sent = self.client.post(request.path(), request, until).await;
        let response = match sent {
            Ok(response) => response,
            Err(fault) => return Err(self.error(name, fault).await),
        };
        let kind = content_type(&response);
        if !kind.is_empty() && kind != "text/event-stream" {
            return Err(self.client.failed(format!(
                "it answered with {kind:.100}, not with a stream of events; is {} right?",
                self.client.url()
            )));
        }
        let most = LEAST_BODY.saturating_add((max_tokens as usize).saturating_mul(MOST_EVENT));
        Ok(Body::new(response, most))
    }

    /// Vectors in their order, and the tokens of all texts.
    pub(super) async fn embed(
        &self,
        name: &ModelName,
        model: &str,
        texts: &[String],
    ) -> Result<(Vec<Vec<f32>>, u32), Error> {
        let until = Instant::now() + self.client.timeouts().first_token;
        let request = EmbedRequest { model, input: texts, encoding_format: "float" };
        let read = async {
            let response = self.client.post("embeddings", &request, until).await?;
            self.client.read::<Embeddings>(response, MOST_VECTORS, until).await
        };
        let mut answer = match read.await {
            Ok(answer) => answer,
            Err(fault) => return Err(self.error(name, fault).await),
        };
        let tokens = answer.tokens();
        answer.data.sort_by_key(|one| one.index);
        let wrong = answer.data.iter().enumerate().any(|(at, one)| one.index != at);
        let vectors = answer.data.into_iter().map(|one| one.embedding).collect();
        let vectors = remote::vectors(vectors, texts.len()).filter(|_| !wrong);
        let vectors = vectors
            .ok_or_else(|| self.client.failed("it gave other vectors than were asked for"))?;
        Ok((vectors, tokens))
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
}

impl From<Listed> for Offered {
    fn from(listed: Listed) -> Self {
        let meta = listed.meta.unwrap_or_default();
        let name = listed.id.to_lowercase();
        let embedding = ["embed", "bge-", "minilm", "gte-", "e5-"].iter().any(|p| name.contains(p));
        Self {
            kind: if embedding { Kind::Embedding } else { Kind::Chat },
            model: listed.id,
            size_bytes: meta.size,
            loaded: false,
            traits: Traits {
                quantization: String::new(),
                parameters: meta.n_params,
                context_length: listed
                    .max_model_len
                    .or(meta.n_ctx)
                    .or(meta.n_ctx_train)
                    .unwrap_or(0),
            },
        }
    }
}
