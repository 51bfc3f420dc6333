//! Answers of the gateway, ended by whatever ends them first: the model, the caller's own limit of
//! time, or the end of the service.

use std::time::Duration;

use futures::{Stream, StreamExt, stream::BoxStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Shared, caller::Caller, fault::Fault};
use crate::{
    chat::ModelName,
    error::Error,
    gateway::{Answered, ChatRequest, Part},
};

/// How long an answer that is given at once may go on when the service is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// Texts that are turned into vectors at once.
const TEXTS: usize = 256;

/// An answer that has its place.
pub(super) struct Answer {
    parts: BoxStream<'static, Result<Part, Error>>,
    stop: Stop,
}

struct Stop {
    shutdown: CancellationToken,
    deadline: Option<Instant>,
}

impl Stop {
    fn new(shared: &Shared, caller: &Caller) -> Self {
        Self { shutdown: shared.shutdown.clone(), deadline: caller.deadline() }
    }

    /// Waits for a reason to stop.
    async fn reached(&self, grace: Duration) -> Fault {
        let late = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => futures::future::pending().await,
            }
        };
        tokio::select! {
            () = late => Fault::too_late(),
            () = async { self.shutdown.cancelled().await; tokio::time::sleep(grace).await } => {
                Fault::stopping()
            }
        }
    }
}

impl Answer {
    /// Waits for its place.
    pub(super) async fn begin(
        shared: &Shared,
        caller: &Caller,
        request: ChatRequest,
    ) -> Result<Self, Fault> {
        let stop = Stop::new(shared, caller);
        let parts = tokio::select! {
            biased;
            fault = stop.reached(Duration::ZERO) => return Err(fault),
            parts = shared.gateway.chat(request) => parts?,
        };
        Ok(Self { parts, stop })
    }

    /// Piece by piece; the last item is [`Part::Done`] or a fault.
    pub(super) fn parts(self) -> impl Stream<Item = Result<Part, Fault>> + Send + 'static {
        self.until(Duration::ZERO)
    }

    /// All at once.
    pub(super) async fn whole(self) -> Result<Answered, Fault> {
        let mut parts = self.until(GRACE).boxed();
        while let Some(part) = parts.next().await {
            if let Part::Done(answered) = part? {
                return Ok(answered);
            }
        }
        Err(Fault::internal())
    }

    fn until(
        mut self,
        grace: Duration,
    ) -> impl Stream<Item = Result<Part, Fault>> + Send + 'static {
        async_stream::stream! {
            loop {
                let part = tokio::select! {
                    biased;
                    fault = self.stop.reached(grace) => Err(fault),
                    part = self.parts.next() => match part {
                        Some(part) => part.map_err(Fault::from),
                        None => Err(Fault::internal()),
                    },
                };
                let last = !matches!(part, Ok(Part::Text(_) | Part::Tool(_)));
                yield part;
                if last {
                    return;
                }
            }
        }
    }
}

/// Vectors of texts.
#[derive(Debug)]
pub(super) struct Vectors {
    /// In the texts' order.
    pub(super) vectors: Vec<Vec<f32>>,
    /// Of all texts.
    pub(super) tokens: u32,
    /// That made them.
    pub(super) model: ModelName,
}

/// A vector for each text, a few hundred at a time so that none holds up the others.
pub(super) async fn embed(
    shared: &Shared,
    caller: &Caller,
    model: ModelName,
    mut texts: Vec<String>,
) -> Result<Vectors, Fault> {
    let stop = Stop::new(shared, caller);
    let work = async {
        let mut all = Vectors { vectors: Vec::with_capacity(texts.len()), tokens: 0, model };
        while !texts.is_empty() {
            let rest = texts.split_off(texts.len().min(TEXTS));
            let some = std::mem::replace(&mut texts, rest);
            let (embedded, _) = shared.gateway.embed(&all.model.0, some).await?;
            all.vectors.extend(embedded.vectors);
            all.tokens = all.tokens.saturating_add(embedded.tokens);
        }
        Ok(all)
    };
    tokio::select! {
        biased;
        fault = stop.reached(GRACE) => Err(fault),
        all = work => all,
    }
}
