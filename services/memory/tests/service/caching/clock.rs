//! Answers of now change with the clock, and databases are set back in time.

use std::time::{Duration, SystemTime};

use alina_proto::{
    Service,
    memory::v1::{FactInput, GetEntityRequest, RememberRequest, ReviseRequest},
};
use alina_testkit::Suite;
use prost_types::Timestamp;
use sqlx::Executor;

use crate::{Memory, fact, memory, remember};

async fn is_stale(memory: &mut Memory, known_at: Option<Timestamp>) -> bool {
    let name = "Ana".to_owned();
    let request = GetEntityRequest { name, known_at, ..GetEntityRequest::default() };
    let facts = memory.get_entity(request).await.unwrap().into_inner().facts;
    facts.iter().find(|fact| fact.predicate == "trains_at").expect("the fact").stale
}

/// A home of Ana's until `valid_to`, and a gym that rests on it.
async fn lives(memory: &Memory, valid_to: SystemTime) -> String {
    let began = Some((valid_to - Duration::from_secs(3_600)).into());
    let mut home = fact("Ana", "lives_in", "Berlin");
    (home.valid_from, home.valid_to) = (began, Some(valid_to.into()));
    let gym = FactInput {
        valid_from: began,
        derived_from_facts: vec![0],
        functional: true,
        ..fact("Ana", "trains_at", "Kreuzberg")
    };
    let request = RememberRequest { facts: vec![home, gym], ..RememberRequest::default() };
    remember(memory, request).await.fact_ids.swap_remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_by_the_clock_is_ended_in_the_very_next_read() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    for _ in 0..10 {
        let end = SystemTime::now() + Duration::from_millis(400);
        lives(&memory, end).await;
        let readers = (0..8).map(|_| {
            let mut memory = memory.clone();
            tokio::spawn(async move {
                let mut reads = 0;
                loop {
                    let begun = SystemTime::now();
                    let stale = is_stale(&mut memory, None).await;
                    assert!(
                        stale || begun < end,
                        "{:?} later it was not stale",
                        begun.duration_since(end)
                    );
                    reads += 1;
                    if begun > end + Duration::from_millis(100) {
                        return reads;
                    }
                }
            })
        });
        for reader in readers.collect::<Vec<_>>() {
            assert!(reader.await.unwrap() > 0);
        }
    }
}

#[tokio::test]
async fn what_was_believed_once_ends_by_the_clock_too() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let mut memory = memory(&suite.connector());
    let end = SystemTime::now() + Duration::from_secs(4);
    let home = lives(&memory, end).await;
    let known_at = Some(SystemTime::now().into());
    let request = ReviseRequest { id: home, ..ReviseRequest::default() };
    memory.revise(request).await.unwrap();
    assert!(!is_stale(&mut memory, known_at).await);
    tokio::time::sleep(end.duration_since(SystemTime::now()).unwrap_or_default()).await;
    assert!(is_stale(&mut memory, known_at).await, "it was believed to end, and now is after");
    assert!(!is_stale(&mut memory, None).await);
}

#[tokio::test]
async fn a_database_that_was_set_back_in_time_meets_no_answer_of_its_other_future() {
    let mut suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let owns = async |thing: &str| {
        let facts = vec![fact("Ana", "owns", thing)];
        remember(&memory, RememberRequest { facts, ..RememberRequest::default() }).await;
        // The version moves once more when its words are counted.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let name = "Ana".to_owned();
        let request = GetEntityRequest { name, ..GetEntityRequest::default() };
        let facts = memory.clone().get_entity(request).await.unwrap().into_inner().facts;
        facts.into_iter().map(|fact| fact.object).collect()
    };
    let first: Vec<String> = owns("a boat").await;
    assert_eq!(first, ["a boat"]);
    let database = suite.db().pool().await;
    let kept = "SET search_path = memory, public; CREATE SCHEMA kept;
        CREATE TABLE kept.namespaces AS TABLE namespaces; CREATE TABLE kept.items AS TABLE items";
    database.execute(sqlx::raw_sql(kept)).await.unwrap();
    let mut second: Vec<String> = owns("a car").await;
    second.sort();
    assert_eq!(second, ["a boat", "a car"]);
    let version = async || -> i64 {
        let version = sqlx::query_scalar("SELECT max(version) FROM memory.namespaces");
        version.fetch_one(&database).await.unwrap()
    };
    let before = version().await;
    suite.kill(Service::Memory).await;
    let restored = "SET search_path = memory, public;
        UPDATE namespaces SET version = kept.version FROM kept.namespaces AS kept
         WHERE kept.name = namespaces.name;
        DELETE FROM facts WHERE id NOT IN (SELECT id FROM kept.items);
        DELETE FROM items WHERE id NOT IN (SELECT id FROM kept.items)";
    database.execute(sqlx::raw_sql(restored)).await.unwrap();
    suite.restart(Service::Memory).await;
    let mut other: Vec<String> = owns("a dog").await;
    other.sort();
    assert_eq!(other, ["a boat", "a dog"]);
    assert!(
        version().await > before + 1_000,
        "versions go on from the time, not from where they were"
    );
}
