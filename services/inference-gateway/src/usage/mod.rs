//! Who used how much of which model, by the hour. Kept in PostgreSQL when there is one; the
//! gateway serves without it.

mod store;
mod tally;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use alina_service::{Context, StartError};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use sqlx::{PgPool, migrate::Migrator};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::{
    chat::{AgentId, ModelName, RunId},
    config::InferenceConfig,
    error::Error,
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

/// The most rows that are listed.
const LISTED: i64 = 10_000;
/// Listing takes no longer.
const LIST_WITHIN: Duration = Duration::from_secs(5);

/// What one chat took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Who.
    pub agent: AgentId,
    /// For which run.
    pub run: Option<RunId>,
    /// Which model.
    pub model: ModelName,
    /// Of its prompt.
    pub prompt_tokens: u32,
    /// Of its answer.
    pub completion_tokens: u32,
    /// Of its prompt: what was calculated before.
    pub reused_tokens: u32,
    /// How long it waited for its place.
    pub waited: Duration,
    /// How long it had its place.
    pub took: Duration,
    /// CPU time of this process.
    pub cpu: Duration,
}

/// Which totals are wanted; what is absent is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Whose.
    pub agent: Option<String>,
    /// Of which run.
    pub run: Option<String>,
    /// Of which model.
    pub model: Option<String>,
    /// How far back.
    pub since: Duration,
}

/// What one agent used of one model, for one run, in an hour, over all processes.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Hourly {
    /// Its beginning.
    pub hour: DateTime<Utc>,
    /// Who.
    pub agent: String,
    /// Empty when it belongs to none.
    pub run_id: String,
    /// Which model.
    pub model: String,
    /// Chats answered.
    pub requests: i64,
    /// Of their prompts.
    pub prompt_tokens: i64,
    /// Of their answers.
    pub completion_tokens: i64,
    /// Of their prompts: what was calculated before.
    pub reused_tokens: i64,
    /// Waiting for places.
    pub queue_seconds: f64,
    /// In places.
    pub run_seconds: f64,
    /// Of CPU.
    pub cpu_seconds: f64,
}

/// What [`keep`] is told.
#[derive(Debug)]
pub enum Record {
    /// A chat ended.
    Used(Used),
    /// What is not written yet is to be written, and this told afterwards.
    Write(oneshot::Sender<()>),
}

/// Takes records; never makes a chat wait.
#[derive(Debug, Clone)]
pub struct Recorder {
    records: mpsc::Sender<Record>,
    pool: Arc<OnceLock<PgPool>>,
    metrics: Metrics,
}

/// The other end of a [`Recorder`].
#[derive(Debug)]
pub struct Records {
    incoming: mpsc::Receiver<Record>,
    pool: Arc<OnceLock<PgPool>>,
}

impl Recorder {
    /// And what [`keep`] reads from.
    #[must_use]
    pub fn new(metrics: Metrics) -> (Self, Records) {
        let (records, incoming) = mpsc::channel(WAITING);
        let pool = Arc::new(OnceLock::new());
        (Self { records, pool: Arc::clone(&pool), metrics }, Records { incoming, pool })
    }

    /// Hands a record over, or drops it when too many wait.
    pub fn record(&self, used: Used) {
        if self.records.try_send(Record::Used(used)).is_err() {
            self.metrics.usage_dropped();
        }
    }

    /// Totals, the newest first, those of this process up to now.
    ///
    /// # Errors
    /// When PostgreSQL is away.
    pub async fn list(&self, wanted: Wanted) -> Result<Vec<Hourly>, Error> {
        let unavailable = |problem: String| Error::StoreUnavailable { problem };
        let Some(pool) = self.pool.get() else {
            return Err(unavailable("PostgreSQL was not reached yet".to_owned()));
        };
        let since = TimeDelta::from_std(wanted.since).unwrap_or(TimeDelta::MAX);
        let since = Utc::now().checked_sub_signed(since).unwrap_or(DateTime::UNIX_EPOCH);
        // The hour in which it began counts.
        let since = since.duration_trunc(TimeDelta::hours(1)).unwrap_or(since);
        let work = async {
            let (written, is_written) = oneshot::channel();
            if self.records.send(Record::Write(written)).await.is_ok() {
                let _ = is_written.await;
            }
            store::list(pool, &wanted, since, LISTED).await
        };
        match tokio::time::timeout(LIST_WITHIN, work).await {
            Ok(listed) => listed.map_err(|error| unavailable(error.to_string())),
            Err(_) => Err(unavailable(format!(
                "PostgreSQL did not answer within {} s",
                LIST_WITHIN.as_secs()
            ))),
        }
    }
}

/// Adds records up and writes them from time to time, until shutdown.
pub async fn keep(ctx: Context<InferenceConfig>, records: Records, metrics: Metrics) {
    let Records { mut incoming, pool } = records;
    // Each process has rows of its own and overwrites them with its totals: a write that is
    // repeated changes nothing.
    let mut tally = Tally::new(Uuid::now_v7());
    let mut connecting = Box::pin(connect(&ctx));
    let mut tick = tokio::time::interval(WRITE_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = ctx.shutdown.cancelled() => break,
            connected = &mut connecting, if pool.get().is_none() => {
                pool.get_or_init(|| connected);
            }
            record = incoming.recv() => match record {
                Some(Record::Used(used)) if tally.add(&used, Utc::now()) => {}
                Some(Record::Used(_)) => metrics.usage_dropped(),
                Some(Record::Write(written)) => {
                    if let Some(pool) = pool.get() {
                        write(pool, &mut tally).await;
                    }
                    // Who asked may be gone.
                    let _ = written.send(());
                }
                None => break,
            },
            _ = tick.tick() => if let Some(pool) = pool.get() {
                write(pool, &mut tally).await;
            },
        }
    }
    while let Ok(record) = incoming.try_recv() {
        if let Record::Used(used) = record {
            tally.add(&used, Utc::now());
        }
    }
    if let Some(pool) = pool.get() {
        let _ = tokio::time::timeout(LAST_WRITE, write(pool, &mut tally)).await;
    }
}

async fn connect(ctx: &Context<InferenceConfig>) -> PgPool {
    loop {
        match ctx.postgres("inference", &MIGRATOR).await {
            Ok(pool) => return pool,
            Err(StartError::Stopped) => std::future::pending().await,
            Err(error) => tracing::warn!(%error, "use is not kept yet; tried again in 10 s"),
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

async fn write(pool: &PgPool, tally: &mut Tally) {
    let rows = tally.changed();
    if rows.is_empty() {
        return;
    }
    match store::write_totals(pool, &rows).await {
        Ok(()) => tally.written(Utc::now()),
        Err(error) => tracing::warn!(%error, "use is not kept now; tried again in 10 s"),
    }
}
