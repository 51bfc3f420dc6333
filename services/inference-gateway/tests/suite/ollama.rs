//! Ollama's interface, spoken by a fake on loopback.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use alina_proto::inference::v1::{
    ChatRequest, EmbedRequest, FinishReason, ListModelsRequest, ModelKind, ModelState,
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tonic::Code;

use crate::support::{ask, assert_refused, chat, gateway, load, stream as streamed};

/// Says what Ollama 0.12 says, and notes what it was asked.
#[derive(Debug, Clone, Default)]
struct FakeOllama {
    asked: Arc<Mutex<Vec<Value>>>,
}

impl FakeOllama {
    async fn start() -> (Self, String) {
        let fake = Self::default();
        let router = Router::new()
            .route("/api/chat", post(Self::chat))
            .route("/api/embed", post(Self::embed))
            .route("/api/tags", get(Self::tags))
            .route("/api/version", get(async || json!({ "version": "0.12.3" }).to_string()))
            .with_state(fake.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (fake, url)
    }

    fn last(&self) -> Value {
        self.asked.lock().unwrap().last().unwrap().clone()
    }

    async fn chat(State(fake): State<Self>, request: String) -> Response {
        let request: Value = serde_json::from_str(&request).unwrap();
        fake.asked.lock().unwrap().push(request.clone());
        let line = |value: Value| format!("{value}\n");
        let piece = |text: &str| {
            line(json!({ "message": { "role": "assistant", "content": text }, "done": false }))
        };
        let end = |reason: &str| {
            let message = json!({ "role": "assistant", "content": "" });
            line(
                json!({ "message": message, "done": true, "done_reason": reason, "prompt_eval_count": 11, "eval_count": 3 }),
            )
        };
        let lines = match request["model"].as_str().unwrap() {
            "gone" => {
                let error = json!({ "error": "model 'gone' not found" });
                return (StatusCode::NOT_FOUND, error.to_string()).into_response();
            }
            "broken" => vec![piece("half"), line(json!({ "error": "out of memory" }))],
            "cut" => vec![piece("half")],
            "slow" => vec![piece("x"); 2_000],
            "json" => vec![piece("{\"a\":"), piece("\"no number\"}"), end("stop")],
            "short" => vec![piece("Ol"), end("length")],
            _ => vec![piece("Ol"), piece("á, "), piece("Lisboa"), end("stop")],
        };
        // In pieces that respect neither lines nor characters.
        let bytes: Vec<Bytes> =
            lines.concat().into_bytes().chunks(7).map(Bytes::copy_from_slice).collect();
        let slow = request["model"] == "slow";
        let body = stream::iter(bytes).then(move |bytes| async move {
            if slow {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok::<_, std::io::Error>(bytes)
        });
        Body::from_stream(body).into_response()
    }

    async fn embed(State(fake): State<Self>, request: String) -> String {
        let request: Value = serde_json::from_str(&request).unwrap();
        fake.asked.lock().unwrap().push(request.clone());
        let count = request["input"].as_array().unwrap().len();
        json!({ "embeddings": vec![vec![3.0, 4.0]; count], "prompt_eval_count": 9 }).to_string()
    }

    async fn tags() -> String {
        let details =
            json!({ "family": "qwen3", "parameter_size": "7.6B", "quantization_level": "Q4_K_M" });
        json!({ "models": [
            { "name": "qwen3:latest", "size": 4_683_087_332_u64, "details": details },
            { "name": "nomic-embed-text:latest", "size": 274_302_450, "details": { "family": "nomic-bert" } },
        ] })
        .to_string()
    }
}

async fn start(url: &str) -> alina_testkit::Suite {
    let remote = |name: &str, model: &str, kind: &str| json!({ "name": name, "kind": kind, "ollama": { "server": "ollama", "model": model } });
    let models = json!([
        remote("big", "qwen3", "chat"),
        remote("pulled-later", "absent", "chat"),
        remote("vectors", "nomic-embed-text", "embedding")
    ]);
    gateway()
        // Models of this machine would be listed, too.
        .set("inference_gateway.model_dir", json!(env!("CARGO_TARGET_TMPDIR")))
        .set("inference_gateway.models", models)
        .set("inference_gateway.ollama", json!([{ "name": "ollama", "url": url }]))
        .start()
        .await
}

fn of(model: &str) -> ChatRequest {
    ChatRequest { model: model.to_owned(), ..ask("Where?") }
}

#[tokio::test]
async fn chats_are_translated_both_ways() {
    let (fake, url) = FakeOllama::start().await;
    let suite = start(&url).await;
    let client = suite.connector().inference();
    let mut request = of("big");
    request.stop = vec!["END".to_owned()];
    let (pieces, done) = streamed(&client, request).await;
    assert_eq!(pieces, ["Ol", "á, ", "Lisboa"]);
    assert_eq!(done.content, "Olá, Lisboa");
    assert_eq!((done.model.as_str(), done.backend.as_str()), ("big", "ollama"));
    assert_eq!(done.finish_reason(), FinishReason::Stop);
    let usage = done.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (11, 3));
    let asked = fake.last();
    assert_eq!(asked["model"], "qwen3");
    assert_eq!(asked["messages"], json!([{ "role": "user", "content": "Where?" }]));
    assert_eq!(asked["options"]["temperature"], 0.0);
    assert_eq!(asked["options"]["num_predict"], 32);
    assert_eq!(asked["options"]["stop"], json!(["END"]));
    assert_eq!(asked["stream"], true);
    let short = chat(&client, of("ollama/short")).await.unwrap();
    assert_eq!(
        (short.model.as_str(), short.finish_reason()),
        ("ollama/short", FinishReason::Length)
    );
    assert_eq!(fake.last()["model"], "short");
}

#[tokio::test]
async fn answers_that_do_not_satisfy_their_schema_are_not_passed_on() {
    let (fake, url) = FakeOllama::start().await;
    let suite = start(&url).await;
    let client = suite.connector().inference();
    let schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } } });
    let request = ChatRequest { json_schema: schema.to_string(), ..of("ollama/json") };
    let says = assert_refused(chat(&client, request).await, Code::Unavailable, "BACKEND_FAILED");
    assert!(says.contains("does not satisfy the schema at /a"), "{says}");
    assert_eq!(fake.last()["format"], schema);
}

#[tokio::test]
async fn its_failures_are_told_apart() {
    let (_fake, url) = FakeOllama::start().await;
    let suite = start(&url).await;
    let client = suite.connector().inference();
    let says =
        assert_refused(chat(&client, of("ollama/gone")).await, Code::NotFound, "MODEL_NOT_FOUND");
    assert!(says.contains("ollama/gone"), "{says}");
    let says = assert_refused(
        chat(&client, of("ollama/broken")).await,
        Code::Unavailable,
        "BACKEND_FAILED",
    );
    assert!(says.contains("out of memory"), "{says}");
    let says =
        assert_refused(chat(&client, of("ollama/cut")).await, Code::Unavailable, "BACKEND_FAILED");
    assert!(says.contains("middle of an answer"), "{says}");
    assert_eq!(load(&client).await.running, 0);
}

#[tokio::test]
async fn a_server_that_is_away_is_named_with_how_to_mend_it() {
    let suite = start("http://127.0.0.1:1").await;
    let client = suite.connector().inference();
    let says =
        assert_refused(chat(&client, of("big")).await, Code::Unavailable, "MODEL_UNAVAILABLE");
    assert!(says.contains("127.0.0.1:1") && says.contains("ollama serve"), "{says}");
    let models =
        client.clone().list_models(ListModelsRequest {}).await.unwrap().into_inner().models;
    assert_eq!(models.len(), 3);
    assert!(models.iter().all(|model| model.state() == ModelState::Unavailable));
    assert!(models[0].problem.contains("ollama serve"), "{models:?}");
}

#[tokio::test]
async fn its_models_are_listed_and_its_vectors_have_unit_length() {
    let (fake, url) = FakeOllama::start().await;
    let suite = start(&url).await;
    let client = suite.connector().inference();
    let models =
        client.clone().list_models(ListModelsRequest {}).await.unwrap().into_inner().models;
    let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
    let expected =
        ["big", "pulled-later", "vectors", "ollama/qwen3:latest", "ollama/nomic-embed-text:latest"];
    assert_eq!(names, expected);
    assert_eq!((models[0].state(), models[0].parameters), (ModelState::Available, 7_600_000_000));
    assert_eq!(models[0].quantization, "Q4_K_M");
    assert!(models[1].problem.contains("ollama pull absent"), "{models:?}");
    assert_eq!(models[4].kind(), ModelKind::Embedding);
    let request = EmbedRequest {
        model: "vectors".to_owned(),
        texts: vec!["a".to_owned(), "b".to_owned()],
        ..EmbedRequest::default()
    };
    let answer = client.clone().embed(request).await.unwrap().into_inner();
    assert_eq!((answer.dimensions, answer.prompt_tokens), (2, 9));
    assert_eq!(answer.embeddings[1].values, [0.6, 0.8]);
    assert_eq!(fake.last()["model"], "nomic-embed-text");
}

#[tokio::test]
async fn a_cancelled_answer_frees_its_place() {
    let (_fake, url) = FakeOllama::start().await;
    let suite = start(&url).await;
    let client = suite.connector().inference();
    let request = alina_proto::inference::v1::ChatStreamRequest { chat: Some(of("ollama/slow")) };
    let mut events = client.clone().chat_stream(request).await.unwrap().into_inner();
    events.next().await.unwrap().unwrap();
    assert_eq!(load(&client).await.running, 1);
    drop(events);
    for _ in 0..200 {
        if load(&client).await.running == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it still runs: {:?}", load(&client).await);
}
