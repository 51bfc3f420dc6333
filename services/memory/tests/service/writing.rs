//! What is written, and what is refused.

use alina_proto::{
    Service,
    memory::v1::{
        BankDocument, ExportBankRequest, GetEntityRequest, GetStatsRequest, ImportBankRequest,
        ListActionsRequest, LogActionRequest, RememberRequest, SearchRequest,
    },
};
use alina_testkit::Suite;
use prost_types::Timestamp;
use serde_json::json;
use tonic::Code;

use crate::{episode, fact, memory, remember, search};

fn day(day: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: 1_700_000_000 + day * 86_400, nanos: 0 })
}

#[tokio::test]
async fn a_key_writes_once_and_only_one_thing() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let mut request = episode("We fly to Lisbon on Friday");
    request.idempotency_key = "run-1/step-1".to_owned();
    request.facts = vec![fact("Ana", "lives_in", "Porto")];

    let first = remember(&memory, request.clone()).await;
    let again = remember(&memory, request.clone()).await;
    assert!(!first.repeated_request && again.repeated_request);
    assert_eq!((&first.episode_id, &first.fact_ids), (&again.episode_id, &again.fact_ids));
    assert_eq!(search(&memory, "Lisbon").await.len(), 1);

    request.facts.clear();
    let error = memory.clone().remember(request).await.unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists);
    assert_eq!(alina_client::reason(&error).as_deref(), Some("KEY_REUSED"));
}

#[tokio::test]
async fn the_same_key_at_the_same_time_writes_once() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let tries = (0..8).map(|_| {
        let memory = memory.clone();
        async move {
            let mut request = episode("written once");
            request.idempotency_key = "same".to_owned();
            remember(&memory, request).await.episode_id
        }
    });
    let mut ids = Vec::new();
    for id in tries.map(tokio::spawn).collect::<Vec<_>>() {
        ids.push(id.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn writers_of_the_same_entities_do_not_wait_in_a_circle() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let writers = (0..8).map(|writer| {
        let memory = memory.clone();
        let mut facts: Vec<_> =
            (0..60).map(|number| fact(&format!("entity {number}"), "is", "known")).collect();
        if writer % 2 == 1 {
            facts.reverse();
        }
        let request = RememberRequest { facts, ..RememberRequest::default() };
        tokio::spawn(async move { remember(&memory, request).await.fact_ids.len() })
    });
    for writer in writers.collect::<Vec<_>>() {
        assert_eq!(writer.await.unwrap(), 60);
    }
    let stats = memory.clone().get_stats(GetStatsRequest::default()).await.unwrap();
    assert_eq!(stats.into_inner().entities, 60);
}

#[tokio::test]
async fn a_functional_fact_ends_the_one_before_and_the_past_can_be_asked() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    for (city, from) in [("Berlin", 0), ("Porto", 10)] {
        let mut lives = fact("Ana", "lives_in", city);
        lives.functional = true;
        lives.valid_from = day(from);
        lives.object_is_entity = true;
        // That it ends some day does not keep it from ending the one before.
        lives.valid_to = (city == "Porto").then(|| day(10_000)).flatten();
        let request = RememberRequest { facts: vec![lives], ..RememberRequest::default() };
        remember(&memory, request).await;
    }
    let ask = async |as_of| {
        let request =
            SearchRequest { query: "where does Ana live".to_owned(), as_of, ..Default::default() };
        let results = memory.clone().search(request).await.unwrap().into_inner().results;
        results.into_iter().map(|result| result.text).collect::<Vec<_>>()
    };
    let now = ask(None).await;
    assert!(now.contains(&"Ana lives in Porto".to_owned()), "{now:?}");
    assert!(!now.contains(&"Ana lives in Berlin".to_owned()), "{now:?}");
    let then = ask(day(5)).await;
    assert!(then.contains(&"Ana lives in Berlin".to_owned()), "{then:?}");
    assert!(!then.contains(&"Ana lives in Porto".to_owned()), "{then:?}");

    let ana = GetEntityRequest { name: "ana".to_owned(), ..GetEntityRequest::default() };
    let ana = memory.clone().get_entity(ana).await.unwrap().into_inner();
    assert_eq!(ana.facts.len(), 2, "history is kept");
    let stranger = GetEntityRequest { name: "Bea".to_owned(), ..GetEntityRequest::default() };
    assert_eq!(memory.clone().get_entity(stranger).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn bad_input_is_told_by_field_and_nothing_is_written() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let mut late = fact("a", "b", "c");
    (late.valid_from, late.valid_to) = (day(2), day(1));
    let cases = [
        (RememberRequest::default(), "episode"),
        (episode(""), "episode.text"),
        (episode("a\0b"), "episode.text"),
        (episode(&"x".repeat(65_537)), "episode.text"),
        (RememberRequest { namespace: "a b".to_owned(), ..episode("x") }, "namespace"),
        (RememberRequest { facts: vec![fact("", "b", "c")], ..episode("x") }, "facts[0].subject"),
        (RememberRequest { facts: vec![late], ..episode("x") }, "facts[0].valid_to"),
    ];
    for (request, field) in cases {
        let error = memory.clone().remember(request).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().starts_with(field), "{field}: {}", error.message());
    }
    let stats = memory.clone().get_stats(GetStatsRequest::default()).await.unwrap();
    assert_eq!(stats.into_inner().episodes, 0);
}

#[tokio::test]
async fn the_log_is_paged_filtered_and_idempotent() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    for number in 0..5 {
        let request = LogActionRequest {
            idempotency_key: format!("key-{number}"),
            actor: "agent:planner".to_owned(),
            action: "run.finished".to_owned(),
            summary: format!("run {number}"),
            details_json: json!({ "number": number }).to_string(),
            run_id: format!("run-{}", number % 2),
            ..LogActionRequest::default()
        };
        for _ in 0..2 {
            memory.clone().log_action(request.clone()).await.unwrap();
        }
    }
    let mut summaries = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListActionsRequest { page_size: 2, page_token, ..Default::default() };
        let page = memory.clone().list_actions(request).await.unwrap().into_inner();
        summaries.extend(page.actions.into_iter().map(|action| action.summary));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(summaries, ["run 4", "run 3", "run 2", "run 1", "run 0"]);
    let request = ListActionsRequest { run_id: "run-1".to_owned(), ..Default::default() };
    let of_run = memory.clone().list_actions(request).await.unwrap().into_inner().actions;
    assert_eq!(of_run.len(), 2);
    assert_eq!(of_run[0].details_json, json!({ "number": 3 }).to_string());
}

#[tokio::test]
async fn a_bank_comes_back_as_it_went_in_and_imports_are_minimal() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let import = async |content: &str| {
        let documents =
            vec![BankDocument { path: "brief.md".to_owned(), content: content.to_owned() }];
        let request = ImportBankRequest { documents, ..ImportBankRequest::default() };
        let done = memory.clone().import_bank(request).await.unwrap().into_inner();
        (done.sections_added, done.sections_changed, done.sections_removed, done.sections_unchanged)
    };
    let first = "# Brief\nAgents at home.\n\n## Goals\nBe durable.\n";
    let second = "# Brief\nAgents at home.\n\n## Goals\nBe durable and quick.\n\n## Later\nMore.\n";
    assert_eq!(import(first).await, (2, 0, 0, 0));
    assert_eq!(import(first).await, (0, 0, 0, 2));
    assert_eq!(import(second).await, (1, 1, 0, 1));
    assert_eq!(import("# Brief\nAgents at home.\n").await, (0, 0, 2, 1));
    assert_eq!(import(second).await, (2, 0, 0, 1));

    assert_eq!(search(&memory, "durable").await[0].source, "brief.md");
    remember(&memory, episode("The first run finished")).await;
    let exported = memory.clone().export_bank(ExportBankRequest::default()).await.unwrap();
    let documents = exported.into_inner().documents;
    assert_eq!(documents[0].content, second);
    assert_eq!(documents[1].path, "learned.md");
    assert!(documents[1].content.contains("The first run finished"));
}
