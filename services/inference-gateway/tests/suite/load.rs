//! Many at once.

use std::time::{Duration, Instant};

use alina_client::deadline;
use alina_proto::{
    Service,
    inference::v1::{ChatStreamRequest, FinishReason},
};
use futures::{StreamExt, future::join_all};
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{ask, assert_refused, chat, gateway, load, long, wait_for};

#[tokio::test]
async fn of_eight_at_once_never_more_than_four_decode_and_all_are_answered() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let requests = (0..8).map(|n| chat(&client, long(&format!("agent-{}", n % 3), 24)));
    let watch = async {
        let mut seen = Vec::new();
        loop {
            let now = load(&client).await;
            let finished: u64 = now.agents.iter().map(|agent| agent.finished).sum();
            seen.push(now);
            if finished == 8 {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (answers, seen) = tokio::join!(join_all(requests), watch);
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!(answer.finish_reason(), FinishReason::Length);
        assert_eq!(answer.usage.unwrap().completion_tokens, 24);
    }
    assert!(seen.iter().all(|load| load.running <= 4));
    assert!(seen.iter().any(|load| load.running == 4 && load.waiting > 0), "they did share it");
    let last = load(&client).await;
    assert_eq!((last.running, last.waiting, last.peak_running), (0, 0, 4));
    assert_eq!((last.max_running, last.max_waiting), (4, 64));
    let agents: Vec<_> =
        last.agents.iter().map(|a| (a.agent.as_str(), a.finished, a.completion_tokens)).collect();
    assert_eq!(agents, [("agent-0", 3, 72), ("agent-1", 3, 72), ("agent-2", 2, 48)]);
}

#[tokio::test]
async fn past_the_bound_requests_are_refused_with_when_to_come_back() {
    let suite = gateway()
        .set("inference_gateway.max_running", json!(1))
        .set("inference_gateway.max_waiting", json!(2))
        .start()
        .await;
    let client = suite.connector().inference();
    let kept: Vec<_> = (0..3)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { chat(&client, long("greedy", 200)).await })
        })
        .collect();
    wait_for(&client, |load| load.running == 1 && load.waiting == 2).await;
    let status = chat(&client, ask("Hello")).await.unwrap_err();
    let retry = status.get_details_retry_info().expect("when to come back").retry_delay.unwrap();
    assert!(retry >= Duration::from_millis(100) && retry <= Duration::from_secs(30));
    assert_refused::<()>(Err(status), Code::ResourceExhausted, "QUEUE_FULL");
    // Who stops waiting leaves the queue.
    kept[1].abort();
    kept[2].abort();
    wait_for(&client, |load| load.waiting == 0).await;
    assert!(chat(&client, ask("Hello")).await.is_ok());
    for task in kept {
        let _ = task.await;
    }
    wait_for(&client, |load| load.running == 0).await;
}

#[tokio::test]
async fn a_cancelled_answer_frees_its_place_at_once() {
    let suite = gateway().set("inference_gateway.max_running", json!(1)).start().await;
    let client = suite.connector().inference();
    let request = ChatStreamRequest { chat: Some(long("gone", 3_000)) };
    let mut events = client.clone().chat_stream(request).await.unwrap().into_inner();
    events.next().await.unwrap().unwrap();
    assert_eq!(load(&client).await.running, 1);
    drop(events);
    let begun = Instant::now();
    wait_for(&client, |load| load.running == 0).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    chat(&client, ask("Hello")).await.unwrap();
    let gone = load(&client).await.agents.into_iter().find(|agent| agent.agent == "gone").unwrap();
    assert_eq!(gone.finished, 1);
    assert!(gone.completion_tokens < 2_000, "it went on: {gone:?}");
}

#[tokio::test]
async fn a_callers_deadline_ends_the_work() {
    let suite = gateway().set("inference_gateway.max_running", json!(1)).start().await;
    let client = suite.connector().inference();
    chat(&client, ask("Hello")).await.unwrap();
    let late = deadline::within(Duration::from_millis(600), chat(&client, long("late", 3_000)));
    late.await.unwrap_err();
    wait_for(&client, |load| load.running == 0).await;
}

#[tokio::test]
async fn a_newcomer_is_not_kept_waiting_by_a_busy_agent() {
    let suite = gateway().set("inference_gateway.max_running", json!(1)).start().await;
    let client = suite.connector().inference();
    let busy: Vec<_> = (0..12)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { chat(&client, long("busy", 60)).await })
        })
        .collect();
    wait_for(&client, |load| load.waiting == 11).await;
    chat(&client, long("newcomer", 8)).await.unwrap();
    let now = load(&client).await;
    let done = now.agents.iter().find(|agent| agent.agent == "busy").unwrap().finished;
    // A turn is three of these requests; in a plain queue all twelve came first.
    assert!(done <= 6, "{now:?}");
    for task in busy {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_long_prompt_does_not_stall_others() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    chat(&client, ask("Hello")).await.unwrap();
    let request = ChatStreamRequest { chat: Some(long("talker", 120)) };
    let mut events = client.clone().chat_stream(request).await.unwrap().into_inner();
    events.next().await.unwrap().unwrap();
    let reader = {
        let client = client.clone();
        let prompt = ask("word ".repeat(2_000));
        tokio::spawn(async move {
            let begun = Instant::now();
            chat(&client, prompt).await.unwrap();
            begun.elapsed()
        })
    };
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    while let Some(event) = events.next().await {
        event.unwrap();
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    let read = reader.await.unwrap();
    assert!(longest < read / 2, "silent for {longest:?} while a prompt was read in {read:?}");
}

#[tokio::test]
async fn what_was_used_is_kept_by_the_hour() {
    let mut suite = gateway().start().await;
    let client = suite.connector().inference();
    let answer = chat(
        &client,
        alina_proto::inference::v1::ChatRequest { agent: "accountant".to_owned(), ..ask("Hello") },
    );
    let usage = answer.await.unwrap().usage.unwrap();
    let pool = suite.db().pool().await;
    let begun = Instant::now();
    let row = loop {
        let row = sqlx::query_as::<_, (String, i64, i64, i64)>(
            "select model, chats, prompt_tokens, completion_tokens from inference.usage \
             where agent = 'accountant'",
        );
        match row.fetch_optional(&pool).await {
            Ok(Some(row)) => break row,
            _ => assert!(begun.elapsed() < Duration::from_secs(30), "it is not kept"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let expected = (usage.prompt_tokens.into(), usage.completion_tokens.into());
    assert_eq!(row, ("SmolLM2-135M-Instruct-Q4_1".to_owned(), 1, expected.0, expected.1));
    suite.kill(Service::InferenceGateway).await;
}
