//! Names for several models: which is asked, and what happens when one is not well.

use std::time::Duration;

use alina_proto::{Service, inference::v1::ChatRequest};
use alina_testkit::Suite;
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    fake_openai::FakeOpenAi,
    http,
    openai::{impatient, of},
    support::{ask, assert_refused, chat, load, stream, user},
};

fn model(name: &str, server: &str, model: &str) -> Value {
    json!({ "name": name, "kind": "chat", "openai": { "server": server, "model": model } })
}

async fn start(urls: [&str; 2], models: Value, routes: Value) -> Suite {
    let servers = json!([{ "name": "one", "url": urls[0], "max_running": 2 },
                         { "name": "two", "url": urls[1], "max_running": 2 }]);
    impatient()
        .set("inference_gateway.openai", servers)
        .set("inference_gateway.models", models)
        .set("inference_gateway.routes", routes)
        .start()
        .await
}

async fn metric(suite: &Suite, name: &str) -> f64 {
    let metrics = reqwest::get(suite.metrics_url(Service::InferenceGateway)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let line = metrics.lines().find(|line| line.starts_with(name));
    line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn what_fails_before_its_first_token_is_answered_by_the_next() {
    let (_one, first) = FakeOpenAi::start("one").await;
    let (_two, second) = FakeOpenAi::start("two").await;
    let bad = ["hang", "early-reset", "busy", "broken", "html", "gone", "key"];
    let mut models = vec![model("well", "two", "good")];
    models.extend(bad.map(|bad| model(bad, "one", bad)));
    let routes: Value = bad
        .iter()
        .map(|bad| json!({ "name": format!("via-{bad}"), "models": [bad, "well"] }))
        .collect();
    let suite = start([&first, &second], json!(models), routes).await;
    let client = suite.connector().inference();
    for bad in bad {
        let (pieces, done) = stream(&client, of(&format!("via-{bad}"))).await;
        assert_eq!(pieces, ["Ol", "á, ", "two"], "{bad}");
        assert_eq!((done.model.as_str(), done.backend.as_str()), ("well", "two"), "{bad}");
        assert_eq!(load(&client).await.running, 0, "{bad}");
        // Served between them, so that it is not left alone.
        chat(&client, of("one/good")).await.unwrap();
    }
    let failed = "alina_inference_failovers_total{backend=\"one\",reason=\"BACKEND_FAILED\"}";
    assert!(metric(&suite, failed).await >= 3.0);
}

#[tokio::test]
async fn what_fails_later_or_by_the_callers_fault_is_not() {
    let (_one, first) = FakeOpenAi::start("one").await;
    let (two, second) = FakeOpenAi::start("two").await;
    let models = json!([
        model("cut", "one", "cut"),
        model("picky", "one", "picky"),
        model("well", "two", "good")
    ]);
    let routes = json!([{ "name": "a", "models": ["cut", "well"] },
                        { "name": "b", "models": ["picky", "well"] }]);
    let suite = start([&first, &second], models, routes).await;
    let client = suite.connector().inference();
    let says = assert_refused(chat(&client, of("a")).await, Code::Unavailable, "BACKEND_FAILED");
    assert!(says.contains("`one`"), "{says}");
    assert_refused(chat(&client, of("b")).await, Code::InvalidArgument, "INVALID_REQUEST");
    assert!(two.asked().is_empty());
}

#[tokio::test]
async fn the_embedded_model_answers_when_servers_cannot() {
    let models = json!([
        model("far", "one", "good"),
        { "name": "near", "kind": "chat", "path": "SmolLM2-135M-Instruct.Q4_1.gguf" },
    ]);
    let routes = json!([{ "name": "default", "models": ["far", "near"] }]);
    let away = "http://127.0.0.1:1/v1";
    let suite = start([away, away], models, routes).await;
    let client = suite.connector().inference();
    for _ in 0..4 {
        let done = chat(&client, ask("Hello")).await.unwrap();
        assert_eq!((done.model.as_str(), done.backend.as_str()), ("near", "embedded"));
    }
    let says =
        assert_refused(chat(&client, of("far")).await, Code::Unavailable, "MODEL_UNAVAILABLE");
    assert!(says.contains("127.0.0.1:1") && says.contains("`one`"), "{says}");
    // What the server's interface has no word for, the next can do.
    let (_one, first) = FakeOpenAi::start("one").await;
    let models = json!([
        model("far", "one", "good"),
        { "name": "near", "kind": "chat", "path": "SmolLM2-135M-Instruct.Q4_1.gguf" },
    ]);
    let routes = json!([{ "name": "default", "models": ["far", "near"] }]);
    let suite = start([&first, &first], models, routes).await;
    let request = ChatRequest { choice: vec!["yes".to_owned(), "no".to_owned()], ..ask("Well?") };
    let done = chat(&suite.connector().inference(), request).await.unwrap();
    assert_eq!(done.backend, "embedded");
    let body = json!({ "model": "default", "messages": [{ "role": "user", "content": "Hello" }] });
    let answer = http::given(&suite, "/v1/chat/completions", body).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "Olá, one");
}

#[tokio::test]
async fn a_server_that_fails_is_left_alone_and_found_again() {
    let (one, first) = FakeOpenAi::start("one").await;
    let (_two, second) = FakeOpenAi::start("two").await;
    let models = json!([model("a", "one", "good"), model("b", "two", "good")]);
    let routes = json!([{ "name": "default", "models": ["a", "b"] }]);
    let suite = start([&first, &second], models, routes).await;
    let client = suite.connector().inference();
    assert_eq!(chat(&client, ask("x")).await.unwrap().backend, "one");
    let up = "alina_inference_backend_up{backend=\"one\"}";
    assert_eq!(metric(&suite, up).await, 1.0);
    one.be_silent(true);
    for _ in 0..3 {
        assert_eq!(chat(&client, ask("x")).await.unwrap().backend, "two");
    }
    assert_eq!(metric(&suite, up).await, 0.0);
    // It costs nobody time now.
    let begun = std::time::Instant::now();
    assert_eq!(chat(&client, ask("x")).await.unwrap().backend, "two");
    assert!(begun.elapsed() < Duration::from_millis(700), "{:?}", begun.elapsed());
    one.be_silent(false);
    for _ in 0..600 {
        if chat(&client, ask("x")).await.unwrap().backend == "one" {
            assert_eq!(metric(&suite, up).await, 1.0);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is not found again");
}

#[tokio::test]
async fn the_least_loaded_is_asked_and_conversations_stay() {
    let (_one, first) = FakeOpenAi::start("one").await;
    let (_two, second) = FakeOpenAi::start("two").await;
    let models =
        json!([model("a", "one", "good"), model("b", "two", "good"), model("busy", "one", "hang")]);
    let routes = json!([{ "name": "any", "models": ["a", "b"], "choose": "least_loaded" }]);
    let suite = start([&first, &second], models, routes).await;
    let client = suite.connector().inference();
    let says =
        |text: &str| ChatRequest { model: "any".to_owned(), messages: vec![user(text)], ..ask("") };
    // While one has something to do, the other is asked.
    let (hangs, done) = tokio::join!(chat(&client, of("busy")), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        chat(&client, says("first")).await.unwrap()
    });
    assert!(hangs.is_err());
    assert_eq!(done.backend, "two");
    // And then again, because it has read the beginning.
    assert_eq!(chat(&client, says("first")).await.unwrap().backend, "two");
    assert_eq!(chat(&client, says("second")).await.unwrap().backend, "one");
}
