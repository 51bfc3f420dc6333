//! Servers that speak OpenAI's interface: what they are asked, and how their failures are told.

use std::time::{Duration, Instant};

use alina_proto::inference::v1::{
    ChatRequest, ChatStreamRequest, EmbedRequest, FinishReason, ListModelsRequest, ModelKind,
    ModelState, Tool,
};
use alina_testkit::{Suite, SuiteBuilder};
use futures::StreamExt;
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    fake_openai::FakeOpenAi,
    support::{ask, assert_refused, chat, gateway, load, stream, user, wait_for},
};

/// A gateway that gives servers little time.
pub(crate) fn impatient() -> SuiteBuilder {
    gateway().set(
        "inference_gateway.timeouts",
        json!({ "connect_seconds": 1, "first_token_seconds": 0.8, "idle_seconds": 0.8,
                "probe_seconds": 0.2 }),
    )
}

async fn start(url: &str) -> Suite {
    let model = |name: &str, model: &str, kind: &str| json!({ "name": name, "kind": kind, "openai": { "server": "far", "model": model } });
    impatient()
        // Models of this machine would be listed, too.
        .set("inference_gateway.model_dir", json!(env!("CARGO_TARGET_TMPDIR")))
        .set(
            "inference_gateway.models",
            json!([
                model("big", "good", "chat"),
                model("missing", "absent", "chat"),
                model("vectors", "bge-small", "embedding"),
            ]),
        )
        .set("inference_gateway.openai", json!([{ "name": "far", "url": url }]))
        .start()
        .await
}

pub(crate) fn of(model: &str) -> ChatRequest {
    ChatRequest { model: model.to_owned(), ..ask("Where?") }
}

#[tokio::test]
async fn chats_are_translated_both_ways() {
    let (fake, url) = FakeOpenAi::start("Lisboa").await;
    let suite = start(&url).await;
    let client = suite.connector().inference();
    let mut request = of("big");
    request.stop = vec!["END".to_owned()];
    let (pieces, done) = stream(&client, request).await;
    assert_eq!(pieces, ["Ol", "á, ", "Lisboa"]);
    assert_eq!((done.content.as_str(), done.finish_reason()), ("Olá, Lisboa", FinishReason::Stop));
    assert_eq!((done.model.as_str(), done.backend.as_str()), ("big", "far"));
    let usage = done.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (11, 3));
    let (path, token, asked) = fake.last();
    assert_eq!((path.as_str(), token), ("/v1/chat/completions", None));
    assert_eq!(asked["model"], "good");
    assert_eq!(asked["messages"], json!([{ "role": "user", "content": "Where?" }]));
    assert_eq!(asked["stream_options"], json!({ "include_usage": true }));
    assert_eq!((&asked["stop"], &asked["max_tokens"]), (&json!(["END"]), &json!(32)));
    for (field, value) in [("temperature", 0.0), ("top_k", 40.0)] {
        assert_eq!(asked[field].as_f64(), Some(value), "{field}");
    }
    assert!(asked["min_p"].is_number() && asked["repeat_penalty"] == asked["repetition_penalty"]);
    assert!(asked.get("response_format").is_none() && asked.get("tools").is_none());
    let text = ChatRequest { messages: vec![], prompt: "Once".to_owned(), ..of("far/good") };
    let answer = chat(&client, text).await.unwrap();
    assert_eq!((answer.model.as_str(), answer.content.as_str()), ("far/good", "Olá, Lisboa"));
    let (path, _, asked) = fake.last();
    assert_eq!((path.as_str(), &asked["prompt"]), ("/v1/completions", &json!("Once")));
}

#[tokio::test]
async fn schemas_tools_and_log_probabilities_are_passed_on() {
    let (fake, url) = FakeOpenAi::start("Lisboa").await;
    let suite = start(&url).await;
    let client = suite.connector().inference();
    let schema = json!({ "type": "object" });
    let request = ChatRequest { json_schema: schema.to_string(), ..of("far/good") };
    // The answer is none that satisfies it.
    let says = assert_refused(chat(&client, request).await, Code::Unavailable, "BACKEND_FAILED");
    assert!(says.contains("no JSON"), "{says}");
    assert_eq!(fake.last().2["response_format"]["json_schema"]["schema"], schema);
    let tool = Tool {
        name: "add".to_owned(),
        description: "Adds.".to_owned(),
        parameters_json_schema: schema.to_string(),
    };
    let request = ChatRequest { tools: vec![tool], ..of("far/tools") };
    let answer = chat(&client, request).await.unwrap();
    assert_eq!(answer.finish_reason(), FinishReason::ToolCalls);
    let call = &answer.tool_calls[0];
    assert_eq!((call.id.as_str(), call.name.as_str()), ("call_1", "add"));
    assert_eq!(serde_json::from_str::<Value>(&call.arguments_json).unwrap(), json!({ "x": 1 }));
    assert_eq!(fake.last().2["tools"][0]["function"]["name"], "add");
    let request = ChatRequest { top_logprobs: Some(1), ..of("far/logprobs") };
    let answer = chat(&client, request).await.unwrap();
    assert_eq!(answer.logprobs.len(), 1);
    assert_eq!(fake.last().2["top_logprobs"], 1);
    let without = ChatRequest { top_logprobs: Some(1), ..of("far/good") };
    let says = assert_refused(chat(&client, without).await, Code::Unavailable, "BACKEND_FAILED");
    assert!(says.contains("log-probabilities"), "{says}");
    let regex = ChatRequest { regex: "a+".to_owned(), ..of("far/good") };
    let says = assert_refused(chat(&client, regex).await, Code::InvalidArgument, "UNSUPPORTED");
    assert!(says.contains("`far`") && says.contains("regex"), "{says}");
}

#[tokio::test]
async fn its_models_are_listed_and_its_vectors_are_in_order() {
    let (fake, url) = FakeOpenAi::start("x").await;
    let suite = start(&url).await;
    let client = suite.connector().inference();
    let models =
        client.clone().list_models(ListModelsRequest {}).await.unwrap().into_inner().models;
    let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["big", "missing", "vectors", "far/good", "far/bge-small"]);
    assert_eq!(models[0].state(), ModelState::Available);
    assert!(models[1].problem.contains("`far` has no such model"), "{models:?}");
    assert_eq!(models[4].kind(), ModelKind::Embedding);
    let request = EmbedRequest {
        model: "vectors".to_owned(),
        texts: vec!["a".to_owned(), "b".to_owned()],
        ..EmbedRequest::default()
    };
    let answer = client.clone().embed(request).await.unwrap().into_inner();
    assert_eq!((answer.dimensions, answer.prompt_tokens), (2, 9));
    assert_eq!(answer.embeddings[0].values, [0.0, 1.0], "of unit length, in the order asked for");
    assert_eq!(fake.last().2["input"], json!(["a", "b"]));
}

/// What is done badly, and what is said of it.
const FAULTS: [(&str, Code, &str, &str); 14] = [
    ("hang", Code::Unavailable, "BACKEND_FAILED", "longer than it may"),
    ("drip", Code::Unavailable, "BACKEND_FAILED", "longer than it may"),
    ("pause", Code::Unavailable, "BACKEND_FAILED", "longer than it may"),
    ("reset", Code::Unavailable, "BACKEND_FAILED", ""),
    ("early-reset", Code::Unavailable, "BACKEND_FAILED", ""),
    ("busy", Code::ResourceExhausted, "BACKEND_BUSY", "too many requests"),
    ("broken", Code::Unavailable, "BACKEND_FAILED", "out of memory"),
    ("late-error", Code::Unavailable, "BACKEND_FAILED", "out of memory"),
    ("html", Code::Unavailable, "BACKEND_FAILED", "text/html"),
    ("lying", Code::Unavailable, "BACKEND_FAILED", ""),
    ("short-length", Code::Unavailable, "BACKEND_FAILED", ""),
    ("cut", Code::Unavailable, "BACKEND_FAILED", "middle of an answer"),
    ("cut-done", Code::Unavailable, "BACKEND_FAILED", "middle of an answer"),
    ("utf8", Code::Unavailable, "BACKEND_FAILED", "not understood"),
];

#[tokio::test]
async fn whatever_it_does_badly_is_told_soon_and_costs_no_place() {
    let (_fake, url) = FakeOpenAi::start("x").await;
    let suite = start(&url).await;
    let client = suite.connector().inference();
    for (model, code, reason, says) in FAULTS {
        let begun = Instant::now();
        let said = assert_refused(chat(&client, of(&format!("far/{model}"))).await, code, reason);
        assert!(said.contains("`far`") && said.contains(says), "{model}: {said}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{model}: {:?}", begun.elapsed());
        let now = load(&client).await;
        assert_eq!((now.running, now.waiting), (0, 0), "{model}");
        // A request that is served between them: it is left alone only after several in a row.
        chat(&client, of("far/good")).await.unwrap();
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let (fake, url) = FakeOpenAi::start("x").await;
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "secret-1\n").unwrap();
    let servers = json!([{ "name": "far", "url": url, "key_file": key.path() },
                         { "name": "keyless", "url": url, "key_file": "/nowhere/key" }]);
    let suite = impatient().set("inference_gateway.openai", servers).start().await;
    let client = suite.connector().inference();
    let refused = async |model: &str, code, reason| {
        assert_refused(chat(&client, of(model)).await, code, reason)
    };
    let says = refused("far/picky", Code::InvalidArgument, "INVALID_REQUEST").await;
    assert!(says.contains("no such role"), "{says}");
    assert_eq!(fake.last().1.as_deref(), Some("Bearer secret-1"));
    let says = refused("far/key", Code::Unavailable, "MODEL_UNAVAILABLE").await;
    assert!(says.contains("key_file") && !says.contains("secret"), "{says}");
    let says = refused("far/gone", Code::NotFound, "MODEL_NOT_FOUND").await;
    assert!(says.contains("far/good"), "near names: {says}");
    let says = refused("keyless/good", Code::Unavailable, "MODEL_UNAVAILABLE").await;
    assert!(says.contains("/nowhere/key"), "{says}");
    let status = chat(&client, of("far/busy")).await.unwrap_err();
    assert_eq!(alina_client::retry_after(&status), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn what_has_begun_is_never_passed_off_as_whole() {
    let (_fake, url) = FakeOpenAi::start("x").await;
    let suite = start(&url).await;
    let client = suite.connector().inference();
    let request = ChatStreamRequest { chat: Some(of("far/reset")) };
    let mut events = client.clone().chat_stream(request).await.unwrap().into_inner();
    let (mut pieces, mut error) = (0, None);
    while let Some(event) = events.next().await {
        match event {
            Ok(_) => pieces += 1,
            Err(status) => error = Some(status),
        }
    }
    assert!(pieces > 0);
    assert_eq!(error.unwrap().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_cancelled_answer_frees_its_place() {
    let (_fake, url) = FakeOpenAi::start("x").await;
    let suite = impatient()
        .set("inference_gateway.openai", json!([{ "name": "far", "url": url }]))
        .set("inference_gateway.timeouts", json!({ "idle_seconds": 300 }))
        .start()
        .await;
    let client = suite.connector().inference();
    let request = ChatStreamRequest { chat: Some(of("far/pause")) };
    let mut events = client.clone().chat_stream(request).await.unwrap().into_inner();
    events.next().await.unwrap().unwrap();
    assert_eq!(load(&client).await.running, 1);
    drop(events);
    wait_for(&client, |load| load.running == 0).await;
}

/// The gateway is itself such a server.
#[tokio::test]
async fn a_gateway_may_stand_behind_another() {
    let behind = gateway().start().await;
    let url = format!("{}/v1", behind.http_url());
    let models = json!([{ "name": "far", "kind": "chat", "aliases": ["default"],
                          "openai": { "server": "behind", "model": "default" } }]);
    let suite = gateway()
        .set("inference_gateway.models", models)
        .set("inference_gateway.openai", json!([{ "name": "behind", "url": url }]))
        .start()
        .await;
    let request = ChatRequest { messages: vec![user("Say hello.")], ..ask("") };
    let direct = chat(&behind.connector().inference(), request.clone()).await.unwrap();
    let through = chat(&suite.connector().inference(), request).await.unwrap();
    assert_eq!((through.content, through.backend.as_str()), (direct.content, "behind"));
    assert_eq!(through.usage.unwrap().completion_tokens, direct.usage.unwrap().completion_tokens);
}
