//! What the tests share.

use std::time::{Duration, Instant};

use alina_client::reason;
use alina_proto::{
    Service,
    inference::v1::{
        ChatRequest, ChatResponse, ChatStreamRequest, GetLoadRequest, GetLoadResponse,
        ListModelsRequest, Message, Model, Role, Sampling, chat_stream_response::Event,
        inference_service_client,
    },
};
use alina_testkit::{Suite, SuiteBuilder};
use futures::StreamExt;
use serde_json::json;
use tonic::{Code, Status};

pub(crate) type Client =
    inference_service_client::InferenceServiceClient<alina_client::PeerChannel>;

/// One gateway; its models are those of the repository's config.yaml.
pub(crate) fn gateway() -> SuiteBuilder {
    Suite::builder()
        .service(Service::InferenceGateway)
        .set("inference_gateway.preload", json!(false))
        // Other tests run beside this one: threads that wait for each other must not outnumber CPUs.
        .set("inference_gateway.threads", json!(1))
}

/// One gateway whose chat model has a window of 256 tokens.
pub(crate) fn gateway_with_small_window() -> SuiteBuilder {
    gateway().set(
        "inference_gateway.models",
        json!([{
            "name": "small",
            "kind": "chat",
            "path": "SmolLM2-135M-Instruct.Q4_1.gguf",
            "context_length": 256,
            "max_tokens": 64,
            "aliases": ["default"],
        }]),
    )
}

pub(crate) fn user(content: impl Into<String>) -> Message {
    Message { role: Role::User.into(), content: content.into(), ..Message::default() }
}

/// The likeliest answer, short.
pub(crate) fn ask(content: impl Into<String>) -> ChatRequest {
    ChatRequest {
        messages: vec![user(content)],
        sampling: Some(Sampling { temperature: Some(0.0), ..Sampling::default() }),
        max_tokens: 32,
        ..ChatRequest::default()
    }
}

/// Goes on until its tokens are spent: the schema asks for more than fits.
pub(crate) fn long(agent: &str, max_tokens: u32) -> ChatRequest {
    ChatRequest {
        max_tokens,
        agent: agent.to_owned(),
        json_schema: json!({ "type": "string", "minLength": 100_000 }).to_string(),
        ..ask("Tell a very long story.")
    }
}

pub(crate) async fn chat(client: &Client, request: ChatRequest) -> Result<ChatResponse, Status> {
    client.clone().chat(request).await.map(tonic::Response::into_inner)
}

/// The pieces, and the end.
pub(crate) async fn stream(client: &Client, request: ChatRequest) -> (Vec<String>, ChatResponse) {
    let request = ChatStreamRequest { chat: Some(request) };
    let mut events = client.clone().chat_stream(request).await.unwrap().into_inner();
    let mut pieces = Vec::new();
    while let Some(event) = events.next().await {
        match event.unwrap().event.expect("every message has an event") {
            Event::Delta(text) => pieces.push(text),
            Event::ToolCall(call) => panic!("no tool was offered: {call:?}"),
            Event::Done(done) => {
                assert!(events.next().await.is_none(), "nothing follows `done`");
                return (pieces, done);
            }
        }
    }
    panic!("no `done` after {pieces:?}")
}

pub(crate) async fn load(client: &Client) -> GetLoadResponse {
    client.clone().get_load(GetLoadRequest {}).await.unwrap().into_inner()
}

/// Until the load is as it should be.
pub(crate) async fn wait_for(client: &Client, what: impl Fn(&GetLoadResponse) -> bool) {
    let begun = Instant::now();
    loop {
        let now = load(client).await;
        if what(&now) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it stays {now:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// All models there are.
pub(crate) async fn list(client: &Client) -> Vec<Model> {
    client.clone().list_models(ListModelsRequest {}).await.unwrap().into_inner().models
}

#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(
    result: Result<T, Status>,
    code: Code,
    why: &str,
) -> String {
    let status = result.expect_err("it should be refused");
    assert_eq!((status.code(), reason(&status).as_deref()), (code, Some(why)), "{status}");
    status.message().to_owned()
}
