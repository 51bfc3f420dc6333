//! Runs from goal to answer.

use alina_proto::orchestrator::v1::{
    CancelRunRequest, EventKind, ListOutputsRequest, ResumeRunRequest, RunState, StepKind,
    StepState,
};
use std::time::Duration;

use crate::world::{World, ended, follow, get, kinds, start, steps, until};

#[tokio::test]
async fn a_goal_is_planned_worked_on_answered_and_remembered() {
    let world = World::new().await;
    let client = world.client();
    let run = start(&client, "Tell of trams").await;
    let events = follow(&client, &run, 0, true).await;

    let kinds = kinds(&events);
    assert_eq!(kinds[..3], [EventKind::RunStarted, EventKind::Recalled, EventKind::Planned]);
    assert_eq!(kinds.last(), Some(&EventKind::RunSucceeded));
    let count = |kind| kinds.iter().filter(|other| **other == kind).count();
    assert_eq!((count(EventKind::TaskStarted), count(EventKind::TaskFinished)), (2, 2));
    assert_eq!((count(EventKind::ToolCalled), count(EventKind::ToolReturned)), (1, 1));
    let of = |kind| events.iter().find(|event| event.kind() == kind).unwrap();
    assert_eq!(of(EventKind::Recalled).text, "[1] 2026-05-01: we liked the trams");
    let plan: serde_json::Value = serde_json::from_str(&of(EventKind::Planned).data_json).unwrap();
    assert_eq!(plan["tasks"][1]["agent"], "writer");
    assert_eq!(plan["tasks"][1]["id"], "task-2");
    assert_eq!(of(EventKind::ToolReturned).agent, "scribe");

    let answer = "the supervisor says that trams are yellow";
    assert_eq!(events.last().unwrap().text, answer);
    let deltas: String = events
        .iter()
        .filter(|event| event.kind() == EventKind::Delta && event.step_key == "answer")
        .map(|event| {
            assert_eq!(event.sequence, 0);
            event.text.as_str()
        })
        .collect();
    assert_eq!(deltas, answer);

    let ended = get(&client, &run).await;
    assert_eq!((ended.state(), ended.answer.as_str()), (RunState::Succeeded, answer));
    let journal = steps(&client, &run).await;
    assert_eq!(ended.steps as usize, journal.len());
    for (index, step) in journal.iter().enumerate() {
        assert_eq!((step.position, step.state()), (index as u64 + 1, StepState::Done), "{step:?}");
        assert!(!step.output_json.is_empty() && step.finished_at.is_some());
    }
    let tool = journal.iter().find(|step| step.kind() == StepKind::Tool).unwrap();
    assert_eq!((tool.key.as_str(), tool.agent.as_str()), ("task-1/turn-1/tool", "scribe"));

    let expected = [
        "remember/goal",
        "remember/log",
        "remember/task-1",
        "remember/task-2",
        "task-1/turn-1/tool",
    ];
    assert_eq!(world.written_by(&run), expected);
    let goal = &world.memory.written()[&format!("{run}/remember/goal")].content;
    for part in ["Tell of trams", answer, "planned", "Note the trams", &format!("run:{run}")] {
        assert!(goal.contains(part), "{part}: {goal}");
    }
}

#[tokio::test]
async fn a_follower_gets_exactly_the_rest() {
    let world = World::new().await;
    let client = world.client();
    let run = start(&client, "Tell of trams").await;
    let live = follow(&client, &run, 0, false).await;
    assert!(live.iter().all(|event| event.kind() != EventKind::Delta));
    let past = follow(&client, &run, 0, true).await;
    assert_eq!(live, past, "an event looks the same live and past, and deltas are not kept");
    for after in [1, 4, live.len() as u64] {
        let rest = follow(&client, &run, after, false).await;
        assert_eq!(rest, live[after as usize..]);
    }
}

#[tokio::test]
async fn a_goal_that_is_one_task_is_routed() {
    let world = World::new().await;
    world.inference.set(|script| {
        script.plan = r#"{"tasks":[{"agent":"scribe","task":"..."}]}"#.to_owned();
    });
    let client = world.client();
    let run = start(&client, "Tell of trams").await;
    let ended = ended(&client, &run, RunState::Succeeded).await;
    assert_eq!(ended.answer, "writer says that trams are yellow");
    let keys: Vec<_> = steps(&client, &run).await.into_iter().map(|step| step.key).collect();
    let expected = [
        "recall",
        "plan",
        "route",
        "task-1",
        "task-1/answer",
        "answer",
        "remember/goal",
        "remember/log",
    ];
    assert_eq!(keys, expected);

    let request = ListOutputsRequest::default();
    let outputs = client.clone().list_outputs(request).await.unwrap().into_inner();
    let [output] = &outputs.outputs[..] else { panic!("{outputs:?}") };
    assert_eq!((output.agent.as_str(), output.input.as_str()), ("writer", "Tell of trams"));
    assert_eq!((output.output.as_str(), output.model.as_str()), (&*ended.answer, "scripted"));
    assert_eq!((output.run_id.as_str(), output.instructions_version.as_str()), (&*run, "config"));
    let request = ListOutputsRequest { after_cursor: outputs.next_cursor.clone(), limit: 0 };
    let rest = client.clone().list_outputs(request).await.unwrap().into_inner();
    assert_eq!((rest.outputs.len(), rest.next_cursor), (0, outputs.next_cursor));
}

#[tokio::test]
async fn what_a_model_gets_wrong_is_told_to_it() {
    let world = World::new().await;
    world.inference.set(|script| {
        script.plan = "not JSON".to_owned();
        script.route = r#"{"agent":"analyst"}"#.to_owned();
        script.decide = |chat| {
            let told = &chat.messages[1].content;
            if !told.contains("no tool `telescope`; there are calculator, clock") {
                return r#"{"action":"telescope","arguments":{"at":"moon"}}"#.to_owned();
            }
            r#"{"action":"calculator","arguments":{"expression":"6 * 7"}}"#.to_owned()
        };
        script.answer = |chat| {
            let told = &chat.messages[1].content;
            let result = told.split_once("Result of calculator: ").map(|(_, rest)| rest);
            format!("it is {}", result.and_then(|rest| rest.lines().next()).unwrap_or("unknown"))
        };
    });
    let client = world.client();
    let run = start(&client, "What is 6 times 7?").await;
    let ended = ended(&client, &run, RunState::Succeeded).await;
    assert_eq!(ended.answer, "it is 42");
    // The calculator is asked for twice, and the repetition ends the turns.
    let calls = steps(&client, &run).await;
    let calls: Vec<_> = calls.iter().filter(|step| step.kind() == StepKind::Tool).collect();
    assert_eq!(calls.len(), 2);
    assert!(calls[0].output_json.contains("no tool `telescope`"));
}

#[tokio::test]
async fn cancelling_stops_the_models_and_resuming_goes_on() {
    let world = World::new().await;
    let client = world.client();
    world.inference.set(|script| script.pause = Duration::from_secs(600));
    let run = start(&client, "Tell of trams").await;
    until("a model call", async || !world.inference.chats().is_empty()).await;
    let request = CancelRunRequest { run_id: run.clone() };
    let cancelled = client.clone().cancel_run(request.clone()).await.unwrap().into_inner();
    assert_eq!(cancelled.run.unwrap().state(), RunState::Cancelled);
    // In the plan's call, and in no other.
    until("the end of the call", async || world.inference.broken_off() == 1).await;
    let events = follow(&client, &run, 0, false).await;
    assert_eq!(events.last().unwrap().kind(), EventKind::RunCancelled);
    // Cancelling again changes nothing.
    client.clone().cancel_run(request).await.unwrap();

    world.inference.set(|script| script.pause = Duration::ZERO);
    let request = ResumeRunRequest { run_id: run.clone() };
    let resumed = client.clone().resume_run(request.clone()).await.unwrap().into_inner();
    assert_eq!(resumed.run.unwrap().state(), RunState::Queued);
    let rest = follow(&client, &run, events.len() as u64, false).await;
    let kinds = kinds(&rest);
    assert_eq!(kinds[..2], [EventKind::Resumed, EventKind::Planned]);
    assert_eq!(kinds.last(), Some(&EventKind::RunSucceeded));
    let journal = steps(&client, &run).await;
    assert!(journal.iter().all(|step| step.state() == StepState::Done), "{journal:?}");
    let plan = journal.iter().find(|step| step.key == "plan").unwrap();
    assert_eq!(plan.attempts, 2);
    let error = client.clone().resume_run(request).await.unwrap_err();
    assert_eq!(alina_client::reason(&error).as_deref(), Some("RUN_FINISHED"));
}

#[tokio::test]
async fn a_failed_task_is_named_and_the_rest_counts() {
    let world = World::new().await;
    world.inference.set(|script| {
        script.answer = |chat| match chat.agent.as_str() {
            "writer" => String::new(),
            agent => format!("{agent} is fine"),
        };
    });
    let client = world.client();
    let run = start(&client, "Tell of trams").await;
    let ended = ended(&client, &run, RunState::Succeeded).await;
    assert!(ended.answer.starts_with("scribe is fine"), "{}", ended.answer);
    assert!(ended.answer.contains("Not done:\n- task-2 (writer): "), "{}", ended.answer);
    let journal = steps(&client, &run).await;
    let failed = journal.iter().find(|step| step.key == "task-2/answer").unwrap();
    assert_eq!((failed.state(), failed.attempts), (StepState::Failed, 3));
    assert_eq!(failed.error, "the model gave an empty answer");
}

#[tokio::test]
async fn a_run_whose_tasks_all_fail_can_be_resumed() {
    let world = World::new().await;
    world.inference.set(|script| script.answer = |_| String::new());
    let client = world.client();
    let run = start(&client, "Tell of trams").await;
    let failed = ended(&client, &run, RunState::Failed).await;
    assert!(failed.error.starts_with("every task failed; task-1 (scribe): "), "{}", failed.error);

    world.inference.set(|script| script.answer = |chat| format!("{} answers", chat.agent));
    let request = ResumeRunRequest { run_id: run.clone() };
    client.clone().resume_run(request).await.unwrap();
    let ended = ended(&client, &run, RunState::Succeeded).await;
    assert_eq!(ended.answer, "the supervisor answers");
    // What had been done was not done again.
    let tool = format!("{run}/task-1/turn-1/tool");
    assert_eq!(world.memory.written()[&tool].times, 1);
}

#[tokio::test]
async fn five_runs_at_once_all_finish_and_share_the_places() {
    let world =
        World::with(|builder| builder.set("machine.parallel_agents", serde_json::json!(3))).await;
    world.inference.set(|script| script.pause = Duration::from_millis(20));
    let client = world.client();
    let mut runs = Vec::new();
    for number in 0..5 {
        runs.push(start(&client, &format!("Goal {number}")).await);
    }
    for run in &runs {
        ended(&client, run, RunState::Succeeded).await;
    }
    assert_eq!(world.inference.peak(), 3);
}

#[tokio::test]
async fn the_log_is_told_in_order_what_happens_to_a_run() {
    let world = World::new().await;
    let client = world.client();
    let told = |run: &str| {
        let prefix = format!("told/{run}/");
        let written = world.memory.written();
        let mut told: Vec<(u64, String)> = written
            .iter()
            .filter_map(|(key, written)| {
                let action = written.content.split(' ').next()?.to_owned();
                Some((key.strip_prefix(&prefix)?.parse().ok()?, action))
            })
            .collect();
        told.sort_unstable();
        told.into_iter().map(|(_, action)| action).collect::<Vec<_>>()
    };
    world.inference.set(|script| script.pause = Duration::from_secs(600));
    let run = start(&client, "Tell of trams").await;
    until("a model call", async || !world.inference.chats().is_empty()).await;
    let request = CancelRunRequest { run_id: run.clone() };
    client.clone().cancel_run(request).await.unwrap();
    until("the log", async || told(&run) == ["run.started", "run.cancelled"]).await;
    world.inference.set(|script| script.pause = Duration::ZERO);
    client.clone().resume_run(ResumeRunRequest { run_id: run.clone() }).await.unwrap();
    ended(&client, &run, RunState::Succeeded).await;
    // That it finished is written after all that.
    assert_eq!(told(&run), ["run.started", "run.cancelled", "run.resumed"]);
    assert!(world.memory.written().contains_key(&format!("{run}/remember/log")));

    world.inference.set(|script| script.answer = |_| String::new());
    let run = start(&client, "Tell of ferries").await;
    ended(&client, &run, RunState::Failed).await;
    until("the log", async || told(&run) == ["run.started", "run.failed"]).await;
}
