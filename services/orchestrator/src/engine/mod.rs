//! Works on runs: claims them, drives their programs over the journal, tells those who follow.

mod bus;
mod decision;
mod journal;
mod plan;
mod program;
mod prompts;
mod remember;
mod task;
mod teller;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    agents::Roster,
    config::OrchestratorConfig,
    metrics::Metrics,
    peers::{Memory, Models},
    run::{OwnerId, RunId},
    store::Store,
    tools::Toolbox,
};

pub(crate) use bus::{Bus, Delta, News};
pub(crate) use prompts::ask as ask_prompt;
pub(crate) use teller::tell;
pub(crate) use worker::{keep_leases, work};

/// What all runs of this process share.
pub(crate) struct Engine {
    pub(crate) config: Arc<OrchestratorConfig>,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) roster: Roster,
    pub(crate) toolbox: Toolbox,
    pub(crate) models: Models,
    pub(crate) memory: Memory,
    pub(crate) metrics: Metrics,
    owner: OwnerId,
    /// One place for each agent that may work at once, over all runs.
    places: Semaphore,
    /// Rung when a run was queued.
    bell: Notify,
    /// Rung when the log of actions is to be told something.
    news: Notify,
    /// The runs worked on here; cancelling the token stops the work within a step.
    active: Mutex<HashMap<RunId, CancellationToken>>,
}

/// The parts an engine is made of.
pub(crate) struct Parts {
    pub(crate) config: Arc<OrchestratorConfig>,
    pub(crate) parallel_agents: u32,
    pub(crate) store: Store,
    pub(crate) toolbox: Toolbox,
    pub(crate) models: Models,
    pub(crate) memory: Memory,
    pub(crate) metrics: Metrics,
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { config, parallel_agents, store, toolbox, models, memory, metrics } = parts;
        Self {
            roster: Roster::new(&config.agents),
            config,
            store,
            bus: Bus::default(),
            toolbox,
            models,
            memory,
            metrics,
            owner: OwnerId::new(),
            places: Semaphore::new(usize::try_from(parallel_agents).unwrap_or(1)),
            bell: Notify::new(),
            news: Notify::new(),
            active: Mutex::default(),
        }
    }

    /// A run was queued: look for it now.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Stops working on a run, if this process does.
    pub(crate) fn stop(&self, run: RunId) {
        if let Some(token) = self.active().get(&run) {
            token.cancel();
        }
    }

    fn active(&self) -> MutexGuard<'_, HashMap<RunId, CancellationToken>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
