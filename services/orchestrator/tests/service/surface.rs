//! The gRPC surface: keys, names, pages, alerts, instructions, questions.

use std::time::Duration;

use alina_proto::{
    Service,
    orchestrator::v1::{
        Alert, AlertSeverity, AskRequest, CancelRunRequest, EventKind, FollowRunRequest,
        GetRunRequest, ListAgentsRequest, ListAlertsRequest, ListOutputsRequest, ListRunsRequest,
        ListToolsRequest, RaiseAlertRequest, RunState, SetInstructionsRequest, StartRunRequest,
        ask_response,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Code, Status};

use crate::world::{World, ended, follow, kinds, start, until};

fn refusal(error: &Status) -> (Code, String) {
    (error.code(), alina_client::reason(error).unwrap_or_default())
}

#[tokio::test]
async fn a_key_starts_one_run() {
    let world = World::new().await;
    let mut client = world.client();
    let request = StartRunRequest {
        goal: "Tell of trams".to_owned(),
        idempotency_key: "monday".to_owned(),
        ..Default::default()
    };
    let first = client.start_run(request.clone()).await.unwrap().into_inner();
    let second = client.start_run(request.clone()).await.unwrap().into_inner();
    assert!(!first.repeated_request && second.repeated_request);
    assert_eq!(first.run.unwrap().id, second.run.unwrap().id);
    let other = StartRunRequest { goal: "Tell of boats".to_owned(), ..request };
    let error = client.start_run(other).await.unwrap_err();
    assert_eq!(refusal(&error), (Code::AlreadyExists, "KEY_REUSED".to_owned()));
}

#[tokio::test]
async fn what_is_unknown_or_wrong_is_said() {
    let world = World::new().await;
    let mut client = world.client();
    let request = StartRunRequest {
        goal: "Tell".to_owned(),
        agents: vec!["writter".to_owned()],
        ..Default::default()
    };
    let error = client.start_run(request).await.unwrap_err();
    assert_eq!(refusal(&error), (Code::NotFound, "UNKNOWN_AGENT".to_owned()));
    assert!(error.message().contains("did you mean `writer`?"), "{error}");

    let error = client.start_run(StartRunRequest::default()).await.unwrap_err();
    assert_eq!(refusal(&error), (Code::InvalidArgument, "INVALID_REQUEST".to_owned()));
    let run_id = "01890000-0000-7000-8000-000000000000".to_owned();
    let error = client.get_run(GetRunRequest { run_id: run_id.clone() }).await.unwrap_err();
    assert_eq!(refusal(&error), (Code::NotFound, "RUN_NOT_FOUND".to_owned()));
    let request = FollowRunRequest { run_id, ..Default::default() };
    let error = client.follow_run(request).await.unwrap_err();
    assert_eq!(refusal(&error), (Code::NotFound, "RUN_NOT_FOUND".to_owned()));
    let error = client.get_run(GetRunRequest { run_id: "7".to_owned() }).await.unwrap_err();
    assert_eq!(refusal(&error), (Code::InvalidArgument, "INVALID_REQUEST".to_owned()));

    let run = start(&client, "Tell of trams").await;
    ended(&client, &run, RunState::Succeeded).await;
    let error = client.cancel_run(CancelRunRequest { run_id: run }).await.unwrap_err();
    assert_eq!(refusal(&error), (Code::FailedPrecondition, "RUN_FINISHED".to_owned()));
}

#[tokio::test]
async fn only_so_many_runs_wait_and_lists_page() {
    let world = World::with(|builder| {
        builder
            .set("orchestrator.max_active_runs", serde_json::json!(1))
            .set("orchestrator.max_queued_runs", serde_json::json!(2))
    })
    .await;
    world.inference.set(|script| script.pause = Duration::from_secs(600));
    let mut client = world.client();
    let mut runs = vec![start(&client, "Goal 0").await];
    until("work", async || !world.inference.chats().is_empty()).await;
    for number in 1..3 {
        runs.push(start(&client, &format!("Goal {number}")).await);
    }
    let request = StartRunRequest { goal: "Goal 3".to_owned(), ..Default::default() };
    let error = client.start_run(request).await.unwrap_err();
    assert_eq!(refusal(&error), (Code::ResourceExhausted, "TOO_MANY_RUNS".to_owned()));
    assert!(alina_client::retry_after(&error).is_some());

    let mut listed = Vec::new();
    let mut request = ListRunsRequest { page_size: 2, page_token: String::new() };
    loop {
        let page = client.list_runs(request.clone()).await.unwrap().into_inner();
        listed.extend(page.runs.into_iter().map(|run| run.id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    runs.reverse();
    assert_eq!(listed, runs);
    // A run that waits is cancelled like any other.
    let request = CancelRunRequest { run_id: runs[0].clone() };
    client.cancel_run(request).await.unwrap();
    let kinds = kinds(&follow(&client, &runs[0], 0, false).await);
    assert_eq!(kinds, [EventKind::RunStarted, EventKind::RunCancelled]);
}

#[tokio::test]
async fn an_alert_is_kept_once_and_told_to_open_runs() {
    let world = World::new().await;
    let mut client = world.client();
    let before = start(&client, "Tell of trams").await;
    ended(&client, &before, RunState::Succeeded).await;
    world.inference.set(|script| script.pause = Duration::from_secs(600));
    let run = start(&client, "Tell of boats").await;
    let alert = |key: &str, name: &str| RaiseAlertRequest {
        idempotency_key: key.to_owned(),
        alert: Some(Alert {
            source: "trading".to_owned(),
            name: name.to_owned(),
            severity: AlertSeverity::Critical.into(),
            summary: "the loss limit is reached".to_owned(),
            details_json: r#"{"loss":"-120.50"}"#.to_owned(),
            ..Default::default()
        }),
    };
    let first = client.raise_alert(alert("a", "pnl_loss_limit")).await.unwrap().into_inner();
    let again = client.raise_alert(alert("a", "pnl_loss_limit")).await.unwrap().into_inner();
    assert_eq!(first.alert_id, again.alert_id);
    client.raise_alert(alert("b", "second")).await.unwrap();

    client.cancel_run(CancelRunRequest { run_id: run.clone() }).await.unwrap();
    let events = follow(&client, &run, 0, false).await;
    let told: Vec<serde_json::Value> = events
        .iter()
        .filter(|event| event.kind() == EventKind::Alert)
        .map(|event| serde_json::from_str(&event.data_json).unwrap())
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(
        (&told[0]["name"], &told[0]["details"]["loss"]),
        (&serde_json::json!("pnl_loss_limit"), &serde_json::json!("-120.50"))
    );
    let untold = kinds(&follow(&client, &before, 0, false).await);
    assert!(!untold.contains(&EventKind::Alert), "that run had ended");

    let request = ListAlertsRequest { page_size: 1, page_token: String::new() };
    let newest = client.list_alerts(request).await.unwrap().into_inner();
    assert_eq!(newest.alerts[0].name, "second");
    let request = ListAlertsRequest { page_size: 1, page_token: newest.next_page_token };
    let oldest = client.list_alerts(request).await.unwrap().into_inner();
    assert_eq!(oldest.alerts[0].id, first.alert_id);
    assert_eq!(oldest.alerts[0].severity(), AlertSeverity::Critical);
    assert_eq!(oldest.next_page_token, "");
}

#[tokio::test]
async fn instructions_that_were_set_hold_from_the_next_step_on() {
    let world = World::new().await;
    world.inference.set(|script| script.plan = String::new());
    let mut client = world.client();
    let set = |instructions: &str, version: &str| SetInstructionsRequest {
        agent: "writer".to_owned(),
        instructions: instructions.to_owned(),
        version: version.to_owned(),
    };
    let agent = client.set_instructions(set("Write in rhymes.", "v2")).await.unwrap();
    assert_eq!(agent.into_inner().agent.unwrap().instructions_version, "v2");
    let run = start(&client, "Tell of trams").await;
    ended(&client, &run, RunState::Succeeded).await;
    let chats = world.inference.chats();
    let of_writer = chats.iter().find(|chat| chat.agent == "writer").unwrap();
    assert_eq!(of_writer.messages[0].content, "Write in rhymes.");
    let outputs = client.list_outputs(ListOutputsRequest::default()).await.unwrap().into_inner();
    assert_eq!(outputs.outputs[0].instructions_version, "v2");

    client.set_instructions(set("", "")).await.unwrap();
    let agents = client.list_agents(ListAgentsRequest {}).await.unwrap().into_inner().agents;
    let writer = agents.iter().find(|agent| agent.name == "writer").unwrap();
    assert_eq!(
        (writer.instructions.as_str(), writer.instructions_version.as_str(), writer.running),
        ("Write.", "config", 0)
    );
    let error = client.set_instructions(set("Write well.", "config")).await.unwrap_err();
    assert_eq!(refusal(&error), (Code::InvalidArgument, "INVALID_REQUEST".to_owned()));
}

#[tokio::test]
async fn tools_are_listed_with_their_schemas() {
    let world = World::new().await;
    let tools = world.client().list_tools(ListToolsRequest {}).await.unwrap().into_inner().tools;
    let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
    let expected = ["calculator", "clock", "memory_remember", "memory_search", "search_documents"];
    assert_eq!(names, expected);
    for tool in &tools {
        let schema: serde_json::Value = serde_json::from_str(&tool.arguments_schema).unwrap();
        assert_eq!(schema["type"], "object");
        assert_eq!(tool.has_side_effect, tool.name == "memory_remember");
    }
}

#[tokio::test]
async fn a_question_is_answered_out_of_memory() {
    let world = World::new().await;
    let request = AskRequest { question: "What did we like?".to_owned(), ..Default::default() };
    let mut stream = world.client().ask(request).await.unwrap().into_inner();
    let mut events = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        events.push(response.event.unwrap());
    }
    let ask_response::Event::Context(context) = &events[0] else { panic!("{events:?}") };
    assert_eq!(context.context, "[1] 2026-05-01: we liked the trams");
    let [citation] = &context.citations[..] else { panic!("{context:?}") };
    assert_eq!((citation.label.as_str(), citation.source.as_str()), ("[1]", "run:earlier"));
    let answer = "ask says that trams are yellow";
    assert_eq!(events.last(), Some(&ask_response::Event::Answer(answer.to_owned())));
    let deltas: String = events
        .iter()
        .filter_map(|event| match event {
            ask_response::Event::Delta(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(deltas, answer);
    let [chat] = &world.inference.chats()[..] else { panic!() };
    assert!(chat.messages[1].content.contains("we liked the trams"));
}

#[tokio::test]
async fn metrics_tell_what_runs_do() {
    let world = World::new().await;
    let client = world.client();
    let run = start(&client, "Tell of trams").await;
    ended(&client, &run, RunState::Succeeded).await;
    let metrics = scrape(&world.suite.metrics_url(Service::Orchestrator)).await;
    for line in [
        "alina_orchestrator_runs_ended_total{state=\"succeeded\"} 1",
        "alina_orchestrator_steps_total{kind=\"tool\",state=\"done\"} 1",
        "alina_orchestrator_steps_total{kind=\"task\",state=\"done\"} 2",
        "alina_orchestrator_step_seconds_count{kind=\"answer\"} 1",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line}: {metrics}");
    }
}

/// Plain HTTP/1.0: one page needs no client.
async fn scrape(url: &str) -> String {
    let address = url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}
