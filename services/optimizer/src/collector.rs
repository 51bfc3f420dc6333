//! Reads what agents put out and scores each output once.

use std::time::Duration;

use tokio::sync::Mutex;

use crate::{
    error::Error,
    metrics::Metrics,
    peers::{Orchestrator, Output},
    score::{MAX_TEXT_BYTES, Scorecard},
    scorer::{Scorer, Subject},
    store::{NewScore, Store},
    text::storable,
};

/// Outputs read at once.
const PAGE: u32 = 50;
/// How long one round waits for another that is collecting.
const TURN: Duration = Duration::from_secs(60);
/// The longest name or id taken.
const MAX_NAME_BYTES: usize = 256;

/// Scores outputs from where it ended last.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) store: Store,
    pub(crate) orchestrator: Orchestrator,
    pub(crate) scorer: Scorer,
    pub(crate) metrics: Metrics,
    pub(crate) use_judge: bool,
    pub(crate) max_outputs: u32,
    pub(crate) window: u32,
    /// One round at a time.
    pub(crate) turn: Mutex<()>,
}

impl Collector {
    /// Scores what is new, up to the bound of a round; gives how many. Ends early, to take up
    /// there next time, while a model that judges is away.
    pub(crate) async fn collect(&self) -> Result<u32, Error> {
        let Ok(_turn) = tokio::time::timeout(TURN, self.turn.lock()).await else {
            return Ok(0);
        };
        let mut scored = 0;
        let mut left = self.max_outputs;
        while left > 0 {
            let cursor = self.store.cursor().await?;
            let limit = left.min(PAGE);
            let page = self.orchestrator.outputs(&cursor, limit).await?;
            let count = u32::try_from(page.outputs.len()).unwrap_or(u32::MAX);
            for output in page.outputs {
                match self.score(output).await {
                    Ok(is_new) => scored += u32::from(is_new),
                    Err(error @ Error::Peer(_)) => {
                        tracing::warn!(%error, scored, "outputs wait for their judge");
                        self.publish().await?;
                        return Ok(scored);
                    }
                    Err(error) => return Err(error),
                }
            }
            if count == 0 || page.next == cursor {
                break;
            }
            // Written last: what a crash leaves between is found scored.
            self.store.move_cursor(&page.next).await?;
            left = left.saturating_sub(count);
            if count < limit {
                break;
            }
        }
        self.publish().await?;
        Ok(scored)
    }

    /// Scores one output unless it has its score; tells whether it was new.
    async fn score(&self, output: Output) -> Result<bool, Error> {
        let output = Output {
            agent: storable(&output.agent, MAX_NAME_BYTES),
            version: storable(&output.version, MAX_NAME_BYTES),
            input: storable(&output.input, MAX_TEXT_BYTES),
            text: storable(&output.text, MAX_TEXT_BYTES),
            ..output
        };
        if self.store.is_scored(&output.id).await? {
            return Ok(false);
        }
        let card = self.card(&output).await?;
        let is_new = self.store.insert_score(NewScore { output: &output, card: &card }).await?;
        if is_new {
            self.metrics.scored(&output.agent);
            tracing::debug!(
                output = output.id,
                agent = output.agent,
                score = card.score.value(),
                "an output was scored"
            );
        }
        Ok(is_new)
    }

    /// By what is expected of the task when it is a case; without the judge when that refuses.
    async fn card(&self, output: &Output) -> Result<Scorecard, Error> {
        let expectation = self.store.expectation(&output.agent, &output.input).await?;
        let expectation = expectation.unwrap_or_default();
        let subject =
            Subject { input: &output.input, output: &output.text, expectation: &expectation };
        match self.scorer.full(subject, self.use_judge).await {
            Err(error) if !error.is_away() && !error.is_store() => {
                tracing::warn!(%error, output = output.id, "an output is scored without models");
                Ok(self.scorer.plain(subject))
            }
            other => other,
        }
    }

    /// The rolling scores, as metrics.
    async fn publish(&self) -> Result<(), Error> {
        for score in self.store.agent_scores(self.window).await? {
            if score.outputs > 0 {
                self.metrics.rolling(&score.agent, score.rolling.value());
            }
        }
        Ok(())
    }
}
