//! Tokens per second through the gRPC surface: one answer alone, then four at once.
//! `cargo bench -p alina-inference-gateway`

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for people, that stops at the first fault"
)]

use std::time::Instant;

use alina_proto::{
    Service,
    inference::v1::{ChatRequest, Message, Role},
};
use alina_testkit::Suite;
use futures::future::join_all;

const TOKENS: u32 = 128;

fn request(n: usize) -> ChatRequest {
    // A string that cannot end: every answer has as many tokens.
    let schema = r#"{"type":"string","minLength":100000}"#;
    let content = format!("Write a long story about the number {n}.");
    ChatRequest {
        messages: vec![Message { role: Role::User.into(), content, ..Message::default() }],
        max_tokens: TOKENS,
        json_schema: if std::env::args().any(|arg| arg == "--schema") { schema } else { "" }
            .to_owned(),
        ..ChatRequest::default()
    }
}

#[tokio::main]
async fn main() {
    let suite = Suite::builder()
        .service(Service::InferenceGateway)
        .set("inference_gateway.threads", serde_json::json!(0))
        .start()
        .await;
    let client = suite.connector().inference();
    let run = async |count: usize| {
        let begun = Instant::now();
        let answers = join_all((0..count).map(|n| {
            let mut client = client.clone();
            async move { client.chat(request(n)).await.expect("an answer").into_inner() }
        }));
        let answers = answers.await;
        let tokens: u32 = answers
            .iter()
            .map(|answer| answer.usage.map_or(0, |usage| usage.completion_tokens))
            .sum();
        f64::from(tokens) / begun.elapsed().as_secs_f64()
    };
    run(4).await;
    for count in [1, 4] {
        let rate = run(count).await;
        println!("{count} at once: {rate:.1} tokens per second");
    }
}
