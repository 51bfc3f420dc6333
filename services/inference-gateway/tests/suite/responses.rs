//! Answers kept in Redis.

use std::time::Duration;

use alina_proto::inference::v1::{ChatRequest, ChatResponse, Sampling};
use alina_testkit::redis;
use serde_json::json;

use crate::support::{Client, ask, chat, gateway};

fn at(temperature: f32, content: &str) -> ChatRequest {
    let sampling = Sampling { temperature: Some(temperature), ..Sampling::default() };
    ChatRequest { sampling: Some(sampling), top_logprobs: Some(1), max_tokens: 8, ..ask(content) }
}

/// It is kept in the background, and Redis is left alone for a moment after it was away.
async fn from_cache(client: &Client, request: &ChatRequest) -> ChatResponse {
    for _ in 0..100 {
        let answer = chat(client, request.clone()).await.unwrap();
        if answer.backend == "cache" {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the answer is not kept");
}

#[tokio::test]
async fn the_same_request_is_answered_by_the_same_and_a_lost_redis_does_no_harm() {
    let mut redis = redis().await;
    let suite = gateway()
        .set("redis.url", json!(redis.url()))
        .set("inference_gateway.response_cache_seconds", json!(600))
        .start()
        .await;
    let client = suite.connector().inference();
    let request = at(0.0, "Say hello.");
    let first = chat(&client, request.clone()).await.unwrap();
    assert_eq!(first.backend, "embedded");
    let again = from_cache(&client, &request).await;
    assert_eq!((&again.content, &again.model), (&first.content, &first.model));
    assert_eq!(again.logprobs, first.logprobs);
    assert_eq!(again.finish_reason, first.finish_reason);
    let tokens = |answer: &ChatResponse| {
        let usage = answer.usage.as_ref().unwrap();
        (usage.prompt_tokens, usage.completion_tokens)
    };
    assert_eq!(tokens(&again), tokens(&first));
    // A dot more is another request, and so is whatever may turn out otherwise.
    assert_eq!(chat(&client, at(0.0, "Say hello..")).await.unwrap().backend, "embedded");
    for _ in 0..2 {
        assert_eq!(chat(&client, at(0.5, "Say hello.")).await.unwrap().backend, "embedded");
    }
    let metrics = reqwest::get(suite.metrics_url(alina_proto::Service::InferenceGateway)).await;
    let metrics = metrics.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"response_cache_total{result="hit"}"#), "{metrics}");

    redis.kill().await;
    assert_eq!(chat(&client, request.clone()).await.unwrap().backend, "embedded");
    redis.restart().await;
    from_cache(&client, &request).await;
}
