//! Tells the memory's log of actions what happens to runs, in order, through absences of the memory:
//! an agent that begins a session learns from it which runs are open.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Engine;
use crate::{error::Error, peers::LogEntry, run::RunId, store::Untold};

/// How often it is looked for what nobody rang for.
const LOOK: Duration = Duration::from_secs(1);
/// Told at a time.
const TOGETHER: i64 = 64;
/// How often it is looked whether everything about a run is told.
const AGAIN: Duration = Duration::from_millis(100);

/// Works until told to stop.
pub(crate) async fn tell(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = engine.news.notified() => {}
            _ = look.tick() => {}
        }
        if let Some(Err(error)) = shutdown.run_until_cancelled(tell_all(&engine)).await {
            debug!(%error, "the log of actions is told later");
        }
    }
}

async fn tell_all(engine: &Engine) -> Result<(), Error> {
    loop {
        let untold = engine.store.untold(TOGETHER).await?;
        if untold.is_empty() {
            return Ok(());
        }
        for one in untold {
            tell_one(engine, one).await?;
        }
    }
}

async fn tell_one(engine: &Engine, untold: Untold) -> Result<(), Error> {
    let Untold { ordinal, run, namespace, action, summary } = untold;
    let entry = LogEntry {
        idempotency_key: format!("told/{run}/{ordinal}"),
        namespace,
        action,
        summary,
        details: json!({}),
        run_id: run.to_string(),
    };
    match engine.memory.log(entry).await {
        Ok(_) => {}
        Err(error) if error.is_away() || error.may_pass() => return Err(error.into()),
        Err(error) => warn!(%run, %error, "memory refused an entry of its log"),
    }
    engine.store.told(ordinal).await
}

impl Engine {
    /// Something happened to a run that the log is to be told.
    pub(crate) fn tell_soon(&self) {
        self.news.notify_one();
    }

    /// Waits until everything about a run is told: its end must not stand before its beginning. The
    /// run's deadline ends the waiting.
    pub(super) async fn told(&self, run: RunId) {
        while !self.store.all_told(run).await.unwrap_or(false) {
            self.tell_soon();
            tokio::time::sleep(AGAIN).await;
        }
    }
}
