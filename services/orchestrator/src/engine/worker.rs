//! Claims runs and drives each to its end.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chrono::Utc;
use futures::FutureExt;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, info_span, warn};

use super::{Engine, journal::Journal, program::Program};
use crate::{
    error::Error,
    run::{Ending, RunId, RunState},
    store::Claim,
};

/// How long a run stays this process's without a sign of life: how long after a crash it waits.
const LEASE: Duration = Duration::from_secs(4);
/// How often leases are extended.
const BEAT: Duration = Duration::from_secs(1);
/// How often runs are looked for that nobody rang for.
const LOOK: Duration = Duration::from_millis(500);
/// How long past its deadline a run's end may wait for PostgreSQL.
const END_WAIT: Duration = Duration::from_secs(600);

/// Works on runs until told to stop; then gives its runs free.
pub(crate) async fn work(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut runs = JoinSet::new();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = engine.bell.notified() => {}
            _ = look.tick() => {}
            Some(_) = runs.join_next() => {}
        }
        claim(&engine, &mut runs).await;
    }
    for token in engine.active().values() {
        token.cancel();
    }
    while runs.join_next().await.is_some() {}
    if let Err(error) = engine.store.release_leases(engine.owner).await {
        debug!(%error, "leases will run out by themselves");
    }
}

/// Extends the leases of the runs worked on, and stops working on those that were lost: cancelled
/// elsewhere, or taken over.
pub(crate) async fn keep_leases(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = beat.tick() => {}
        }
        let held: Vec<RunId> = engine.active().keys().copied().collect();
        if held.is_empty() {
            continue;
        }
        match engine.store.extend_leases(engine.owner, &held, LEASE).await {
            Ok(kept) => {
                for lost in held.iter().filter(|run| !kept.contains(run)) {
                    engine.stop(*lost);
                }
            }
            Err(error) => debug!(%error, "leases could not be extended"),
        }
    }
}

/// Claims as many runs as there is room for.
async fn claim(engine: &Arc<Engine>, runs: &mut JoinSet<()>) {
    let room = usize::try_from(engine.config.max_active_runs).unwrap_or(1);
    loop {
        let held: Vec<RunId> = engine.active().keys().copied().collect();
        if held.len() >= room {
            return;
        }
        match engine.store.claim_run(engine.owner, &held, LEASE).await {
            Ok(Some(claim)) => {
                let token = CancellationToken::new();
                let run = claim.run.id;
                engine.active().insert(run, token.clone());
                engine.metrics.active_runs.inc();
                let engine = Arc::clone(engine);
                let work = async move {
                    execute(&engine, claim, token).await;
                    engine.active().remove(&run);
                    engine.metrics.active_runs.dec();
                };
                runs.spawn(work.instrument(info_span!("run", %run)));
            }
            Ok(None) => return,
            Err(error) => {
                debug!(%error, "no run could be claimed");
                return;
            }
        }
    }
}

async fn execute(engine: &Engine, claim: Claim, token: CancellationToken) {
    let Claim { run, events } = claim;
    let attempts = engine.config.max_attempts;
    let (store, bus, metrics) = (engine.store.clone(), engine.bus.clone(), engine.metrics.clone());
    let journal = Journal::new(store, bus, metrics, run.id, engine.owner, attempts);
    info!(resumed = !events.is_empty(), "a run is worked on");
    engine.bus.events(events);

    let left = (run.deadline_at - Utc::now()).to_std().unwrap_or_default();
    let program = Program { engine, journal: &journal, run: &run };
    // A panic must not take the worker with it, nor be met again and again.
    let driven = AssertUnwindSafe(program.drive()).catch_unwind();
    let outcome = tokio::select! {
        biased;
        // Dropping the program drops its calls: models stop.
        () = token.cancelled() => return,
        outcome = timeout(left, driven) => outcome,
    };
    let ending = match outcome {
        Ok(Ok(Ok(answer))) => Ending::Succeeded(answer),
        Ok(Ok(Err(Error::LeaseLost(_)))) => return,
        Ok(Ok(Err(error))) => Ending::Failed(error.to_string()),
        Ok(Err(_)) => Ending::Failed("a defect of the orchestrator; see its log".to_owned()),
        Err(_) => Ending::Failed(format!(
            "not finished within {} minutes (orchestrator.run_deadline_minutes); `alina runs \
             resume` takes it up again where its journal ends",
            engine.config.run_deadline_minutes
        )),
    };
    let ended = tokio::select! {
        () = token.cancelled() => return,
        ended = timeout(END_WAIT, journal.end(&ending)) => ended,
    };
    match (ended, &ending) {
        (Ok(Ok(())), Ending::Succeeded(_)) => {
            engine.metrics.run_ended(RunState::Succeeded);
            info!("the run has succeeded");
        }
        (Ok(Ok(())), Ending::Failed(reason)) => {
            engine.metrics.run_ended(RunState::Failed);
            engine.tell_soon();
            warn!(reason, "the run has failed");
        }
        (Ok(Err(error)), _) => error!(%error, "the run's end could not be journalled"),
        (Err(_), _) => error!("PostgreSQL stayed away; the run is taken up when it is back"),
    }
}
