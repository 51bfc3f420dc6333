//! A fake upstream that speaks Ollama's protocol and answers at once.

use axum::{
    Router,
    body::Bytes,
    routing::{get, post},
};
use serde_json::json;

/// Listens on loopback until the program ends. Returns its address.
pub(crate) async fn start() -> String {
    let router = Router::new()
        .route("/api/chat", post(chat))
        .route("/api/version", get(async || json!({ "version": "0.12.3" }).to_string()))
        .route("/api/tags", get(async || json!({ "models": [] }).to_string()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn chat(_: Bytes) -> String {
    let piece =
        json!({ "message": { "role": "assistant", "content": "Hello there." }, "done": false });
    let end = json!({
        "message": { "role": "assistant", "content": "" }, "done": true, "done_reason": "stop",
        "prompt_eval_count": 11, "eval_count": 3,
    });
    format!("{piece}\n{end}\n")
}
