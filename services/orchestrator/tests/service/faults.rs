//! Crashes and outages: nothing is lost, nothing is done twice.

use std::time::Duration;

use alina_proto::{
    Service,
    orchestrator::v1::{EventKind, GetRunRequest, RunState, StepState},
};
use tonic::Code;

use crate::{
    fakes::listen,
    world::{World, ended, follow, kinds, start, steps, until},
};

#[tokio::test]
async fn a_killed_orchestrator_goes_on_where_its_journal_ends() {
    let mut world = World::new().await;
    world.inference.set(|script| script.pause = Duration::from_millis(25));
    let client = world.client();
    let run = start(&client, "Tell of trams").await;
    for done in [1, 4, 8] {
        let client = world.client();
        until("progress", async || {
            let steps = steps(&client, &run).await;
            steps.iter().filter(|step| step.state() == StepState::Done).count() >= done
        })
        .await;
        world.suite.kill(Service::Orchestrator).await;
        world.suite.restart(Service::Orchestrator).await;
    }
    let client = world.client();
    let ended = ended(&client, &run, RunState::Succeeded).await;
    assert_eq!(ended.answer, "the supervisor says that trams are yellow");

    let journal = steps(&client, &run).await;
    assert!(journal.iter().all(|step| step.state() == StepState::Done), "{journal:?}");
    let mut keys: Vec<_> = journal.iter().map(|step| step.key.as_str()).collect();
    keys.sort_unstable();
    let expected = [
        "answer",
        "plan",
        "recall",
        "remember/goal",
        "remember/log",
        "remember/task-1",
        "remember/task-2",
        "task-1",
        "task-1/answer",
        "task-1/turn-1/decide",
        "task-1/turn-1/tool",
        "task-1/turn-2/decide",
        "task-2",
        "task-2/answer",
    ];
    assert_eq!(keys, expected);
    assert_eq!(world.written_by(&run).len(), 5);
    let kinds = kinds(&follow(&client, &run, 0, false).await);
    let count = |kind| kinds.iter().filter(|other| **other == kind).count();
    assert_eq!(count(EventKind::Resumed), 3);
    for once in [EventKind::Recalled, EventKind::Planned, EventKind::ToolCalled] {
        assert_eq!(count(once), 1, "{once:?}");
    }
    assert_eq!(count(EventKind::TaskFinished), 2);
}

#[tokio::test]
async fn several_runs_survive_kills_at_any_moment() {
    let mut world = World::new().await;
    world.inference.set(|script| script.pause = Duration::from_millis(30));
    let mut runs = Vec::new();
    for number in 0..4 {
        runs.push(start(&world.client(), &format!("Goal {number}")).await);
    }
    for _ in 0..4 {
        let moment = rand::random_range(100..1_500);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        world.suite.kill(Service::Orchestrator).await;
        world.suite.restart(Service::Orchestrator).await;
    }
    let client = world.client();
    for run in &runs {
        ended(&client, run, RunState::Succeeded).await;
        let journal = steps(&client, run).await;
        assert_eq!(journal.len(), 14);
        assert!(journal.iter().all(|step| step.state() == StepState::Done), "{journal:?}");
        // The memory would have refused a repetition with other content, and the step failed.
        assert_eq!(world.written_by(run).len(), 5);
        let kinds = kinds(&follow(&client, run, 0, false).await);
        let ends = kinds.iter().filter(|kind| **kind == EventKind::RunSucceeded).count();
        let tasks = kinds.iter().filter(|kind| **kind == EventKind::TaskFinished).count();
        assert_eq!((ends, tasks), (1, 2), "{kinds:?}");
    }
}

#[tokio::test]
async fn a_crash_between_a_side_effect_and_its_entry_repeats_it_under_the_same_key() {
    let mut world = World::new().await;
    world.memory.answer_after(Duration::from_secs(30));
    let client = world.client();
    let run = start(&client, "Tell of trams").await;
    let key = format!("{run}/task-1/turn-1/tool");
    until("the note", async || world.memory.written().contains_key(&key)).await;
    world.suite.kill(Service::Orchestrator).await;
    world.memory.answer_after(Duration::ZERO);
    world.suite.restart(Service::Orchestrator).await;
    let client = world.client();
    ended(&client, &run, RunState::Succeeded).await;
    // The memory refuses a key with other content: both times it was the same.
    assert_eq!(world.memory.written()[&key].times, 2);
    let journal = steps(&client, &run).await;
    let tool = journal.iter().find(|step| step.key == "task-1/turn-1/tool").unwrap();
    assert_eq!((tool.attempts, tool.state()), (2, StepState::Done));
    assert_eq!(tool.output_json, r#"{"result":"remembered"}"#);
}

#[tokio::test]
async fn a_run_waits_for_models_that_are_away() {
    let mut world = World::new().await;
    world.inference_serving = None;
    let client = world.client();
    let run = start(&client, "Tell of trams").await;
    let following = {
        let (client, run) = (client.clone(), run.clone());
        tokio::spawn(async move { follow(&client, &run, 0, false).await })
    };
    until("WAITING", async || {
        let request = GetRunRequest { run_id: run.clone() };
        let run = client.clone().get_run(request).await.unwrap().into_inner().run.unwrap();
        run.last_sequence >= 3
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let listener = listen(Some(world.inference_address)).await;
    world.inference_serving = Some(world.inference.serve(listener));
    let events = following.await.unwrap();
    let kinds = kinds(&events);
    use EventKind::{Planned, Recalled, RunStarted, RunSucceeded, Waiting};
    assert_eq!(kinds[..4], [RunStarted, Recalled, Waiting, Planned]);
    assert_eq!(kinds.last(), Some(&RunSucceeded));
    assert_eq!(kinds.iter().filter(|kind| **kind == Waiting).count(), 1);
    assert!(events[2].text.starts_with("waiting for inference-gateway: "), "{}", events[2].text);
}

#[tokio::test]
async fn a_run_waits_for_postgres_and_loses_nothing() {
    let mut world = World::with(alina_testkit::SuiteBuilder::own_postgres).await;
    world.inference.set(|script| script.pause = Duration::from_millis(30));
    let client = world.client();
    let run = start(&client, "Tell of trams").await;
    until("an agent", async || world.inference.chats().len() >= 2).await;
    world.suite.kill_postgres().await;

    let request = GetRunRequest { run_id: run.clone() };
    let error = client.clone().get_run(request).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert_eq!(alina_client::reason(&error).as_deref(), Some("STORE_UNAVAILABLE"));
    assert!(alina_client::retry_after(&error).is_some());
    tokio::time::sleep(Duration::from_secs(1)).await;

    world.suite.restart_postgres().await;
    until("PostgreSQL", async || {
        let request = GetRunRequest { run_id: run.clone() };
        client.clone().get_run(request).await.is_ok()
    })
    .await;
    ended(&client, &run, RunState::Succeeded).await;
    let kinds = kinds(&follow(&client, &run, 0, false).await);
    let count = |kind| kinds.iter().filter(|other| **other == kind).count();
    // Two agents are at work, and one or both were held up.
    assert!((1..=2).contains(&count(EventKind::Waiting)), "{kinds:?}");
    assert_eq!(count(EventKind::TaskFinished), 2);
    let journal = steps(&client, &run).await;
    assert!(journal.iter().all(|step| step.state() == StepState::Done), "{journal:?}");
}
