//! A scripted inference-gateway and a memory that keeps what it is told.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use alina_proto::{
    inference::v1::{
        self as inference, ChatRequest, ChatResponse, ChatStreamResponse, chat_stream_response,
        inference_service_server::{InferenceService, InferenceServiceServer},
    },
    memory::v1::{
        self as memory,
        memory_service_server::{MemoryService, MemoryServiceServer},
    },
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, codegen::BoxStream, transport::Server};

/// What the models say.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) plan: String,
    pub(crate) route: String,
    /// Decides by the request, whose second message has the results of earlier calls.
    pub(crate) decide: fn(&ChatRequest) -> String,
    pub(crate) answer: fn(&ChatRequest) -> String,
    /// Before each word.
    pub(crate) pause: Duration,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            plan: r#"{"tasks":[{"agent":"scribe","task":"Note the trams"},
                               {"agent":"writer","task":"Write about trams"}]}"#
                .to_owned(),
            route: r#"{"agent":"writer"}"#.to_owned(),
            // A note first, then the answer.
            decide: |chat| {
                let told = &chat.messages[1].content;
                let was_called = told.contains("Result of memory_remember: remembered");
                if was_called || !chat.json_schema.contains("memory_remember") {
                    r#"{"action":"answer"}"#.to_owned()
                } else {
                    r#"{"action":"memory_remember","arguments":{"note":"Trams are yellow"}}"#
                        .to_owned()
                }
            },
            answer: |chat| format!("{} says that trams are yellow", chat.agent),
            pause: Duration::from_millis(5),
        }
    }
}

#[derive(Default)]
struct Seen {
    chats: Vec<ChatRequest>,
    running: usize,
    peak: usize,
    /// Calls whose caller went away before the end.
    broken_off: usize,
}

/// The inference-gateway's stand-in.
#[derive(Clone, Default)]
pub(crate) struct FakeInference {
    script: Arc<Mutex<Script>>,
    seen: Arc<Mutex<Seen>>,
}

impl FakeInference {
    pub(crate) fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    pub(crate) fn chats(&self) -> Vec<ChatRequest> {
        self.seen.lock().unwrap().chats.clone()
    }

    pub(crate) fn peak(&self) -> usize {
        self.seen.lock().unwrap().peak
    }

    pub(crate) fn broken_off(&self) -> usize {
        self.seen.lock().unwrap().broken_off
    }

    /// Listens until the handle is aborted.
    pub(crate) fn serve(&self, listener: TcpListener) -> Serving {
        let server = Server::builder().add_service(InferenceServiceServer::new(self.clone()));
        let incoming = TcpListenerStream::new(listener);
        Serving(tokio::spawn(async move {
            server.serve_with_incoming(incoming).await.unwrap();
        }))
    }

    fn text(&self, chat: &ChatRequest) -> String {
        let script = self.script.lock().unwrap().clone();
        match chat.json_schema.as_str() {
            "" => (script.answer)(chat),
            schema if schema.contains("anyOf") => (script.decide)(chat),
            schema if schema.contains("tasks") => script.plan,
            _ => script.route,
        }
    }
}

/// A server that ends when this is dropped.
pub(crate) struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A free port of this machine, listened on.
pub(crate) async fn listen(address: Option<SocketAddr>) -> TcpListener {
    let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    TcpListener::bind(address).await.unwrap()
}

struct Running {
    seen: Arc<Mutex<Seen>>,
    is_done: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut seen = self.seen.lock().unwrap();
        seen.running -= 1;
        if !self.is_done {
            seen.broken_off += 1;
        }
    }
}

#[tonic::async_trait]
impl InferenceService for FakeInference {
    async fn chat_stream(
        &self,
        request: Request<inference::ChatStreamRequest>,
    ) -> Result<Response<BoxStream<ChatStreamResponse>>, Status> {
        let chat = request.into_inner().chat.unwrap();
        let text = self.text(&chat);
        let pause = self.script.lock().unwrap().pause;
        {
            let mut seen = self.seen.lock().unwrap();
            seen.chats.push(chat);
            seen.running += 1;
            seen.peak = seen.peak.max(seen.running);
        }
        let running = Running { seen: Arc::clone(&self.seen), is_done: false };
        let stream = async_stream::stream! {
            // All of it: else only the flag would be captured.
            let mut running = running;
            for word in text.split_inclusive(' ') {
                tokio::time::sleep(pause).await;
                let event = chat_stream_response::Event::Delta(word.to_owned());
                yield Ok(ChatStreamResponse { event: Some(event), logprobs: Vec::new() });
            }
            running.is_done = true;
            let done = ChatResponse {
                content: text,
                model: "scripted".to_owned(),
                ..Default::default()
            };
            let event = chat_stream_response::Event::Done(done);
            yield Ok(ChatStreamResponse { event: Some(event), logprobs: Vec::new() });
        };
        Ok(Response::new(Box::pin(stream)))
    }
}

/// What was written under one key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    pub(crate) content: String,
    /// How often it was asked for.
    pub(crate) times: usize,
}

/// The memory's stand-in: writes once for each key, and refuses a key with other content.
#[derive(Clone, Default)]
pub(crate) struct FakeMemory {
    written: Arc<Mutex<BTreeMap<String, Written>>>,
    /// Between writing and answering.
    pause: Arc<Mutex<Duration>>,
}

impl FakeMemory {
    pub(crate) fn written(&self) -> BTreeMap<String, Written> {
        self.written.lock().unwrap().clone()
    }

    pub(crate) fn answer_after(&self, pause: Duration) {
        *self.pause.lock().unwrap() = pause;
    }

    pub(crate) fn serve(&self, listener: TcpListener) -> Serving {
        let server = Server::builder().add_service(MemoryServiceServer::new(self.clone()));
        let incoming = TcpListenerStream::new(listener);
        Serving(tokio::spawn(async move {
            server.serve_with_incoming(incoming).await.unwrap();
        }))
    }

    async fn write(&self, key: String, content: String) -> Result<(), Status> {
        {
            let mut written = self.written.lock().unwrap();
            let entry = written
                .entry(key)
                .or_insert_with(|| Written { content: content.clone(), times: 0 });
            entry.times += 1;
            if entry.content != content {
                return Err(Status::already_exists("KEY_REUSED"));
            }
        }
        let pause = *self.pause.lock().unwrap();
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

#[tonic::async_trait]
impl MemoryService for FakeMemory {
    async fn remember(
        &self,
        request: Request<memory::RememberRequest>,
    ) -> Result<Response<memory::RememberResponse>, Status> {
        let request = request.into_inner();
        let content = format!("{:?} {:?}", request.episode, request.facts);
        self.write(request.idempotency_key, content).await?;
        let episode_id = "episode".to_owned();
        Ok(Response::new(memory::RememberResponse { episode_id, ..Default::default() }))
    }

    async fn search(
        &self,
        _: Request<memory::SearchRequest>,
    ) -> Result<Response<memory::SearchResponse>, Status> {
        Ok(Response::new(memory::SearchResponse::default()))
    }

    async fn build_context(
        &self,
        request: Request<memory::BuildContextRequest>,
    ) -> Result<Response<memory::BuildContextResponse>, Status> {
        assert!(!request.into_inner().query.is_empty());
        let item = memory::SearchResult {
            text: "we liked the trams".to_owned(),
            source: "run:earlier".to_owned(),
            ..Default::default()
        };
        let citation = memory::Citation { label: "[1]".to_owned(), item: Some(item) };
        Ok(Response::new(memory::BuildContextResponse {
            context: "[1] 2026-05-01: we liked the trams".to_owned(),
            citations: vec![citation],
            tokens: 12,
        }))
    }

    async fn log_action(
        &self,
        request: Request<memory::LogActionRequest>,
    ) -> Result<Response<memory::LogActionResponse>, Status> {
        let request = request.into_inner();
        let content = format!("{} {}", request.action, request.details_json);
        self.write(request.idempotency_key, content).await?;
        Ok(Response::new(memory::LogActionResponse { id: "action".to_owned() }))
    }
}
