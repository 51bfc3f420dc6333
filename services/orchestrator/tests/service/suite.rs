//! The real memory and the real inference-gateway with its small model.

use alina_proto::{
    Service,
    memory::v1::{ListActionsRequest, SearchRequest},
    orchestrator::v1::{AskRequest, EventKind, RunState, StepState, ask_response},
};
use alina_testkit::Suite;

use crate::world::{ended, follow, start, steps, until};

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
    assert_eq!(found.iter().filter(|result| result.source == source).count(), 1, "{found:?}");

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
