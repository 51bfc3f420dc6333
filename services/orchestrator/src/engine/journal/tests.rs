//! Replay, over a real PostgreSQL.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::TimeDelta;
use prometheus_client::registry::Registry;
use sqlx::{PgPool, migrate::Migrator};

use super::*;
use crate::{
    peers::PeerError,
    run::{NewRun, RunState, now},
};

static MIGRATOR: Migrator = sqlx::migrate!();

const LEASE: Duration = Duration::from_secs(60);

async fn store(pool: &PgPool) -> Store {
    MIGRATOR.run(pool).await.unwrap();
    Store::new(pool.clone())
}

async fn queue(store: &Store) -> RunId {
    let new = NewRun {
        id: RunId::new(),
        goal: "the goal".to_owned(),
        namespace: "default".to_owned(),
        agents: Vec::new(),
        created_at: now(),
        deadline_at: now() + TimeDelta::minutes(5),
    };
    store.create_run(&new, None, 100).await.unwrap().0.id
}

/// The journal of a run as its next owner sees it.
async fn claim(store: &Store, lease: Duration) -> Journal {
    let owner = OwnerId::new();
    let claim = store.claim_run(owner, &[], lease).await.unwrap().unwrap();
    let metrics = Metrics::register(&mut Registry::default());
    Journal::new(store.clone(), Bus::default(), metrics, claim.run.id, owner, 3)
}

fn step(key: &str) -> NewStep {
    NewStep {
        key: key.to_owned(),
        kind: StepKind::Tool,
        agent: "writer".to_owned(),
        input: json!({ "for": key }),
        begins: Some(NewEvent::new(EventKind::ToolCalled, "tool")),
    }
}

fn returned(output: &Value) -> Effect {
    Effect::new(output.clone()).event(NewEvent::new(EventKind::ToolReturned, "result"))
}

async fn kinds(store: &Store, run: RunId) -> Vec<EventKind> {
    let events = store.events_after(run, 0, 1_000).await.unwrap().events;
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.sequence, index as u64 + 1, "sequences have no gaps");
    }
    events.into_iter().map(|event| event.what.kind).collect()
}

#[tokio::test]
async fn a_step_that_was_done_is_not_done_again() {
    let db = alina_testkit::postgres().await;
    let store = store(&db.pool().await).await;
    let run = queue(&store).await;
    let calls = &AtomicU32::new(0);
    let effect = |_| async move {
        let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(returned(&json!({ "call": call })))
    };

    let first = claim(&store, Duration::ZERO).await;
    let output = first.step(step("one"), effect).await.unwrap();
    // A lease of no time: the next owner takes the run over at once, as after a crash.
    let second = claim(&store, LEASE).await;
    assert_eq!(second.step(step("one"), effect).await.unwrap(), output);
    assert_eq!(second.step(step("two"), effect).await.unwrap(), json!({ "call": 2 }));

    let steps = store.steps(run).await.unwrap();
    let journalled: Vec<_> =
        steps.iter().map(|step| (step.key.as_str(), step.position, step.attempts)).collect();
    assert_eq!(journalled, [("one", 1, 1), ("two", 2, 1)]);
    use EventKind::{Resumed, RunStarted, ToolCalled, ToolReturned};
    let expected = [RunStarted, ToolCalled, ToolReturned, Resumed, ToolCalled, ToolReturned];
    assert_eq!(kinds(&store, run).await, expected);
}

#[tokio::test]
async fn a_step_that_was_begun_is_done_again_under_the_same_key() {
    let db = alina_testkit::postgres().await;
    let store = store(&db.pool().await).await;
    let run = queue(&store).await;
    let first = claim(&store, Duration::ZERO).await;
    // A crash between effect and entry: the step stays begun.
    let crashed = first.step(step("one"), |_| std::future::pending());
    tokio::time::timeout(Duration::from_millis(500), crashed).await.unwrap_err();
    let second = claim(&store, LEASE).await;
    assert_eq!(first.idempotency_key("one"), second.idempotency_key("one"));
    second.step(step("one"), |_| async { Ok(returned(&json!(1))) }).await.unwrap();

    let steps = store.steps(run).await.unwrap();
    assert_eq!((steps.len(), steps[0].attempts, steps[0].state), (1, 2, StepState::Done));
    use EventKind::{Resumed, RunStarted, ToolCalled, ToolReturned};
    assert_eq!(kinds(&store, run).await, [RunStarted, ToolCalled, Resumed, ToolReturned]);
}

#[tokio::test]
async fn an_owner_that_lost_its_lease_cannot_write() {
    let db = alina_testkit::postgres().await;
    let store = store(&db.pool().await).await;
    let run = queue(&store).await;
    let first = claim(&store, Duration::ZERO).await;
    let second = claim(&store, LEASE).await;
    let late = first.step(step("one"), |_| async { Ok(returned(&json!(1))) }).await;
    assert!(matches!(late, Err(Error::LeaseLost(lost)) if lost == run));
    assert!(matches!(first.end(&Ending::Failed(String::new())).await, Err(Error::LeaseLost(_))));
    second.end(&Ending::Succeeded("done".to_owned())).await.unwrap();
    let ended = store.run(run).await.unwrap();
    assert_eq!((ended.state, ended.answer.as_str()), (RunState::Succeeded, "done"));
}

#[tokio::test]
async fn what_failed_stays_failed_until_the_run_is_resumed() {
    let db = alina_testkit::postgres().await;
    let store = store(&db.pool().await).await;
    let run = queue(&store).await;
    let first = claim(&store, LEASE).await;
    let tries = &AtomicU32::new(0);
    let fails = |attempt| async move {
        tries.fetch_add(1, Ordering::Relaxed);
        assert_eq!(attempt, tries.load(Ordering::Relaxed));
        Err(Error::BadOutput("nothing"))
    };
    let error = first.step(step("one"), fails).await.unwrap_err();
    assert_eq!(error.to_string(), "one: the model gave nothing");
    assert_eq!(tries.load(Ordering::Relaxed), 3);
    let unwanted = |_| async { unreachable!("it has failed") };
    assert!(matches!(
        first.step(step("one"), unwanted).await,
        Err(Error::StepFailed { reason, .. }) if reason == "the model gave nothing"
    ));

    first.end(&Ending::Failed(error.to_string())).await.unwrap();
    let (resumed, _) = store.resume_run(run, now() + TimeDelta::minutes(5)).await.unwrap();
    assert_eq!((resumed.state, resumed.error.as_str()), (RunState::Queued, ""));
    let second = claim(&store, LEASE).await;
    second.step(step("one"), |_| async { Ok(returned(&json!(1))) }).await.unwrap();
    let steps = store.steps(run).await.unwrap();
    assert_eq!((steps[0].attempts, steps[0].state), (4, StepState::Done));
}

#[tokio::test]
async fn a_service_that_is_away_is_waited_for_and_told_of_once() {
    let db = alina_testkit::postgres().await;
    let store = store(&db.pool().await).await;
    let run = queue(&store).await;
    let journal = claim(&store, LEASE).await;
    let tries = &AtomicU32::new(0);
    let away_at_first = |attempt| async move {
        assert_eq!(attempt, 1, "waiting is no attempt");
        if tries.fetch_add(1, Ordering::Relaxed) < 4 {
            return Err(Error::Peer(PeerError {
                service: alina_proto::Service::Memory,
                code: tonic::Code::Unavailable,
                reason: String::new(),
                message: "gone".to_owned(),
            }));
        }
        Ok(returned(&json!(1)))
    };
    journal.step(step("one"), away_at_first).await.unwrap();
    use EventKind::{RunStarted, ToolCalled, ToolReturned, Waiting};
    assert_eq!(kinds(&store, run).await, [RunStarted, ToolCalled, Waiting, ToolReturned]);
    assert_eq!(store.steps(run).await.unwrap()[0].attempts, 1);
    assert!(journal.told.lock().unwrap().is_empty(), "the next outage is told again");
}
