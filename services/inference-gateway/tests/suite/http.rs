//! HTTP as both interfaces have it: keys, bounds, ends before their time. And what their tests
//! share.

use std::{io::Write, time::Duration};

use alina_proto::Service;
use alina_testkit::Suite;
use axum::{
    Router,
    body::Body,
    routing::{self, post},
};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::support::{gateway, load};

/// Asks and gives the status and the body.
pub(crate) async fn call(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

pub(crate) fn request(suite: &Suite, path: &str, body: &Value) -> reqwest::RequestBuilder {
    let url = format!("{}{path}", suite.http_url());
    reqwest::Client::new().post(url).json(body)
}

pub(crate) async fn ask(suite: &Suite, path: &str, body: Value) -> (u16, Value) {
    call(request(suite, path, &body)).await
}

/// Asks for what must be given.
pub(crate) async fn given(suite: &Suite, path: &str, body: Value) -> Value {
    let (status, value) = ask(suite, path, body).await;
    assert_eq!(status, 200, "{path}: {value}");
    value
}

pub(crate) async fn get(suite: &Suite, path: &str) -> (u16, Value) {
    call(reqwest::Client::new().get(format!("{}{path}", suite.http_url()))).await
}

/// A body with more fields.
pub(crate) fn with(mut body: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("{more} has no fields") };
    body.as_object_mut().unwrap().extend(more);
    body
}

/// The events of a stream, with `[DONE]` as a string.
pub(crate) fn events(text: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect()
}

/// The lines of a stream.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Goes on until its tokens are spent: the schema asks for more than fits.
fn long(stream: bool) -> Value {
    let schema = json!({ "type": "string", "minLength": 100_000 });
    json!({
        "model": "default",
        "messages": [{ "role": "user", "content": "Tell a very long story." }],
        "response_format": { "type": "json_schema", "json_schema": { "name": "s", "schema": schema } },
        "max_tokens": 3_000,
        "temperature": 0,
        "stream": stream,
    })
}

fn short() -> Value {
    json!({
        "model": "default",
        "messages": [{ "role": "user", "content": "Hello" }],
        "max_tokens": 2,
        "stream": false,
    })
}

/// Waits until nothing runs any more.
async fn idle(suite: &Suite) {
    for _ in 0..200 {
        if load(&suite.connector().inference()).await.running == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("something still runs");
}

#[tokio::test]
async fn keys_say_whose_requests_they_are_and_change_while_it_runs() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "# agents\nresearcher: key-of-the-researcher").unwrap();
    let suite = gateway().set("inference_gateway.http.key_file", json!(file.path())).start().await;
    let with = |key: &str, path: &str| request(&suite, path, &short()).bearer_auth(key);
    for path in ["/v1/chat/completions", "/api/chat"] {
        let (status, told) = ask(&suite, path, short()).await;
        assert_eq!(status, 401, "{told}");
        let (status, told) = call(with("another-key-here", path)).await;
        assert_eq!(status, 401, "{told}");
        assert!(!told.to_string().contains("another-key-here"), "{told}");
        // Who has a key is nobody else.
        let claimed = with("key-of-the-researcher", path).header("X-Alina-Agent", "boss");
        assert_eq!(call(claimed).await.0, 200);
    }
    assert_eq!(get(&suite, "/").await, (200, json!("Ollama is running")));
    assert_eq!(get(&suite, "/v1/models").await.0, 401);
    let agents = load(&suite.connector().inference()).await.agents;
    let agents: Vec<_> = agents.iter().map(|one| (one.agent.as_str(), one.finished)).collect();
    assert_eq!(agents, [("researcher", 2)]);

    std::fs::write(file.path(), "writer: key-of-the-writer").unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(call(with("key-of-the-researcher", "/api/chat")).await.0, 401);
    assert_eq!(call(with("key-of-the-writer", "/api/chat")).await.0, 200);
}

#[tokio::test]
async fn without_keys_headers_and_user_say_who_asks() {
    let suite = gateway().start().await;
    let path = "/v1/chat/completions";
    let header = request(&suite, path, &short()).header("X-Alina-Agent", "planner");
    assert_eq!(call(header.header("X-Alina-Run", "run-1")).await.0, 200);
    let mut named = short();
    named["user"] = json!("writer");
    given(&suite, path, named).await;
    given(&suite, path, short()).await;
    let agents = load(&suite.connector().inference()).await.agents;
    let mut agents: Vec<_> = agents.iter().map(|one| one.agent.as_str()).collect();
    agents.sort_unstable();
    assert_eq!(agents, ["anonymous", "planner", "writer"]);
    let (status, _) = call(request(&suite, path, &short()).header("X-Alina-Class", "vip")).await;
    assert_eq!(status, 400);

    let metrics = reqwest::get(suite.metrics_url(Service::InferenceGateway)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let line = |status| {
        format!("alina_inference_http_requests_total{{route=\"{path}\",status=\"{status}\"}}")
    };
    assert!(metrics.contains(&format!("{} 3", line(200))), "{metrics}");
    assert!(metrics.contains(&format!("{} 1", line(400))), "{metrics}");
    assert!(metrics.contains("alina_inference_http_in_flight 0"), "{metrics}");
}

#[tokio::test]
async fn large_bodies_and_garbage_are_refused_in_each_shape() {
    let suite = gateway().start().await;
    let send = |path: &str, body: Vec<u8>| {
        let url = format!("{}{path}", suite.http_url());
        let client = reqwest::Client::new().post(url).header("Content-Type", "application/json");
        call(client.body(body))
    };
    let garbage: Vec<u8> =
        (0..10_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for path in ["/v1/chat/completions", "/v1/embeddings", "/api/chat", "/api/embed"] {
        let says = |told: &Value| {
            let error = &told["error"];
            error["message"].as_str().or(error.as_str()).unwrap_or_default().to_owned()
        };
        let (status, told) = send(path, vec![b' '; 33 << 20]).await;
        assert_eq!(status, 413, "{told}");
        assert!(says(&told).contains("33554432 bytes"), "{told}");
        for body in [garbage.clone(), b"{\"model\":\"\xff\xfe\"}".to_vec(), b"{".repeat(1 << 20)] {
            let (status, told) = send(path, body).await;
            assert_eq!(status, 400, "{told}");
            assert!(!says(&told).is_empty(), "{told}");
        }
    }
    given(&suite, "/v1/chat/completions", short()).await;
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_request() {
    let suite = gateway().start().await;
    let mut answer =
        request(&suite, "/v1/chat/completions", &long(true)).send().await.unwrap().bytes_stream();
    for _ in 0..3 {
        answer.next().await.unwrap().unwrap();
    }
    drop(answer);
    idle(&suite).await;
    // Nor is the whole answer waited for.
    let whole = request(&suite, "/v1/chat/completions", &long(false)).send();
    assert!(tokio::time::timeout(Duration::from_secs(2), whole).await.is_err());
    idle(&suite).await;
}

#[tokio::test]
async fn a_callers_limit_of_time_ends_an_answer_with_an_error() {
    let suite = gateway().start().await;
    given(&suite, "/v1/chat/completions", short()).await;
    let late = |stream| {
        request(&suite, "/v1/chat/completions", &long(stream)).header("X-Alina-Timeout", "1")
    };
    let (status, told) = call(late(false)).await;
    assert_eq!((status, &told["error"]["code"]), (504, &json!("deadline_exceeded")), "{told}");
    let events = events(&late(true).send().await.unwrap().text().await.unwrap());
    assert!(events.len() > 2, "{events:?}");
    assert_eq!(events.last().unwrap()["error"]["code"], "deadline_exceeded");
    idle(&suite).await;
}

#[tokio::test]
async fn streams_end_with_an_error_when_the_service_stops() {
    let mut suite = gateway().start().await;
    let open = request(&suite, "/v1/chat/completions", &long(true)).send().await.unwrap();
    let mut ollama = json!({ "options": { "num_predict": 3_000, "temperature": 0 } });
    for field in ["model", "messages"] {
        ollama[field] = long(true)[field].clone();
    }
    ollama["format"] = json!({ "type": "string", "minLength": 100_000 });
    let other = request(&suite, "/api/chat", &ollama).send().await.unwrap();
    suite.terminate(Service::InferenceGateway).await;
    let events = events(&open.text().await.unwrap());
    assert_eq!(events.last().unwrap()["error"]["code"], "stopping", "{events:?}");
    let lines = lines(&other.text().await.unwrap());
    let told = lines.last().unwrap()["error"].as_str().unwrap();
    assert!(told.contains("stopping"), "{told}");
}

#[tokio::test]
async fn a_full_queue_says_when_to_try_again() {
    let suite = gateway()
        .set("inference_gateway.max_running", json!(1))
        .set("inference_gateway.max_waiting", json!(0))
        .start()
        .await;
    let busy = request(&suite, "/v1/chat/completions", &long(true)).send().await.unwrap();
    for path in ["/v1/chat/completions", "/api/chat"] {
        let refused = request(&suite, path, &short()).send().await.unwrap();
        assert_eq!(refused.status(), 429);
        let after = refused.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap();
        assert!(after >= 1);
        let told: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
        assert!(told.to_string().contains("wait already"), "{told}");
    }
    drop(busy);
    idle(&suite).await;
}

/// A back end that breaks off in the middle of its answer.
#[tokio::test]
async fn a_broken_answer_is_never_passed_off_as_whole() {
    let half = async || {
        let message = json!({ "role": "assistant", "content": "Half" });
        Body::from(format!("{}\n", json!({ "message": message, "done": false })))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let version = async || Body::from(r#"{"version":"0.13.0"}"#);
    let routes =
        Router::new().route("/api/chat", post(half)).route("/api/version", routing::get(version));
    let server = axum::serve(listener, routes);
    tokio::spawn(async move { server.await });
    let suite = gateway()
        .set("inference_gateway.ollama", json!([{ "name": "away", "url": url }]))
        .start()
        .await;
    let mut body = short();
    body["model"] = json!("away/m");
    let (status, told) = ask(&suite, "/v1/chat/completions", body.clone()).await;
    assert_eq!((status, &told["error"]["code"]), (503, &json!("backend_failed")), "{told}");
    let (status, told) = ask(&suite, "/api/chat", body.clone()).await;
    assert_eq!(status, 503, "{told}");
    body["stream"] = json!(true);
    let text = |path| {
        let request = request(&suite, path, &body);
        async { request.send().await.unwrap().text().await.unwrap() }
    };
    let events = events(&text("/v1/chat/completions").await);
    assert_eq!(events[1]["choices"][0]["delta"]["content"], "Half", "{events:?}");
    assert_eq!(events.last().unwrap()["error"]["code"], "backend_failed", "{events:?}");
    let lines = lines(&text("/api/chat").await);
    assert_eq!(lines[0]["message"]["content"], "Half");
    assert!(lines.last().unwrap()["error"].as_str().unwrap().contains("away"), "{lines:?}");
}
