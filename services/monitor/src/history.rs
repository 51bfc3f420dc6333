//! Keeps every alert in PostgreSQL, when there is one: the monitor serves and tells without it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::migrate::Migrator;
use tokio::sync::mpsc;

use alina_service::{Context, StartError};

use crate::{
    alerts::{Change, Transition},
    config::MonitorConfig,
    error::Error,
    metrics::{Metrics, Outcome},
    store::Store,
};

static MIGRATOR: Migrator = sqlx::migrate!();

/// Keeps changes from `keep` until shutdown. Alerts that an earlier process left open are ended
/// and told through `tell`.
pub async fn run(
    ctx: Context<MonitorConfig>,
    start: DateTime<Utc>,
    mut keep: mpsc::Receiver<Change>,
    tell: mpsc::Sender<Change>,
    metrics: Metrics,
) {
    let work = async {
        let store = connect(&ctx).await;
        end_those_before(&store, start, &tell).await;
        // The collector's end ends the channel; this sender must not hold it open.
        drop(tell);
        while let Some(change) = keep.recv().await {
            again_until_done("an alert waits to be kept", || write(&store, &change)).await;
            metrics.kept(Outcome::Done);
        }
    };
    ctx.shutdown.run_until_cancelled(work).await;
}

async fn connect(ctx: &Context<MonitorConfig>) -> Store {
    loop {
        match ctx.postgres("monitor", &MIGRATOR).await {
            Ok(pool) => return Store::new(pool),
            Err(StartError::Stopped) => std::future::pending().await,
            Err(error) => {
                tracing::warn!(%error, "no alert history yet; tried again in 10 s");
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        }
    }
}

async fn end_those_before(store: &Store, start: DateTime<Utc>, tell: &mpsc::Sender<Change>) {
    let ended = || store.end_those_before(start);
    for alert in again_until_done("earlier alerts wait to be ended", ended).await {
        tracing::info!(rule = alert.rule, subject = %alert.subject, "ended with the last process");
        let change = Change { alert, at: Utc::now(), transition: Transition::Resolved };
        // Waits for room: the teller makes some while it lives, and shutdown ends this.
        if tell.send(change).await.is_err() {
            return;
        }
    }
}

async fn write(store: &Store, change: &Change) -> Result<(), Error> {
    match change.transition {
        Transition::Raised => store.keep_raised(&change.alert, change.at).await,
        Transition::Resolved => store.keep_resolved(&change.alert, change.at).await,
    }
}

/// Each statement is safe to repeat; the pool gives up on a lost PostgreSQL after its own deadline.
async fn again_until_done<T, F>(what: &str, attempt: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, Error>>,
{
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => tracing::warn!(%error, "{what}"),
        }
        tokio::time::sleep(Duration::from_millis(rand::random_range(1_000..5_000))).await;
    }
}
