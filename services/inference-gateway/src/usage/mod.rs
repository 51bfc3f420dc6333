//! Who used how much of which model, by the hour. Kept in PostgreSQL when there is one; the
//! gateway serves without it.

mod store;
mod tally;

use std::time::Duration;

use alina_service::{Context, StartError};
use chrono::Utc;
use sqlx::migrate::Migrator;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    chat::{AgentId, ModelName},
    config::InferenceConfig,
    metrics::Metrics,
};

use self::tally::Tally;

static MIGRATOR: Migrator = sqlx::migrate!();

/// Records on their way.
const WAITING: usize = 1_024;
const WRITE_EVERY: Duration = Duration::from_secs(10);
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// The last write, when the service ends.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// What one chat took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Who.
    pub agent: AgentId,
    /// Which model.
    pub model: ModelName,
    /// Of its prompt.
    pub prompt_tokens: u32,
    /// Of its answer.
    pub completion_tokens: u32,
    /// How long it had its place.
    pub run: Duration,
}

/// Takes records; never makes a chat wait.
#[derive(Debug, Clone)]
pub struct Recorder {
    records: mpsc::Sender<Used>,
    metrics: Metrics,
}

impl Recorder {
    /// And what [`keep`] reads from.
    #[must_use]
    pub fn new(metrics: Metrics) -> (Self, mpsc::Receiver<Used>) {
        let (records, incoming) = mpsc::channel(WAITING);
        (Self { records, metrics }, incoming)
    }

    /// Hands a record over, or drops it when too many wait.
    pub fn record(&self, used: Used) {
        if self.records.try_send(used).is_err() {
            self.metrics.usage_dropped();
        }
    }
}

/// Adds records up and writes them from time to time, until shutdown.
pub async fn keep(
    ctx: Context<InferenceConfig>,
    mut incoming: mpsc::Receiver<Used>,
    metrics: Metrics,
) {
    // Each process has rows of its own and overwrites them with its totals: a write that is
    // repeated changes nothing.
    let mut tally = Tally::new(Uuid::now_v7());
    let mut connecting = Box::pin(connect(&ctx));
    let mut pool = None;
    let mut tick = tokio::time::interval(WRITE_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = ctx.shutdown.cancelled() => break,
            connected = &mut connecting, if pool.is_none() => pool = Some(connected),
            used = incoming.recv() => match used {
                Some(used) if tally.add(&used, Utc::now()) => {}
                Some(_) => metrics.usage_dropped(),
                None => break,
            },
            _ = tick.tick() => if let Some(pool) = &pool {
                write(pool, &mut tally).await;
            },
        }
    }
    while let Ok(used) = incoming.try_recv() {
        tally.add(&used, Utc::now());
    }
    if let Some(pool) = &pool {
        let _ = tokio::time::timeout(LAST_WRITE, write(pool, &mut tally)).await;
    }
}

async fn connect(ctx: &Context<InferenceConfig>) -> sqlx::PgPool {
    loop {
        match ctx.postgres("inference", &MIGRATOR).await {
            Ok(pool) => return pool,
            Err(StartError::Stopped) => std::future::pending().await,
            Err(error) => tracing::warn!(%error, "use is not kept yet; tried again in 10 s"),
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

async fn write(pool: &sqlx::PgPool, tally: &mut Tally) {
    let rows = tally.changed();
    if rows.is_empty() {
        return;
    }
    match store::write_totals(pool, &rows).await {
        Ok(()) => tally.written(Utc::now()),
        Err(error) => tracing::warn!(%error, "use is not kept now; tried again in 10 s"),
    }
}
