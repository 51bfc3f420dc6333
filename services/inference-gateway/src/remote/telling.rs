//! Telling a server's answer as it comes.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, future::BoxFuture};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::client::{Client, note};
use crate::{
    chat::{Answer, Ended, Event, Finish, ModelName, Piece, ToolCall},
    error::Error,
    route::Trial,
    schedule::Place,
};

/// One answer on its way.
pub(crate) struct Telling {
    out: mpsc::Sender<Result<Event, Error>>,
    place: Place,
    trial: Trial,
    /// Tokens of the prompt, as far as is known here.
    prompt: u32,
    pieces: u32,
    first_token: Option<Duration>,
}

/// Tokens, as the server counted them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) prompt: u32,
    pub(crate) reused: u32,
    pub(crate) completion: u32,
}

impl Telling {
    /// More text. The end, when a budget is spent.
    pub(crate) async fn text(&mut self, piece: Piece) -> Option<Ended> {
        self.pieces = self.pieces.saturating_add(1);
        self.begun();
        let spent = self.place.spend(self.prompt, self.pieces).is_err();
        let _ = self.out.send(Ok(Event::Text(piece))).await;
        spent.then(|| self.end(Finish::Budget, None))
    }

    /// A tool is called.
    pub(crate) async fn tool(&mut self, call: ToolCall) {
        self.begun();
        let _ = self.out.send(Ok(Event::Tool(call))).await;
    }

    /// The server has begun to answer.
    pub(crate) fn begun(&mut self) {
        if self.first_token.is_none() {
            self.first_token = Some(self.place.since().elapsed());
            self.trial.succeeded();
        }
    }

    /// Nothing follows.
    pub(crate) fn end(&mut self, finish: Finish, usage: Option<Usage>) -> Ended {
        self.begun();
        let run = self.place.since().elapsed();
        let known = Usage { prompt: self.prompt, reused: 0, completion: self.pieces };
        let Usage { prompt, reused, completion } = usage.unwrap_or(known);
        // It ends in any case.
        let _ = self.place.spend(prompt, completion);
        Ended {
            finish,
            prompt_tokens: prompt,
            reused_tokens: reused.min(prompt),
            completion_tokens: completion,
            first_token: self.first_token.unwrap_or(run),
            run,
            cpu: Duration::ZERO,
        }
    }
}

/// What a job asks for, in numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) prompt: u32,
    pub(crate) max_tokens: u32,
}

/// Runs `work` in a task of its own, which tells the answer and ends when nobody listens. The
/// server is not asked when it is left alone for a while, nor before fewer than its most run.
pub(crate) fn told<W>(
    place: Place,
    name: ModelName,
    size: Size,
    client: Arc<Client>,
    work: W,
) -> Answer
where
    W: for<'a> FnOnce(&'a mut Telling) -> BoxFuture<'a, Result<Ended, Error>> + Send + 'static,
{
    // Room for the whole answer: a slow reader keeps nobody waiting.
    let (out, answer) = mpsc::channel(size.max_tokens as usize + 4);
    tokio::spawn(async move {
        let run = async {
            let ended = run(place, &name, size, &client, out.clone(), work).await;
            let _ = out.send(ended.map(Event::Ended)).await;
        };
        // Closing the connection is how servers are told to stop.
        tokio::select! {
            () = out.closed() => {}
            () = run => {}
        }
    });
    ReceiverStream::new(answer).boxed()
}

/// The place is free when it returns: who reads the end finds it so.
async fn run<W>(
    place: Place,
    name: &ModelName,
    size: Size,
    client: &Client,
    out: mpsc::Sender<Result<Event, Error>>,
    work: W,
) -> Result<Ended, Error>
where
    W: for<'a> FnOnce(&'a mut Telling) -> BoxFuture<'a, Result<Ended, Error>>,
{
    let (_turn, trial) = client.enter(name).await?;
    let prompt = size.prompt;
    let mut telling = Telling { out, place, trial, prompt, pieces: 0, first_token: None };
    let ended = work(&mut telling).await;
    note(&mut telling.trial, &ended);
    ended
}
