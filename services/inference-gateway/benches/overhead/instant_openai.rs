//! A fake upstream that speaks OpenAI's protocol and answers at once, in a process of its own.

use std::process::Stdio;

use axum::{
    Router,
    body::Bytes,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// The argument that makes this program the upstream.
pub(crate) const ARGUMENT: &str = "--instant-openai";

/// Starts it, pinned to `core`. Returns its address, with `/v1`.
pub(crate) async fn start(core: &str) -> (Child, String) {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new("taskset")
        .args(["-c", core])
        .arg(program)
        .arg(ARGUMENT)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the upstream starts");
    let stdout = child.stdout.take().expect("its output");
    let line = BufReader::new(stdout).lines().next_line().await.expect("a line");
    (child, line.expect("its address"))
}

/// Serves on loopback until it is killed.
pub(crate) async fn serve() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("http://{}/v1", listener.local_addr().expect("its address"));
    let models = json!({ "object": "list", "data": [{ "id": "instant", "object": "model" }] });
    let models = get(async move || ([("content-type", "application/json")], models.to_string()));
    let router =
        Router::new().route("/v1/chat/completions", post(chat)).route("/v1/models", models);
    axum::serve(listener, router).await.expect("it serves");
}

/// As a stream when it is asked for one, and whole otherwise.
async fn chat(body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let usage = json!({ "prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14 });
    if asked["stream"] != true {
        let whole = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "instant",
            "choices": [{
                "index": 0, "finish_reason": "stop",
                "message": { "role": "assistant", "content": "Hello there." },
            }],
            "usage": usage,
        });
        return ([("content-type", "application/json")], whole.to_string()).into_response();
    }
    let chunk = |choices: Value, usage: &Value| {
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1,
            "model": "instant", "choices": choices, "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let delta =
        json!([{ "index": 0, "delta": { "role": "assistant", "content": "Hello there." } }]);
    let end = json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }]);
    let none = Value::Null;
    let text = [chunk(delta, &none), chunk(end, &none), chunk(json!([]), &usage)].concat();
    ([("content-type", "text/event-stream")], text + "data: [DONE]\n\n").into_response()
}
