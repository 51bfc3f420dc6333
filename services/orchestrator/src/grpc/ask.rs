//! One question, one answer.

use std::sync::Arc;

use alina_proto::{
    orchestrator::v1::{AskCitation, AskContext, AskResponse, ask_response::Event},
    time::timestamp,
};
use futures::Stream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{follow::stopping, requests::Ask};
use crate::{
    engine::{Engine, ask_prompt},
    error::Error,
    peers::{Chat, Completion, PeerError, Recalled},
};

/// Pieces kept for a reader that is slow; past that the model's text reaches it with the answer.
const PIECES: usize = 1_024;

/// Context first, then the text as it comes, then the whole answer. Dropping the stream stops the
/// model.
pub(super) fn stream(
    engine: Arc<Engine>,
    ask: Ask,
    shutdown: CancellationToken,
) -> impl Stream<Item = Result<AskResponse, Status>> + Send + use<> {
    async_stream::try_stream! {
        let Ask { question, namespace, model } = ask;
        let config = &engine.config;
        let recalled = engine
            .memory
            .recall(&namespace, &question, config.recall_tokens)
            .await
            .map_err(Error::from)?;
        let chat = Chat {
            model,
            messages: ask_prompt(
                &question,
                &recalled.context,
                config.context_tokens,
                config.max_answer_tokens,
            ),
            schema: None,
            max_tokens: config.max_answer_tokens,
            agent: "ask".to_owned(),
            run_id: String::new(),
            temperature: None,
        };
        yield response(Event::Context(context(recalled)));

        let (sender, mut pieces) = mpsc::channel(PIECES);
        let answer = engine.models.chat(chat, move |piece| {
            let _ = sender.try_send(piece);
        });
        tokio::pin!(answer);
        // Macros hide `yield` and `?` from this one: what happens next comes out as a value. The
        // sender goes with the call, so that the pieces end.
        let completion = loop {
            let next = tokio::select! {
                biased;
                () = shutdown.cancelled() => Next::Stopping,
                Some(piece) = pieces.recv() => Next::Piece(piece),
                completion = &mut answer => Next::Done(completion),
            };
            match next {
                Next::Stopping => Err(stopping())?,
                Next::Piece(piece) => yield response(Event::Delta(piece)),
                Next::Done(completion) => break completion.map_err(Error::from)?,
            }
        };
        while let Ok(piece) = pieces.try_recv() {
            yield response(Event::Delta(piece));
        }
        yield response(Event::Answer(completion.text.trim().to_owned()));
    }
}

enum Next {
    Stopping,
    Piece(String),
    Done(Result<Completion, PeerError>),
}

fn response(event: Event) -> AskResponse {
    AskResponse { event: Some(event) }
}

fn context(recalled: Recalled) -> AskContext {
    let citations = recalled.citations.into_iter().map(|cited| AskCitation {
        label: cited.label,
        text: cited.text,
        source: cited.source,
        recorded_at: cited.recorded_at.map(timestamp),
    });
    AskContext { context: recalled.context, citations: citations.collect() }
}
