//! A server that speaks OpenAI's interface (llama-server, vLLM and others), over HTTP.
//! <https://platform.openai.com/docs/api-reference/chat>

mod reply;
mod server;
mod wire;

use std::{fmt, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use tokio::time::Instant;

use crate::{
    chat::{
        Answer, Chat, ChatModel, Constraint, Embedded, EmbeddingModel, Ended, Input, Job,
        ModelName, Piece,
    },
    error::Error,
    remote::{Size, Telling, told},
    schedule::Place,
};

use reply::{Line, Reply};
pub use server::Server;
use wire::Request;

/// A model of a server.
#[derive(Clone)]
pub struct OpenAiModel {
    server: Arc<Server>,
    model: String,
    name: ModelName,
}

impl fmt::Debug for OpenAiModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenAiModel({} of {})", self.model, self.server.name())
    }
}

impl OpenAiModel {
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

    /// What the server calls it.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Refuses what OpenAI's interface has no word for.
    fn check(&self, chat: &Chat) -> Result<(), Error> {
        let what = match (&chat.constraint, &chat.input) {
            (Some(Constraint::Regex(_)), _) => "regex",
            (Some(Constraint::Choice(_)), _) => "choice",
            (Some(Constraint::Grammar(_)), _) => "grammar",
            (Some(Constraint::Schema(_)), Input::Text(_)) => "json_schema with prompt",
            _ => return self.server.client().check(&self.name),
        };
        let backend = self.server.name().to_owned();
        Err(Error::Unsupported { model: self.name.clone(), backend, what })
    }
}

impl ChatModel for OpenAiModel {
    fn prepare(&self, chat: Chat) -> BoxFuture<'_, Result<Box<dyn Job>, Error>> {
        async move {
            self.check(&chat)?;
            let request = Request::new(&self.model, &chat, self.server.extensions());
            // The server counts tokens; four bytes each is usual.
            let prompt = u32::try_from(chat.input.bytes() / 4).unwrap_or(u32::MAX);
            let size = Size { prompt, max_tokens: chat.max_tokens };
            let logprobs = chat.logprobs.is_some();
            Ok(Box::new(Remote { model: self.clone(), request, size, logprobs }) as Box<dyn Job>)
        }
        .boxed()
    }
}

struct Remote {
    model: OpenAiModel,
    request: Request,
    size: Size,
    logprobs: bool,
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
        let mut reply = Reply::default();
        loop {
            let line = body.line(until).await.map_err(|fault| client.error(name, fault))?;
            let Some(line) = line else { break };
            let news = match reply.line(&line).map_err(|problem| client.failed(problem))? {
                Line::Nothing => continue,
                Line::Done => break,
                Line::News(news) => news,
            };
            if news.progress {
                telling.begun();
            }
            if !news.text.is_empty() && self.logprobs && news.logprobs.is_empty() {
                return Err(client.failed("it gives no log-probabilities"));
            }
            if !news.text.is_empty() || !news.logprobs.is_empty() {
                let logprobs = if self.logprobs { news.logprobs } else { Vec::new() };
                let spent = telling.text(Piece { text: news.text, logprobs }).await;
                if let Some(ended) = spent {
                    return Ok(ended);
                }
            }
            if news.progress {
                // However little comes of a line at a time: the next one must be whole by then.
                until = Instant::now() + timeouts.idle;
            }
        }
        body.finish();
        let (calls, finish, usage) = reply.whole().map_err(|problem| client.failed(problem))?;
        for call in calls {
            telling.tool(call).await;
        }
        Ok(telling.end(finish, usage))
    }
}

impl EmbeddingModel for OpenAiModel {
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Embedded, Error>> {
        async move {
            let embedding = self.server.embed(&self.name, &self.model, &texts);
            let (vectors, tokens) = self.server.client().watched(&self.name, embedding).await?;
            Ok(Embedded { vectors, tokens })
        }
        .boxed()
    }
}
