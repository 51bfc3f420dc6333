//! Vectors are made in the background: whatever is killed, in the end everything has one.

use std::time::{Duration, Instant};

use alina_client::{Retry, retry};
use alina_proto::{
    Service,
    memory::v1::{RememberRequest, SearchRequest},
};
use alina_testkit::Suite;

use super::audit;
use crate::{Memory, episode, memory};

/// Several batches of the background's.
const WRITTEN: usize = 100;
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(90);

async fn remember(memory: &Memory, text: String) {
    let request = RememberRequest { idempotency_key: text.clone(), ..episode(&text) };
    let written = retry(Retry { max_tries: 20, ..Retry::default() }, || {
        let (mut memory, request) = (memory.clone(), request.clone());
        async move { memory.remember(request).await }
    });
    written.await.expect("it is written");
}

/// Items without a vector.
async fn left(suite: &Suite) -> i64 {
    let pool = suite.db().pool().await;
    let without = sqlx::query_scalar("SELECT count(*) FROM memory.items WHERE embedding IS NULL");
    let left = without.fetch_one(&pool).await.expect("PostgreSQL answers");
    pool.close().await;
    left
}

#[tokio::test]
async fn vectors_catch_up_whatever_was_killed() {
    let builder = Suite::builder().service(Service::Memory).service(Service::InferenceGateway);
    let mut suite = builder.own_postgres().start().await;
    let memory = memory(&suite.connector());
    remember(&memory, "The cat sleeps on the warm windowsill".to_owned()).await;
    suite.kill(Service::InferenceGateway).await;
    for number in 0..WRITTEN {
        remember(&memory, format!("Parcel {number} has arrived")).await;
    }
    assert!(left(&suite).await >= WRITTEN as i64, "the gateway is away");
    suite.restart(Service::InferenceGateway).await;
    for kill in ["the service", "PostgreSQL", "the gateway"] {
        let (before, begun) = (left(&suite).await, Instant::now());
        while left(&suite).await == before {
            assert!(begun.elapsed() < CAUGHT_UP_WITHIN, "before {kill} is killed nothing is made");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        match kill {
            "the service" => {
                suite.kill(Service::Memory).await;
                suite.restart(Service::Memory).await;
            }
            "PostgreSQL" => {
                suite.kill_postgres_with_children().await;
                suite.restart_postgres().await;
            }
            _ => {
                suite.kill(Service::InferenceGateway).await;
                suite.restart(Service::InferenceGateway).await;
            }
        }
        for number in 0..WRITTEN {
            remember(&memory, format!("After {kill} was killed parcel {number} arrived")).await;
        }
    }
    let begun = Instant::now();
    while left(&suite).await > 0 {
        assert!(begun.elapsed() < CAUGHT_UP_WITHIN, "items stay without vectors");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    audit::words(&suite.db().pool().await).await;
    let query = "feline napping in the sun".to_owned();
    let request = SearchRequest { query, limit: 1, ..SearchRequest::default() };
    let found = memory.clone().search(request).await.unwrap().into_inner().results;
    assert!(found[0].text.contains("cat"), "{found:?}");
}
