//! Whole-suite tests are in `tests/`; what they share is here.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use alina_client::Connector;
use alina_proto::orchestrator::v1::{
    Event, EventKind, FollowRunRequest, GetRunRequest, ListStepsRequest, Run, RunState,
    StartRunRequest, Step, StepState,
};
use futures::StreamExt;

/// How long a run with the small model may take on two busy CPUs.
pub const RUN_DEADLINE: Duration = Duration::from_secs(240);

/// Starts a run and gives its id.
///
/// # Panics
/// When the orchestrator refuses.
pub async fn start(connector: &Connector, goal: &str) -> String {
    let request = StartRunRequest {
        goal: goal.to_owned(),
        idempotency_key: format!("e2e-{goal}"),
        ..StartRunRequest::default()
    };
    let response = alina_client::retry(alina_client::Retry::default(), || async {
        connector.orchestrator().start_run(request.clone()).await
    });
    response.await.expect("the run starts").into_inner().run.expect("a run").id
}

/// Waits until the run has ended, through whatever happens to the suite.
///
/// # Panics
/// When it has not ended within [`RUN_DEADLINE`].
pub async fn wait_for_end(connector: &Connector, run_id: &str) -> Run {
    let begun = Instant::now();
    loop {
        let request = GetRunRequest { run_id: run_id.to_owned() };
        if let Ok(response) = connector.orchestrator().get_run(request).await {
            let run = response.into_inner().run.expect("a run");
            if !matches!(run.state(), RunState::Queued | RunState::Running) {
                return run;
            }
        }
        assert!(begun.elapsed() < RUN_DEADLINE, "run {run_id} did not end in time");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until the run's journal has at least `count` finished steps.
///
/// # Panics
/// When that takes longer than [`RUN_DEADLINE`].
pub async fn wait_for_steps(connector: &Connector, run_id: &str, count: usize) {
    let begun = Instant::now();
    while finished(&steps(connector, run_id).await) < count {
        assert!(begun.elapsed() < RUN_DEADLINE, "run {run_id} did not get to {count} steps");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn finished(steps: &[Step]) -> usize {
    steps.iter().filter(|step| step.state() == StepState::Done).count()
}

/// The run's journal; empty while the orchestrator is away.
pub async fn steps(connector: &Connector, run_id: &str) -> Vec<Step> {
    let request = ListStepsRequest { run_id: run_id.to_owned() };
    match connector.orchestrator().list_steps(request).await {
        Ok(response) => response.into_inner().steps,
        Err(_) => Vec::new(),
    }
}

/// Every event of an ended run.
///
/// # Panics
/// When the stream fails.
pub async fn events(connector: &Connector, run_id: &str) -> Vec<Event> {
    let request = FollowRunRequest { run_id: run_id.to_owned(), ..FollowRunRequest::default() };
    let stream = connector.orchestrator().follow_run(request).await.expect("the run is known");
    let events = stream.into_inner().map(|event| event.expect("an event").event.expect("an event"));
    tokio::time::timeout(Duration::from_secs(30), events.collect()).await.expect("the stream ends")
}

/// What must hold of every run that succeeded: an answer, a journal with each step once, events
/// numbered without gaps.
///
/// # Panics
/// When it does not.
pub async fn assert_sound(connector: &Connector, run: &Run) {
    assert_eq!(run.state(), RunState::Succeeded, "{}: {}", run.id, run.error);
    assert!(!run.answer.trim().is_empty(), "{} has an answer", run.id);

    let steps = steps(connector, &run.id).await;
    let mut by_key = BTreeMap::new();
    for step in &steps {
        *by_key.entry(step.key.as_str()).or_insert(0) += 1;
        assert_ne!(step.state(), StepState::Running, "{} was left running", step.key);
    }
    let repeated: Vec<_> = by_key.iter().filter(|(_, count)| **count > 1).collect();
    assert!(repeated.is_empty(), "steps journalled more than once: {repeated:?}");
    assert_eq!(u32::try_from(finished(&steps)).unwrap_or(u32::MAX), run.steps);

    let events = events(connector, &run.id).await;
    let numbers: Vec<_> = events.iter().map(|event| event.sequence).collect();
    let expected: Vec<_> = (1..=run.last_sequence).collect();
    assert_eq!(numbers, expected, "events are numbered without gaps");
    assert_eq!(events.last().map(Event::kind), Some(EventKind::RunSucceeded));
}
