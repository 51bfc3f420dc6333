//! Changes as a stream.

use std::{collections::HashMap, time::Duration};

use alina_proto::{
    Service,
    memory::v1::{
        ChangeKind, FactInput, RememberRequest, RestoreRequest, RetractRequest, WatchRequest,
        WatchResponse,
    },
    time::timestamp,
};
use alina_testkit::Suite;
use tonic::{Code, Streaming};

use crate::{Memory, episode, fact, memory, remember};

async fn watch(memory: &Memory, after_sequence: u64, until_now: bool) -> Streaming<WatchResponse> {
    let request = WatchRequest { namespace: String::new(), after_sequence, until_now };
    memory.clone().watch(request).await.expect("it is watched").into_inner()
}

async fn next(stream: &mut Streaming<WatchResponse>) -> WatchResponse {
    let change = tokio::time::timeout(Duration::from_secs(10), stream.message());
    change.await.expect("in time").expect("no error").expect("a change")
}

async fn all(memory: &Memory, after: u64) -> Vec<WatchResponse> {
    let mut stream = watch(memory, after, true).await;
    let mut changes = Vec::new();
    while let Some(change) = stream.message().await.unwrap() {
        changes.push(change);
    }
    changes
}

#[tokio::test]
async fn changes_are_told_in_order_and_from_any_number_on() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    assert!(all(&memory, 0).await.is_empty());
    let mut live = watch(&memory, 0, false).await;

    let facts = vec![fact("Ana", "lives_in", "Berlin")];
    let home = remember(&memory, RememberRequest { facts, ..Default::default() }).await;
    let mut gym = fact("Ana", "trains_at", "Kreuzberg");
    gym.derived_from = home.fact_ids.clone();
    let gym = remember(&memory, RememberRequest { facts: vec![gym], ..Default::default() }).await;
    let id = home.fact_ids[0].clone();
    let retract = RetractRequest { id: id.clone(), ..RetractRequest::default() };
    memory.clone().retract(retract).await.unwrap();
    let restore = RestoreRequest { id: id.clone(), ..RestoreRequest::default() };
    memory.clone().restore(restore).await.unwrap();

    let told = all(&memory, 0).await;
    let of_facts: Vec<(ChangeKind, &str)> = told
        .iter()
        .filter(|change| change.item_kind == 2)
        .map(|change| (change.kind(), change.id.as_str()))
        .collect();
    let gym = gym.fact_ids[0].as_str();
    assert_eq!(
        of_facts,
        [
            (ChangeKind::Recorded, id.as_str()),
            (ChangeKind::Recorded, gym),
            (ChangeKind::Retracted, &id),
            (ChangeKind::Stale, gym),
            (ChangeKind::Restored, &id),
            (ChangeKind::Holding, gym),
        ]
    );
    for (number, change) in (1..).zip(&told) {
        assert_eq!(change.sequence, number);
        assert_eq!(&next(&mut live).await, change);
    }
    assert_eq!(all(&memory, 3).await, told[3..]);
    let error = memory
        .clone()
        .watch(WatchRequest { after_sequence: 1_000, ..WatchRequest::default() })
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::OutOfRange);
    assert_eq!(alina_client::reason(&error).as_deref(), Some("SEQUENCE_GONE"));
}

#[tokio::test]
async fn what_the_clock_does_is_told() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let soon = chrono::Utc::now() + chrono::TimeDelta::milliseconds(1_500);
    let ending = FactInput {
        valid_from: Some(timestamp(chrono::DateTime::UNIX_EPOCH)),
        valid_to: Some(timestamp(soon)),
        ..fact("Ana", "holds_pass", "Gold")
    };
    let beginning =
        FactInput { valid_from: Some(timestamp(soon)), ..fact("Bea", "holds_pass", "Gold") };
    let over = FactInput { derived_from_facts: vec![0], ..fact("Ana", "may_enter", "Lounge") };
    let begun = FactInput { derived_from_facts: vec![1], ..fact("Bea", "may_enter", "Lounge") };
    let facts = vec![ending, beginning, over, begun];
    let written = remember(&memory, RememberRequest { facts, ..Default::default() }).await;
    assert_eq!(written.stale_fact_ids, [written.fact_ids[3].clone()]);
    let known = all(&memory, 0).await.last().unwrap().sequence;
    let mut live = watch(&memory, known, false).await;
    let mut told = [next(&mut live).await, next(&mut live).await].map(|one| (one.kind(), one.id));
    told.sort();
    let [_, _, over, begun] = &written.fact_ids[..] else { panic!("{written:?}") };
    assert_eq!(told, [(ChangeKind::Stale, over.clone()), (ChangeKind::Holding, begun.clone())]);
    // Once.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(all(&memory, known).await.len(), 2);
    assert!(!suite.log(Service::Memory).contains("noted later"));
}

#[tokio::test]
async fn many_writers_leave_no_gap() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let mut live = watch(&memory, 0, false).await;
    let writers = (0..8).map(|writer| {
        let memory = memory.clone();
        tokio::spawn(async move {
            for number in 0..100 {
                remember(&memory, episode(&format!("note {number} of {writer}"))).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let mut seen: HashMap<String, u64> = HashMap::new();
    for number in 1..=800 {
        let change = next(&mut live).await;
        assert_eq!(change.sequence, number);
        assert!(seen.insert(change.id, number).is_none());
    }
    // More than a page behind.
    assert_eq!(all(&memory, 100).await.len(), 700);
}

#[tokio::test]
async fn what_is_not_kept_any_more_is_told() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    for number in 0..5 {
        remember(&memory, episode(&format!("note {number}"))).await;
    }
    let drop = "DELETE FROM memory.changes WHERE sequence <= 3";
    sqlx::query(drop).execute(&suite.db().pool().await).await.unwrap();
    assert_eq!(all(&memory, 0).await.len(), 2, "all that are kept");
    assert_eq!(all(&memory, 3).await.len(), 2);
    let request = WatchRequest { after_sequence: 2, until_now: true, ..WatchRequest::default() };
    let error = memory.clone().watch(request).await.unwrap_err();
    assert_eq!(alina_client::reason(&error).as_deref(), Some("SEQUENCE_GONE"));
}

#[tokio::test]
async fn watchers_are_bounded_and_their_places_become_free() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(watch(&memory, 0, false).await);
    }
    let error = memory.clone().watch(WatchRequest::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert_eq!(alina_client::reason(&error).as_deref(), Some("TOO_MANY_WATCHERS"));
    streams.clear();
    for _ in 0..50 {
        if memory.clone().watch(WatchRequest::default()).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no place became free");
}
