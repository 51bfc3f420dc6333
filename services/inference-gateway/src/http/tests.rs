//! Requests as they should never be, through the router, with no model behind it.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{Shared, metrics::Metrics, router};
use crate::{
    catalogue::Catalogue,
    gateway::Gateway,
    schedule::{Limits, Scheduler},
    usage::Recorder,
};

const ROUTES: [&str; 14] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/embeddings",
    "/api/show",
    "/api/pull",
    "/api/delete",
    "/api/copy",
    "/api/create",
    "/api/push",
    "/api/nothing",
];

fn app() -> Router {
    app_with(1 << 16, 8)
}

fn app_with(max_body_bytes: usize, places: usize) -> Router {
    let mut registry = Registry::default();
    let limits = Limits { max_running: 1, max_waiting: 1, ..Limits::default() };
    let scheduler = Scheduler::new(limits);
    let metrics = crate::metrics::Metrics::register(&mut registry, scheduler.clone());
    let (usage, _) = Recorder::new(metrics.clone());
    let gateway = Gateway::new(Catalogue::default(), scheduler, metrics, usage);
    router(Shared {
        gateway: Arc::new(gateway),
        shutdown: CancellationToken::new(),
        keys: None,
        metrics: Metrics::register(&mut registry),
        places: Arc::new(Semaphore::new(places)),
        max_body_bytes,
        started: chrono::Utc::now(),
    })
}

fn request(route: &str, body: impl Into<Body>) -> Request<Body> {
    let method = if route == "/api/delete" { Method::DELETE } else { Method::POST };
    let request = Request::builder().method(method).uri(route);
    request.header(header::CONTENT_TYPE, "application/json").body(body.into()).unwrap()
}

async fn ask(app: Router, request: Request<Body>) -> (StatusCode, Value) {
    let answer = app.oneshot(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// Says what is wrong in its interface's shape.
fn assert_told(route: &str, status: StatusCode, body: &Value) {
    let told = if route.starts_with("/api/") { &body["error"] } else { &body["error"]["message"] };
    assert!(told.as_str().is_some_and(|told| !told.is_empty()), "{route} {status}: {body}");
    assert!(status.is_client_error() || status == 501, "{route} {status}: {body}");
}

#[tokio::test]
async fn fields_are_named_with_what_is_allowed() {
    let chat = "/v1/chat/completions";
    let user = json!([{ "role": "user", "content": "x" }]);
    let tool = json!({ "type": "function", "function": { "name": "a b" } });
    for (route, change, field) in [
        (chat, json!({ "temperature": 3 }), "temperature"),
        (chat, json!({ "temperature": "warm" }), "temperature"),
        (chat, json!({ "n": 2 }), "n"),
        (chat, json!({ "max_tokens": 0 }), "max_tokens"),
        (chat, json!({ "max_completion_tokens": -1 }), "max_completion_tokens"),
        (chat, json!({ "stop": ["a", ""] }), "stop[1]"),
        (chat, json!({ "messages": [] }), "messages"),
        (chat, json!({ "messages": [{ "role": "bard", "content": "x" }] }), "messages[0].role"),
        (chat, json!({ "messages": [{ "role": "user" }] }), "messages[0].content"),
        (
            chat,
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
            "messages[0].content[0]",
        ),
        (
            chat,
            json!({ "messages": [{ "role": "tool", "content": "x" }] }),
            "messages[0].tool_call_id",
        ),
        (chat, json!({ "tools": [tool] }), "tools[0].function.name"),
        (chat, json!({ "tool_choice": "required" }), "tools"),
        (chat, json!({ "tool_choice": 7 }), "tool_choice"),
        (chat, json!({ "response_format": { "type": "xml" } }), "response_format.type"),
        (
            chat,
            json!({ "response_format": { "type": "json_schema" } }),
            "response_format.json_schema.schema",
        ),
        (chat, json!({ "top_logprobs": 3 }), "top_logprobs"),
        (chat, json!({ "logprobs": true, "top_logprobs": 21 }), "top_logprobs"),
        (chat, json!({ "stream_options": { "include_usage": true } }), "stream_options"),
        (chat, json!({ "logit_bias": { "50256": -100 } }), "logit_bias"),
        ("/v1/completions", json!({ "prompt": [1, 2] }), "prompt[0]"),
        ("/v1/completions", json!({ "prompt": ["a", "b"] }), "prompt"),
        ("/v1/completions", json!({ "prompt": "a", "echo": true }), "echo"),
        ("/v1/embeddings", json!({ "input": [] }), "input"),
        ("/v1/embeddings", json!({ "input": [[1, 2]] }), "input[0]"),
        ("/v1/embeddings", json!({ "input": "x", "encoding_format": "hex" }), "encoding_format"),
        ("/api/chat", json!({ "options": { "temperature": 3 } }), "options.temperature"),
        ("/api/chat", json!({ "options": { "num_predict": -7 } }), "options.num_predict"),
        ("/api/chat", json!({ "format": "xml" }), "format"),
        ("/api/chat", json!({ "think": true }), "think"),
        (
            "/api/chat",
            json!({ "messages": [{ "role": "user", "content": "x", "images": ["aGk="] }] }),
            "messages[0].images",
        ),
        ("/api/generate", json!({ "suffix": "x", "prompt": "y" }), "suffix"),
        ("/api/generate", json!({ "images": ["aGk="], "prompt": "y" }), "images"),
        ("/api/embed", json!({ "input": 7 }), "input"),
        ("/api/show", json!({ "model": "" }), "model"),
    ] {
        let mut body = json!({ "model": "default", "messages": user });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (status, told) = ask(app(), request(route, body.to_string())).await;
        assert_eq!(status, 400, "{route} {change}: {told}");
        assert_told(route, status, &told);
        if route.starts_with("/v1/") {
            assert_eq!(told["error"]["param"], field, "{told}");
            assert_eq!(told["error"]["type"], "invalid_request_error");
        } else {
            let says = told["error"].as_str().unwrap();
            assert!(says.starts_with(&format!("{field}: ")), "{says}");
        }
    }
}

#[tokio::test]
async fn an_unknown_model_is_not_found() {
    let messages = json!([{ "role": "user", "content": "x" }]);
    let body = json!({ "model": "gpt-9", "messages": messages }).to_string();
    let (status, told) = ask(app(), request("/v1/chat/completions", body.clone())).await;
    assert_eq!(
        (status, &told["error"]["code"]),
        (StatusCode::NOT_FOUND, &json!("model_not_found"))
    );
    assert_eq!(told["error"]["param"], "model");
    let (status, told) = ask(app(), request("/api/chat", body)).await;
    assert_eq!(status, 404);
    assert!(told["error"].as_str().unwrap().contains("gpt-9"), "{told}");
    let one = Request::get("/v1/models/ollama/qwen").body(Body::empty()).unwrap();
    let (status, told) = ask(app(), one).await;
    assert_eq!(
        (status, &told["error"]["code"]),
        (StatusCode::NOT_FOUND, &json!("model_not_found"))
    );
}

#[tokio::test]
async fn bodies_that_are_no_requests_are_refused() {
    let deep = format!(r#"{{"model":"m","messages":{}"#, "[".repeat(10_000));
    let large = vec![b' '; (1 << 16) + 1];
    for route in &ROUTES[..10] {
        for body in [&b""[..], b"{", b"null", b"[]", b"7", b"{\"model\":\"\xff\"}", deep.as_bytes()]
        {
            let (status, told) = ask(app(), request(route, body.to_vec())).await;
            assert_eq!(status, 400, "{route}: {told}");
            assert_told(route, status, &told);
        }
        let (status, told) = ask(app(), request(route, large.clone())).await;
        assert_eq!(status, 413, "{route}: {told}");
        assert_told(route, status, &told);
    }
}

#[tokio::test]
async fn what_is_no_route_or_no_json_or_from_elsewhere_is_told_so() {
    let get = |uri: &str| Request::get(uri).body(Body::empty()).unwrap();
    for (uri, expected) in [
        ("/v1/nothing", 404),
        ("/api/nothing", 404),
        ("/v1/chat/completions", 405),
        ("/api/chat", 405),
    ] {
        let (status, told) = ask(app(), get(uri)).await;
        assert_eq!(status, expected, "{uri}");
        assert_told(uri, status, &told);
    }
    let plain = Request::post("/v1/embeddings").header(header::CONTENT_TYPE, "text/plain");
    assert_eq!(ask(app(), plain.body(Body::from("{}")).unwrap()).await.0, 415);
    let mut packed = request("/api/chat", "{}");
    packed.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
    assert_eq!(ask(app(), packed).await.0, 415);
    for (origin, expected) in [
        ("http://localhost:3000", 200),
        ("http://[::1]", 200),
        ("https://evil.example", 403),
        ("null", 403),
    ] {
        let mut page = get("/v1/models");
        page.headers_mut().insert(header::ORIGIN, origin.parse().unwrap());
        assert_eq!(ask(app(), page).await.0, expected, "{origin}");
    }
}

#[tokio::test]
async fn too_many_requests_are_refused_until_others_end() {
    let app = app_with(1 << 10, 1);
    let tags = || Request::get("/api/tags").body(Body::empty()).unwrap();
    let first = app.clone().oneshot(tags()).await.unwrap();
    let second = app.clone().oneshot(tags()).await.unwrap();
    assert_eq!(second.status(), 429);
    assert_eq!(second.headers()[header::RETRY_AFTER], "1");
    // Its place is held until its body has been read.
    assert_eq!(first.status(), 200);
    drop(first.into_body().collect().await.unwrap());
    assert_eq!(app.oneshot(tags()).await.unwrap().status(), 200);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("json")),
        Just(json!("default")),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key = prop_oneof![
            Just("type"),
            Just("text"),
            Just("role"),
            Just("content"),
            Just("function"),
            Just("name"),
            Just("arguments"),
            Just("parameters"),
            Just("schema"),
            Just("temperature"),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key.prop_map(str::to_owned), inner, 0..5)
                .prop_map(|fields| json!(fields)),
        ]
    })
}

fn any_body() -> impl Strategy<Value = Value> {
    let fields = [
        "model",
        "messages",
        "prompt",
        "input",
        "stream",
        "stream_options",
        "max_tokens",
        "stop",
        "temperature",
        "seed",
        "tools",
        "tool_choice",
        "response_format",
        "logprobs",
        "top_logprobs",
        "format",
        "options",
        "system",
        "raw",
        "keep_alive",
        "name",
        "dimensions",
    ];
    let messages = any_json().prop_map(|content| json!([{ "role": "user", "content": content }]));
    let sound = (any_json(), messages).prop_map(|(prompt, messages)| {
        json!({ "model": "none", "messages": messages, "prompt": prompt, "input": "x" })
    });
    let some = prop::collection::hash_map(prop::sample::select(fields.to_vec()), any_json(), 0..8);
    (sound, some, any::<bool>()).prop_map(|(mut body, some, sound)| {
        if !sound {
            body = json!({});
        }
        for (field, value) in some {
            body[field] = value;
        }
        body
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Without models nothing can be answered: each is refused, in its interface's shape.
    #[test]
    fn any_json_is_refused_in_order(body in any_body(), route in prop::sample::select(&ROUTES[..])) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (status, told) = runtime.block_on(ask(app(), request(route, body.to_string())));
        assert_told(route, status, &told);
    }
}

/// Bodies as clients send them.
fn bodies() -> Vec<Vec<u8>> {
    let call =
        json!({ "id": "1", "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let tool = json!({ "type": "function", "function": {
        "name": "f", "description": "d", "parameters": { "type": "object", "properties": {} },
    } });
    let messages = json!([
        { "role": "system", "content": "s" },
        { "role": "user", "content": [{ "type": "text", "text": "é\u{1f600}" }] },
        { "role": "assistant", "content": null, "tool_calls": [call] },
        { "role": "tool", "content": "4", "tool_call_id": "1" },
    ]);
    let schema = json!({ "type": "object", "properties": { "a": { "enum": [1, "b"] } } });
    let bodies = [
        json!({
            "model": "m", "messages": messages, "tools": [tool], "tool_choice": "auto",
            "stream": true, "stream_options": { "include_usage": true }, "temperature": 0.5,
            "top_p": 0.9, "seed": 7, "stop": ["a", "b"], "max_tokens": 5, "logprobs": true,
            "top_logprobs": 3, "user": "u", "n": 1, "frequency_penalty": 0.1,
        }),
        json!({
            "model": "m", "messages": messages, "max_completion_tokens": 9, "stop": "x",
            "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": schema } },
            "tool_choice": { "type": "function", "function": { "name": "f" } },
        }),
        json!({ "model": "m", "prompt": ["p"], "echo": false, "suffix": null, "logprobs": 2 }),
        json!({ "model": "m", "input": ["a", "b"], "dimensions": 3, "encoding_format": "base64" }),
        json!({
            "model": "m", "prompt": "p", "system": "s", "format": schema, "raw": true,
            "keep_alive": "5m", "images": [], "context": [1, 2], "think": false,
            "options": { "num_predict": -1, "temperature": 0, "top_k": 4, "seed": -3, "stop": ["x"] },
        }),
        json!({ "model": "m", "messages": messages, "format": "json", "keep_alive": -1, "tools": [tool] }),
        json!({ "name": "m", "insecure": false, "stream": false, "verbose": true }),
    ];
    bodies.iter().map(|body| body.to_string().into_bytes()).collect()
}

/// Without models nothing can be answered: each is refused, in its interface's shape.
#[test]
fn spoilt_bodies_are_refused_in_order() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let app = app();
    let mut turn = 0;
    crate::fuzz::fuzz("bodies", &bodies(), |body| {
        let route = ROUTES[turn % ROUTES.len()];
        turn += 1;
        let (status, told) = runtime.block_on(ask(app.clone(), request(route, body.to_vec())));
        assert_told(route, status, &told);
    });
}
