//! An Ollama server, over HTTP. <https://github.com/ollama/ollama/blob/main/docs/api.md>

mod lines;
mod server;
mod wire;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    chat::{
        Answer, Chat, ChatModel, Constraint, Embedded, EmbeddingModel, Ended, Event, Finish, Input,
        Job, ModelName,
    },
    error::Error,
    schedule::Place,
};

pub use server::{Offered, Server};
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
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Refuses what it cannot do.
    fn check(&self, chat: &Chat) -> Result<(), Error> {
        let what = match (&chat.constraint, &chat.input) {
            (Some(Constraint::Regex(_)), _) => "regex",
            (Some(Constraint::Choice(_)), _) => "choice",
            (Some(Constraint::Grammar(_)), _) => "grammar",
            (_, Input::Text(_)) => "prompt",
            _ if chat.tools.is_some() => "tools",
            _ if chat.logprobs.is_some() => "top_logprobs",
            _ => return Ok(()),
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
            let request = ChatRequest::new(&self.model, &chat);
            let bytes = chat.input.bytes();
            // The server counts tokens; four bytes each is usual.
            let prompt = u32::try_from(bytes / 4).unwrap_or(u32::MAX);
            let cost = prompt.saturating_add(chat.max_tokens);
            Ok(Box::new(Remote { model: self.clone(), request, cost }) as Box<dyn Job>)
        }
        .boxed()
    }
}

struct Remote {
    model: RemoteModel,
    request: ChatRequest,
    cost: u32,
}

impl Job for Remote {
    fn cost(&self) -> u32 {
        self.cost
    }

    fn start(self: Box<Self>, place: Place) -> Answer {
        // Room for the whole answer: a slow reader keeps nobody waiting.
        let (out, answer) = mpsc::channel(self.request.max_tokens() as usize + 4);
        tokio::spawn(async move {
            // Closing the connection is how Ollama is told to stop.
            tokio::select! {
                () = out.closed() => {}
                () = self.run(place, &out) => {}
            }
        });
        ReceiverStream::new(answer).boxed()
    }
}

impl Remote {
    async fn run(self: Box<Self>, mut place: Place, out: &mpsc::Sender<Result<Event, Error>>) {
        let ended = self.answer(&mut place, out).await;
        // First the place, then the news: who reads it finds the place free.
        drop(place);
        let _ = out.send(ended.map(Event::Ended)).await;
    }

    async fn answer(
        &self,
        place: &mut Place,
        out: &mpsc::Sender<Result<Event, Error>>,
    ) -> Result<Ended, Error> {
        let server = &self.model.server;
        let mut lines: BoxStream<'static, Result<ChatLine, Error>> =
            server.chat(&self.model.name, &self.request).await?;
        let mut first_token = None;
        let mut pieces = 0;
        // The server tells only at its end.
        let prompt = self.cost.saturating_sub(self.request.max_tokens());
        while let Some(line) = lines.next().await {
            let line = line?;
            if let Some(cause) = line.error {
                return Err(server.failed(cause));
            }
            let text = line.message.map(|message| message.content).unwrap_or_default();
            if !text.is_empty() {
                pieces += 1;
                first_token.get_or_insert_with(|| place.since().elapsed());
                let spent = place.spend(prompt, pieces).is_err();
                let _ = out.send(Ok(Event::Text(text.into()))).await;
                if spent && !line.done {
                    let run = place.since().elapsed();
                    return Ok(Ended {
                        finish: Finish::Budget,
                        prompt_tokens: prompt,
                        reused_tokens: 0,
                        completion_tokens: pieces,
                        first_token: first_token.unwrap_or(run),
                        run,
                        cpu: Duration::ZERO,
                    });
                }
            }
            if line.done {
                let run = place.since().elapsed();
                let (prompt, completion) = (line.prompt_eval_count, line.eval_count);
                // It ends in any case.
                let _ = place.spend(prompt, completion);
                let length = line.done_reason.as_deref() == Some("length");
                return Ok(Ended {
                    finish: if length { Finish::Length } else { Finish::Stop },
                    prompt_tokens: prompt,
                    reused_tokens: 0,
                    completion_tokens: completion,
                    first_token: first_token.unwrap_or(run),
                    run,
                    cpu: Duration::ZERO,
                });
            }
        }
        Err(server.failed("it ended in the middle of an answer"))
    }
}

impl EmbeddingModel for RemoteModel {
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Embedded, Error>> {
        async move {
            let begun = Instant::now();
            let count = texts.len();
            let (mut vectors, tokens) = self.server.embed(&self.name, &self.model, texts).await?;
            let alike = vectors.windows(2).all(|pair| pair[0].len() == pair[1].len());
            if vectors.len() != count || !alike {
                return Err(self.server.failed("it gave other vectors than were asked for"));
            }
            vectors.iter_mut().for_each(|vector| normalise(vector));
            tracing::debug!(model = %self.name, count, took = ?begun.elapsed(), "embedded");
            Ok(Embedded { vectors, tokens })
        }
        .boxed()
    }
}

/// Ollama gives vectors of unit length; models of its plug-ins may not.
fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 1e-12 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
}
