//! An Ollama server, over HTTP. <https://github.com/ollama/ollama/blob/main/docs/api.md>

mod server;
mod wire;

use std::{fmt, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use tokio::time::Instant;

use crate::{
    chat::{
        Answer, Chat, ChatModel, Constraint, Embedded, EmbeddingModel, Ended, Finish, Job,
        ModelName, ToolChoice,
    },
    error::Error,
    remote::{Size, Telling, Usage, told},
    schedule::Place,
};

pub use server::Server;
use wire::{ChatLine, ChatRequest};

/// A model of an Ollama server.
#[derive(Clone)]
pub struct RemoteModel {
    server: Arc<Server>,
    model: String,
    name: ModelName,
}

impl fmt::Debug for RemoteModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteModel({} of {})", self.model, self.server.name())
    }
}

impl RemoteModel {
    /// What the server calls `model`; requests call it `name`.
    #[must_use]
    pub fn new(server: Arc<Server>, model: String, name: ModelName) -> Self {
        Self { server, model, name }
    }

    /// Where it is.
    #[must_use]
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Refuses what it cannot do.
    fn check(&self, chat: &Chat) -> Result<(), Error> {
        let what = match &chat.constraint {
            Some(Constraint::Regex(_)) => "regex",
            Some(Constraint::Choice(_)) => "choice",
            Some(Constraint::Grammar(_)) => "grammar",
            _ if chat.logprobs.is_some() => "top_logprobs",
            _ => match chat.tools.as_ref().map(|tools| &tools.choice) {
                Some(ToolChoice::Required | ToolChoice::Named(_)) => "tool_choice",
                Some(ToolChoice::Auto | ToolChoice::None) | None => return Ok(()),
            },
        };
        let backend = self.server.name().to_owned();
        Err(Error::Unsupported { model: self.name.clone(), backend, what })
    }

    /// What the server calls it.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }
}

impl ChatModel for RemoteModel {
    fn prepare(&self, chat: Chat) -> BoxFuture<'_, Result<Box<dyn Job>, Error>> {
        async move {
            self.check(&chat)?;
            self.server.check(&self.name).await?;
            let request = ChatRequest::new(&self.model, &chat);
            // The server counts tokens; four bytes each is usual.
            let prompt = u32::try_from(chat.input.bytes() / 4).unwrap_or(u32::MAX);
            let size = Size { prompt, max_tokens: chat.max_tokens };
            Ok(Box::new(Remote { model: self.clone(), request, size }) as Box<dyn Job>)
        }
        .boxed()
    }
}

struct Remote {
    model: RemoteModel,
    request: ChatRequest,
    size: Size,
}

impl Job for Remote {
    fn cost(&self) -> u32 {
        self.size.prompt.saturating_add(self.size.max_tokens)
    }

    fn start(self: Box<Self>, place: Place) -> Answer {
        let client = Arc::clone(self.model.server.client());
        let (name, size) = (self.model.name.clone(), self.size);
        told(place, name, size, client, move |telling| self.answer(telling).boxed())
    }
}

impl Remote {
    async fn answer(self: Box<Self>, telling: &mut Telling) -> Result<Ended, Error> {
        let server = &self.model.server;
        let client = server.client();
        let name = &self.model.name;
        let timeouts = client.timeouts();
        let mut until = Instant::now() + timeouts.first_token;
        let mut body = server.chat(name, &self.request, self.size.max_tokens, until).await?;
        let mut called = false;
        while let Some(line) = body.line(until).await.map_err(|fault| client.error(name, fault))? {
            let mut line: ChatLine =
                serde_json::from_slice(&line).map_err(|error| client.failed(error.to_string()))?;
            if let Some(cause) = line.error {
                return Err(client.failed(cause));
            }
            // Each line is a token, be it of a thought.
            telling.begun();
            let (text, calls) = line.take();
            if !text.is_empty()
                && let Some(ended) = telling.text(text.into()).await
                && !line.done
            {
                return Ok(ended);
            }
            for call in calls {
                called = true;
                telling.tool(call).await;
            }
            if line.done {
                let finish = match line.done_reason.as_deref() {
                    Some("length") => Finish::Length,
                    _ if called => Finish::ToolCalls,
                    _ => Finish::Stop,
                };
                let usage = Usage {
                    prompt: line.prompt_eval_count,
                    reused: 0,
                    completion: line.eval_count,
                };
                body.finish();
                return Ok(telling.end(finish, Some(usage)));
            }
            until = Instant::now() + timeouts.idle;
        }
        Err(client.failed("it ended in the middle of an answer"))
    }
}

impl EmbeddingModel for RemoteModel {
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Embedded, Error>> {
        async move {
            self.server.check(&self.name).await?;
            let embedding = self.server.embed(&self.name, &self.model, &texts);
            let (vectors, tokens) = self.server.client().watched(&self.name, embedding).await?;
            Ok(Embedded { vectors, tokens })
        }
        .boxed()
    }
}
