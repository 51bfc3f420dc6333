//! The real memory, and the real inference-gateway with its small model.

use alina_proto::{
    Service,
    memory::v1::{ItemKind, ListActionsRequest, SearchRequest, SearchResult},
    orchestrator::v1::{AskRequest, EventKind, RunState, StepState, ask_response},
};
use alina_testkit::Suite;

use crate::{
    fakes::{FakeInference, listen},
    world::{ended, follow, start, steps, until},
};

#[tokio::test]
async fn memory_has_what_a_run_learned_once_whatever_was_killed() {
    let inference = FakeInference::default();
    inference.set(|script| script.pause = std::time::Duration::from_millis(40));
    let listener = listen(None).await;
    let url = format!("http://{}", listener.local_addr().unwrap());
    let _serving = inference.serve(listener);
    let mut suite = Suite::builder()
        .service(Service::Memory)
        .service(Service::Orchestrator)
        .at(Service::InferenceGateway, url)
        .set(
            "orchestrator.agents",
            serde_json::json!([
                {"name": "scribe", "description": "notes things", "instructions": "Note.",
                 "tools": ["memory_remember"]},
                {"name": "writer", "description": "writes", "instructions": "Write."},
            ]),
        )
        .start()
        .await;
    let client = suite.connector().orchestrator();
    let run = start(&client, "Tell of trams").await;
    until("the note", async || {
        steps(&client, &run).await.iter().any(|one| one.key.ends_with("tool"))
    })
    .await;
    suite.kill(Service::Memory).await;
    suite.kill(Service::Orchestrator).await;
    suite.restart(Service::Orchestrator).await;
    suite.restart(Service::Memory).await;

    let client = suite.connector().orchestrator();
    ended(&client, &run, RunState::Succeeded).await;
    let journal = steps(&client, &run).await;
    assert!(journal.iter().all(|step| step.state() == StepState::Done), "{journal:?}");
    let mut memory = suite.connector().memory();
    let request =
        SearchRequest { query: "trams yellow".to_owned(), limit: 100, ..Default::default() };
    let found = memory.search(request).await.unwrap().into_inner().results;
    let mut sources: Vec<_> = found
        .iter()
        .filter(|result| result.kind() == ItemKind::Episode)
        .map(|result| result.source.replace(&run, "RUN"))
        .collect();
    sources.sort_unstable();
    let expected = ["run:RUN", "run:RUN/task-1", "run:RUN/task-1/turn-1/tool", "run:RUN/task-2"];
    assert_eq!(sources, expected);
    let request = ListActionsRequest { run_id: run.clone(), ..Default::default() };
    let actions = memory.list_actions(request).await.unwrap().into_inner().actions;
    assert_eq!(actions.iter().filter(|one| one.action == "run.finished").count(), 1);
}

#[tokio::test]
async fn a_real_model_answers_a_goal_across_a_crash_and_memory_keeps_it() {
    let mut suite = Suite::builder()
        .service(Service::Memory)
        .service(Service::InferenceGateway)
        .service(Service::Orchestrator)
        .set("orchestrator.max_answer_tokens", serde_json::json!(48))
        .start()
        .await;
    let client = suite.connector().orchestrator();
    let goal = "Plan a weekend in Lisbon for two and list what to pack";
    let run = start(&client, goal).await;
    until("a plan", async || steps(&client, &run).await.len() > 3).await;
    suite.kill(Service::Orchestrator).await;
    suite.restart(Service::Orchestrator).await;

    let client = suite.connector().orchestrator();
    let events = follow(&client, &run, 0, false).await;
    assert_eq!(events.last().unwrap().kind(), EventKind::RunSucceeded, "{events:?}");
    assert!(events.iter().any(|event| event.kind() == EventKind::Resumed));
    let ended = ended(&client, &run, RunState::Succeeded).await;
    assert!(!ended.answer.is_empty());
    let journal = steps(&client, &run).await;
    assert!(journal.iter().all(|step| step.state() == StepState::Done), "{journal:?}");

    let mut memory = suite.connector().memory();
    let request = ListActionsRequest { run_id: run.clone(), ..Default::default() };
    let actions = memory.list_actions(request).await.unwrap().into_inner().actions;
    let finished: Vec<_> =
        actions.iter().filter(|action| action.action == "run.finished").collect();
    assert_eq!(finished.len(), 1);
    let request = SearchRequest { query: "weekend in Lisbon".to_owned(), ..Default::default() };
    let found = memory.search(request).await.unwrap().into_inner().results;
    let source = format!("run:{run}");
    // Facts are as many as the model made tasks; the episode of goal and answer is one.
    let episode =
        |result: &&SearchResult| result.kind() == ItemKind::Episode && result.source == source;
    assert_eq!(found.iter().filter(episode).count(), 1, "{found:?}");

    let request =
        AskRequest { question: "What did we plan for Lisbon?".to_owned(), ..Default::default() };
    let mut stream = suite.connector().orchestrator().ask(request).await.unwrap().into_inner();
    let Some(ask_response::Event::Context(context)) =
        stream.message().await.unwrap().unwrap().event
    else {
        panic!("the context comes first")
    };
    assert!(context.context.contains("Lisbon"), "{context:?}");
    assert!(context.citations.iter().any(|citation| citation.source.contains(&run)));
    let mut answer = None;
    while let Some(response) = stream.message().await.unwrap() {
        if let Some(ask_response::Event::Answer(text)) = response.event {
            answer = Some(text);
        }
    }
    assert!(answer.is_some_and(|text| !text.is_empty()));
}
