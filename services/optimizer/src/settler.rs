//! Carries out what the journal says: tells the orchestrator which instructions are in force, then
//! the memory that they are. What a crash or an absence leaves undone is done later.

use std::time::Duration;

use rand::RngExt;
use serde_json::json;
use tokio::sync::{Mutex, Notify};

use crate::{
    error::Error,
    metrics::Metrics,
    peers::{LogEntry, Memory, Orchestrator, PeerError},
    store::{Cause, Store, Switch},
};

/// Between two looks at the journal, with jitter.
const INTERVAL: Duration = Duration::from_secs(10);
/// Entries of the log written at once.
const LOGGED_AT_ONCE: i64 = 20;

/// Puts instructions in force.
#[derive(Debug)]
pub(crate) struct Settler {
    pub(crate) store: Store,
    pub(crate) orchestrator: Orchestrator,
    pub(crate) memory: Memory,
    pub(crate) metrics: Metrics,
    /// One at a time: the orchestrator is told in the order of the journal.
    pub(crate) turn: Mutex<()>,
    pub(crate) applied: Notify,
}

/// A switch that was not carried out, and why.
#[derive(Debug)]
pub(crate) struct Undone {
    pub(crate) agent: String,
    pub(crate) error: PeerError,
}

impl Settler {
    /// Tells the orchestrator of every pending switch; gives those it did not take.
    pub(crate) async fn apply(&self) -> Result<Vec<Undone>, Error> {
        let _turn = self.turn.lock().await;
        let mut undone = Vec::new();
        let mut waiting = 0;
        for switch in self.store.pending_switches().await? {
            let Switch { agent, version, instructions, .. } = &switch;
            match self.orchestrator.set_instructions(agent, instructions, version).await {
                Ok(()) => {
                    self.store.mark_applied(&switch).await?;
                    match switch.cause {
                        Cause::Promotion => self.metrics.promoted(),
                        Cause::Rollback => self.metrics.rolled_back(),
                    }
                    tracing::info!(agent, version, "instructions are in force");
                    self.applied.notify_one();
                }
                Err(error) => {
                    if error.is_refusal() {
                        tracing::warn!(agent, version, %error, "instructions were refused");
                        self.store.mark_refused(&switch, &error.message).await?;
                    } else {
                        tracing::warn!(agent, version, %error, "instructions wait");
                        waiting += 1;
                    }
                    undone.push(Undone { agent: switch.agent, error });
                }
            }
        }
        self.metrics.pending(waiting);
        Ok(undone)
    }

    /// Writes what is in force to the log of actions, once each; stops while the memory is away.
    async fn log(&self) -> Result<(), Error> {
        for switch in self.store.unlogged_switches(LOGGED_AT_ONCE).await? {
            match self.memory.log(entry(&switch)).await {
                Ok(()) => {}
                Err(error) if error.is_refusal() => {
                    tracing::warn!(agent = switch.agent, %error, "the log refuses an action");
                }
                Err(error) => {
                    tracing::debug!(%error, "actions wait for the log");
                    return Ok(());
                }
            }
            self.store.mark_logged(switch.id).await?;
        }
        Ok(())
    }

    /// Looks at the journal at once, then every few seconds, until it is dropped.
    pub(crate) async fn run(&self) {
        loop {
            let done = async {
                self.apply().await?;
                self.log().await
            };
            if let Err(error) = done.await {
                tracing::warn!(%error, "the journal could not be worked off");
            }
            let wait = INTERVAL.mul_f64(rand::rng().random_range(0.8..1.2));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.applied.notified() => {}
            }
        }
    }
}

/// The same switch always gives the same entry.
fn entry(switch: &Switch) -> LogEntry {
    let Switch { id, agent, version, reason, .. } = switch;
    let (action, what) = match switch.cause {
        Cause::Promotion => ("instructions.promoted", "promoted"),
        Cause::Rollback => ("instructions.rolled_back", "rolled back to"),
    };
    LogEntry {
        idempotency_key: format!("optimizer/switch/{id}"),
        action,
        summary: format!("{agent}: {what} instructions {version} ({reason})"),
        details: json!({ "agent": agent, "version": version, "reason": reason }),
    }
}
