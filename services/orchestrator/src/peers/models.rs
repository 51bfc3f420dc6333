//! Calls of language models, through the inference-gateway.

use std::time::Duration;

use alina_client::{Connector, deadline};
use alina_proto::{
    Service,
    inference::v1::{
        ChatRequest, ChatStreamRequest, Message, Role, Sampling, chat_stream_response,
    },
};
use serde_json::Value;
use tonic::Status;

use super::PeerError;

/// Who says a message of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    System,
    User,
}

/// One message of a prompt.
#[derive(Debug, Clone)]
pub(crate) struct ChatMessage {
    pub(crate) speaker: Speaker,
    pub(crate) text: String,
}

impl ChatMessage {
    pub(crate) fn new(speaker: Speaker, text: impl Into<String>) -> Self {
        Self { speaker, text: text.into() }
    }
}

/// One call of a model.
#[derive(Debug, Clone)]
pub(crate) struct Chat {
    pub(crate) model: String,
    pub(crate) messages: Vec<ChatMessage>,
    /// What the answer must satisfy; `None` for free text.
    pub(crate) schema: Option<Value>,
    pub(crate) max_tokens: u32,
    /// Who is served: the gateway's unit of fairness.
    pub(crate) agent: String,
    pub(crate) run_id: String,
    /// `None`: the model's default.
    pub(crate) temperature: Option<f32>,
}

/// What a model answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Completion {
    pub(crate) text: String,
    pub(crate) model: String,
    pub(crate) prompt_tokens: u32,
    pub(crate) completion_tokens: u32,
}

/// The models.
#[derive(Debug, Clone)]
pub(crate) struct Models {
    connector: Connector,
    /// The longest one call may take.
    timeout: Duration,
}

impl Models {
    pub(crate) fn new(connector: Connector, timeout: Duration) -> Self {
        Self { connector, timeout }
    }

    /// Calls a model and hands on each piece of its text. When the future is dropped, the call is
    /// cancelled and the model stops.
    pub(crate) async fn chat(
        &self,
        chat: Chat,
        mut on_piece: impl FnMut(String) + Send,
    ) -> Result<Completion, PeerError> {
        let request = ChatStreamRequest { chat: Some(chat.into()) };
        let mut client = self.connector.inference();
        let call = async {
            let mut stream = client.chat_stream(request).await?.into_inner();
            while let Some(response) = stream.message().await? {
                match response.event {
                    Some(chat_stream_response::Event::Delta(piece)) => on_piece(clean(piece)),
                    Some(chat_stream_response::Event::Done(done)) => {
                        let usage = done.usage.unwrap_or_default();
                        return Ok(Completion {
                            text: clean(done.content),
                            model: done.model,
                            prompt_tokens: usage.prompt_tokens,
                            completion_tokens: usage.completion_tokens,
                        });
                    }
                    // No tools are offered.
                    Some(chat_stream_response::Event::ToolCall(_)) | None => {}
                }
            }
            Err(Status::unavailable("the model's answer broke off before its end"))
        };
        deadline::within(self.timeout, call)
            .await
            .map_err(|status| PeerError::new(Service::InferenceGateway, &status))
    }
}

/// PostgreSQL stores no NUL, neither in text nor escaped in JSON.
fn clean(text: String) -> String {
    const ESCAPED: &str = "\\u0000";
    if text.contains('\0') || text.contains(ESCAPED) {
        text.replace('\0', "").replace(ESCAPED, "")
    } else {
        text
    }
}

impl From<Chat> for ChatRequest {
    fn from(chat: Chat) -> Self {
        Self {
            model: chat.model,
            messages: chat.messages.into_iter().map(Message::from).collect(),
            sampling: chat.temperature.map(|temperature| Sampling {
                temperature: Some(temperature),
                ..Default::default()
            }),
            max_tokens: chat.max_tokens,
            json_schema: chat.schema.map(|schema| schema.to_string()).unwrap_or_default(),
            agent: chat.agent,
            run_id: chat.run_id,
            ..Self::default()
        }
    }
}

impl From<ChatMessage> for Message {
    fn from(message: ChatMessage) -> Self {
        let role = match message.speaker {
            Speaker::System => Role::System,
            Speaker::User => Role::User,
        };
        Self { role: role.into(), content: message.text, ..Self::default() }
    }
}
