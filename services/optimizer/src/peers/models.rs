//! Language and embedding models, through the inference-gateway.

use std::time::Duration;

use alina_client::{Connector, Retry, deadline, retry};
use alina_proto::{
    Service,
    inference::v1::{ChatRequest, EmbedRequest, Message, Role, Sampling},
};
use serde_json::Value;

use super::PeerError;

/// The gateway's unit of fairness: experiments wait behind nobody but themselves.
const AGENT: &str = "optimizer";

/// One call of a model.
#[derive(Debug, Clone)]
pub struct Prompt<'a> {
    /// A model or an alias.
    pub model: &'a str,
    /// The instructions.
    pub system: &'a str,
    /// What is asked.
    pub user: String,
    /// What the answer must satisfy; `None` for free text.
    pub schema: Option<Value>,
    /// The longest answer.
    pub max_tokens: u32,
    /// 0 for the likeliest answer.
    pub temperature: f32,
    /// The same seed and prompt give the same answer on the embedded engine.
    pub seed: u32,
}

/// The models.
#[derive(Debug, Clone)]
pub struct Models {
    connector: Connector,
    /// The longest one call may take, tries in all.
    timeout: Duration,
}

impl Models {
    /// Over the connector's channel.
    #[must_use]
    pub fn new(connector: Connector, timeout: Duration) -> Self {
        Self { connector, timeout }
    }

    /// A model's whole answer.
    ///
    /// # Errors
    /// When the gateway is away, refuses or takes too long.
    pub async fn chat(&self, prompt: Prompt<'_>) -> Result<String, PeerError> {
        let message = |role: Role, content: &str| Message {
            role: role.into(),
            content: content.to_owned(),
            ..Message::default()
        };
        let request = ChatRequest {
            model: prompt.model.to_owned(),
            messages: vec![message(Role::System, prompt.system), message(Role::User, &prompt.user)],
            sampling: Some(Sampling {
                temperature: Some(prompt.temperature),
                seed: Some(prompt.seed),
                ..Sampling::default()
            }),
            max_tokens: prompt.max_tokens,
            json_schema: prompt.schema.map(|schema| schema.to_string()).unwrap_or_default(),
            agent: AGENT.to_owned(),
            ..ChatRequest::default()
        };
        let client = self.connector.inference();
        let call = retry(Retry::default(), || async { client.clone().chat(request.clone()).await });
        let response = deadline::within(self.timeout, call).await;
        response
            .map(|response| response.into_inner().content)
            .map_err(|status| PeerError::new(Service::InferenceGateway, &status))
    }

    /// The embeddings of two texts.
    ///
    /// # Errors
    /// When the gateway is away, refuses, takes too long or gives another number of vectors.
    pub async fn embed_two(
        &self,
        one: &str,
        other: &str,
    ) -> Result<(Vec<f32>, Vec<f32>), PeerError> {
        let request = EmbedRequest {
            texts: vec![one.to_owned(), other.to_owned()],
            agent: AGENT.to_owned(),
            ..EmbedRequest::default()
        };
        let client = self.connector.inference();
        let call =
            retry(Retry::default(), || async { client.clone().embed(request.clone()).await });
        let response = deadline::within(self.timeout, call).await;
        let mut embeddings = response
            .map_err(|status| PeerError::new(Service::InferenceGateway, &status))?
            .into_inner()
            .embeddings
            .into_iter();
        match (embeddings.next(), embeddings.next(), embeddings.next()) {
            (Some(one), Some(other), None) => Ok((one.values, other.values)),
            _ => {
                let status = tonic::Status::internal("it gave not one embedding for each text");
                Err(PeerError::new(Service::InferenceGateway, &status))
            }
        }
    }
}
