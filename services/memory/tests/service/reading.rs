//! What is found, with and without Redis, PostgreSQL and the embedding model.

use std::time::Duration;

use alina_proto::{
    Service,
    memory::v1::{
        BuildContextRequest, GetEntityRequest, GetStatsRequest, RememberRequest, SearchRequest,
    },
};
use alina_testkit::Suite;
use tonic::Code;

use crate::{Memory, episode, fact, memory, remember, search};

async fn wait_for_vectors(memory: &Memory) {
    for _ in 0..300 {
        let stats = memory.clone().get_stats(GetStatsRequest::default()).await.unwrap();
        if stats.into_inner().awaiting_vectors == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("items stay without vectors");
}

#[tokio::test]
async fn a_context_is_cited_and_within_its_budget() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let mut plan = episode("Plan: two days in Lisbon, tram 28, pack light clothes");
    if let Some(episode) = &mut plan.episode {
        episode.source = "run:42".to_owned();
        episode.session = "42".to_owned();
    }
    remember(&memory, plan).await;
    remember(&memory, episode("The gateway uses llama.cpp")).await;

    let request = BuildContextRequest {
        query: "what did we plan?".to_owned(),
        token_budget: 200,
        ..BuildContextRequest::default()
    };
    let context = memory.clone().build_context(request.clone()).await.unwrap().into_inner();
    assert!(context.context.starts_with("[1] "), "{}", context.context);
    assert!(context.context.contains("Lisbon") && context.tokens <= 200);
    let first = &context.citations[0];
    assert_eq!(first.label, "[1]");
    assert_eq!(first.item.as_ref().unwrap().source, "run:42");

    let without = BuildContextRequest { exclude_session: "42".to_owned(), ..request };
    let without = memory.clone().build_context(without).await.unwrap().into_inner();
    assert!(!without.context.contains("Lisbon"), "{}", without.context);
}

#[tokio::test]
async fn namespaces_do_not_see_each_other() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let secret = RememberRequest { namespace: "theirs".to_owned(), ..episode("the safe's code") };
    remember(&memory, secret).await;
    assert!(search(&memory, "safe code").await.is_empty());
    let theirs = SearchRequest {
        namespace: "theirs".to_owned(),
        query: "safe code".to_owned(),
        ..SearchRequest::default()
    };
    let found = memory.clone().search(theirs).await.unwrap().into_inner().results;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].reasons, ["text rank 1"]);
}

#[tokio::test]
async fn without_redis_everything_works_and_writes_are_never_hidden_by_it() {
    let mut suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let available = async || {
        let stats = memory.clone().get_stats(GetStatsRequest::default()).await.unwrap();
        stats.into_inner().cache_available
    };
    assert!(available().await);
    for number in 1..=3 {
        remember(&memory, episode(&format!("note {number} about boats"))).await;
        assert_eq!(search(&memory, "boats").await.len(), number);
    }
    suite.redis().unwrap().kill().await;
    assert!(!available().await);
    remember(&memory, episode("note 4 about boats")).await;
    assert_eq!(search(&memory, "boats").await.len(), 4);
    suite.redis().unwrap().restart().await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(available().await);
    assert_eq!(search(&memory, "boats").await.len(), 4);
}

#[tokio::test]
async fn a_killed_postgresql_is_told_and_recovered_from() {
    let mut suite = Suite::builder().service(Service::Memory).own_postgres().start().await;
    let memory = memory(&suite.connector());
    remember(&memory, episode("written before the crash")).await;
    suite.kill_postgres().await;
    let error = memory.clone().remember(episode("lost")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(alina_client::reason(&error).as_deref(), Some("STORE_UNAVAILABLE"));
    suite.restart_postgres().await;
    remember(&memory, episode("written after the crash")).await;
    let found = search(&memory, "crash").await;
    assert_eq!(found.len(), 2, "{found:?}");
}

#[tokio::test]
async fn vectors_catch_up_and_find_by_meaning() {
    let mut suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    remember(&memory, episode("The cat sleeps on the warm windowsill")).await;
    remember(&memory, episode("Interest rates were raised by the central bank")).await;
    let query = "feline napping in the sun";
    assert!(search(&memory, query).await.is_empty(), "no word in common, no vector yet");

    suite.restart(Service::InferenceGateway).await;
    wait_for_vectors(&memory).await;
    let request = SearchRequest { query: query.to_owned(), ..SearchRequest::default() };
    let answer = memory.clone().search(request).await.unwrap().into_inner();
    assert!(answer.vectors_used);
    assert!(answer.results[0].text.contains("cat"), "{:?}", answer.results);
    assert_eq!(answer.results[0].reasons, ["vector rank 1"]);
}

#[tokio::test]
async fn requests_that_are_given_up_leave_no_transaction_open() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    remember(
        &memory,
        RememberRequest { facts: vec![fact("Ana", "is", "here")], ..Default::default() },
    )
    .await;
    let pool = suite.db().pool().await;
    for round in 0..60 {
        let asks = (0..8).map(|number| {
            let mut memory = memory.clone();
            let patience = Duration::from_micros(300 + (round % 10) * 500 + number * 70);
            tokio::spawn(tokio::time::timeout(patience, async move {
                let known_at = Some(std::time::SystemTime::now().into());
                let name = "Ana".to_owned();
                // Not one that is answered from the cache.
                let request = GetEntityRequest { name, known_at, ..GetEntityRequest::default() };
                memory.get_entity(request).await.map(drop)
            }))
        });
        for ask in asks.collect::<Vec<_>>() {
            let _ = ask.await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND state LIKE 'idle in transaction%'
                AND state_change < clock_timestamp() - interval '40 milliseconds'",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        assert_eq!(open, 0, "in round {round}");
    }
}
