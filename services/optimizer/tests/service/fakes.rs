//! An orchestrator with outputs and instructions, scripted models, and a memory that keeps its log.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use alina_proto::{
    inference::v1::{
        ChatRequest, ChatResponse, EmbedRequest, EmbedResponse, Embedding,
        inference_service_server::{InferenceService, InferenceServiceServer},
    },
    memory::v1::{
        LogActionRequest, LogActionResponse,
        memory_service_server::{MemoryService, MemoryServiceServer},
    },
    orchestrator::v1::{
        Agent, ListAgentsRequest, ListAgentsResponse, ListOutputsRequest, ListOutputsResponse,
        Output, SetInstructionsRequest, SetInstructionsResponse,
        orchestrator_service_server::{OrchestratorService, OrchestratorServiceServer},
    },
};
use alina_service::status;
use serde_json::json;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, service::Routes, transport::Server};

/// What a fake does with the calls that matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Willing,
    /// Answers UNAVAILABLE.
    Away,
    /// Takes the call and never answers.
    Silent,
    /// Answers NOT_FOUND.
    Unwilling,
}

impl Mood {
    async fn admit(self) -> Result<(), Status> {
        match self {
            Self::Willing => Ok(()),
            Self::Away => Err(Status::unavailable("away for the test")),
            Self::Silent => std::future::pending().await,
            Self::Unwilling => {
                Err(status::error(Code::NotFound, "UNKNOWN_AGENT", "gone for the test"))
            }
        }
    }
}

/// Serves on a free port of loopback; gives its address.
async fn serve(routes: Routes) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(Server::builder().add_routes(routes).serve_with_incoming(incoming));
    url
}

#[derive(Debug, Default)]
pub(crate) struct OrchestratorState {
    /// Name to instructions of config.yaml.
    pub(crate) configured: BTreeMap<String, String>,
    /// Name to version and instructions set.
    pub(crate) set: BTreeMap<String, (String, String)>,
    pub(crate) outputs: Vec<Output>,
    /// Every SetInstructions that was taken, in order.
    pub(crate) told: Vec<SetInstructionsRequest>,
    /// SetInstructions that arrived, taken or not.
    pub(crate) arrived: usize,
    /// What SetInstructions does.
    pub(crate) mood: Mood,
    /// Of all agents; `None` for one that tells whose it is.
    pub(crate) model: Option<String>,
}

/// The orchestrator's stand-in.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeOrchestrator(Arc<Mutex<OrchestratorState>>);

impl FakeOrchestrator {
    pub(crate) async fn start() -> (Self, String) {
        let this = Self::default();
        for name in ["writer", "planner"] {
            this.state().configured.insert(name.into(), format!("You are a {name}."));
        }
        let url = serve(Routes::new(OrchestratorServiceServer::new(this.clone()))).await;
        (this, url)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, OrchestratorState> {
        self.0.lock().unwrap()
    }

    /// An agent puts something out by the instructions in force.
    pub(crate) fn put_out(&self, agent: &str, input: &str, output: &str) {
        let mut state = self.state();
        let version = state.set.get(agent).map_or("config", |(version, _)| version).to_owned();
        let ordinal = state.outputs.len() + 1;
        state.outputs.push(Output {
            id: format!("output-{ordinal}"),
            run_id: format!("run-{}", ordinal.div_ceil(4)),
            agent: agent.into(),
            instructions_version: version,
            model: "default".into(),
            input: input.into(),
            output: output.into(),
            at: None,
        });
    }
}

impl OrchestratorState {
    fn agent(&self, name: &str) -> Agent {
        let (version, instructions) = self
            .set
            .get(name)
            .cloned()
            .unwrap_or_else(|| ("config".into(), self.configured[name].clone()));
        Agent {
            name: name.into(),
            instructions,
            instructions_version: version,
            model: self.model.clone().unwrap_or_else(|| format!("model-of-{name}")),
            ..Agent::default()
        }
    }
}

#[tonic::async_trait]
impl OrchestratorService for FakeOrchestrator {
    async fn list_agents(
        &self,
        _: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        let state = self.state();
        let agents = state.configured.keys().map(|name| state.agent(name)).collect();
        Ok(Response::new(ListAgentsResponse { agents }))
    }

    async fn list_outputs(
        &self,
        request: Request<ListOutputsRequest>,
    ) -> Result<Response<ListOutputsResponse>, Status> {
        let request = request.into_inner();
        let after: usize = match request.after_cursor.as_str() {
            "" => 0,
            cursor => cursor.strip_prefix('#').unwrap().parse().unwrap(),
        };
        let state = self.state();
        let outputs: Vec<_> =
            state.outputs.iter().skip(after).take(request.limit as usize).cloned().collect();
        let next_cursor = match outputs.len() {
            0 => request.after_cursor,
            count => format!("#{}", after + count),
        };
        Ok(Response::new(ListOutputsResponse { outputs, next_cursor }))
    }

    async fn set_instructions(
        &self,
        request: Request<SetInstructionsRequest>,
    ) -> Result<Response<SetInstructionsResponse>, Status> {
        let mood = {
            let mut state = self.state();
            state.arrived += 1;
            state.mood
        };
        mood.admit().await?;
        let request = request.into_inner();
        let mut state = self.state();
        if !state.configured.contains_key(&request.agent) {
            return Err(status::error(Code::NotFound, "UNKNOWN_AGENT", "no such agent"));
        }
        let (agent, version) = (request.agent.clone(), request.version.clone());
        if request.instructions.is_empty() {
            state.set.remove(&agent);
        } else {
            state.set.insert(agent.clone(), (version, request.instructions.clone()));
        }
        state.told.push(request);
        let agent = Some(state.agent(&agent));
        Ok(Response::new(SetInstructionsResponse { agent }))
    }
}

/// What the models say.
#[derive(Debug)]
pub(crate) struct InferenceState {
    /// By the system prompt.
    pub(crate) answer: fn(&str) -> String,
    /// Out of 10, by what is judged.
    pub(crate) judge: fn(&str) -> u8,
    pub(crate) new_instructions: String,
    /// Before each answer.
    pub(crate) pause: Duration,
    pub(crate) mood: Mood,
    pub(crate) chats: Vec<ChatRequest>,
}

impl InferenceState {
    fn reply(&self, chat: &ChatRequest) -> String {
        let (system, user) = (&chat.messages[0].content, &chat.messages[1].content);
        if chat.json_schema.contains("\"score\"") {
            let score = (self.judge)(user);
            json!({ "reason": format!("worth {score}"), "score": score }).to_string()
        } else if chat.json_schema.contains("\"instructions\"") {
            json!({ "instructions": self.new_instructions }).to_string()
        } else {
            (self.answer)(system)
        }
    }
}

/// The inference-gateway's stand-in.
#[derive(Debug, Clone)]
pub(crate) struct FakeInference(Arc<Mutex<InferenceState>>);

impl FakeInference {
    pub(crate) async fn start() -> (Self, String) {
        let this = Self(Arc::new(Mutex::new(InferenceState {
            answer: |_| "An answer.".into(),
            judge: |_| 5,
            new_instructions: "Other instructions.".into(),
            pause: Duration::ZERO,
            mood: Mood::Willing,
            chats: Vec::new(),
        })));
        let url = serve(Routes::new(InferenceServiceServer::new(this.clone()))).await;
        (this, url)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, InferenceState> {
        self.0.lock().unwrap()
    }

    /// The requests whose schema asks for a property; of free text when that is empty.
    pub(crate) fn chats(&self, property: &str) -> Vec<ChatRequest> {
        let is_asked = |chat: &&ChatRequest| match property {
            "" => chat.json_schema.is_empty(),
            property => chat.json_schema.contains(&format!("\"{property}\"")),
        };
        self.state().chats.iter().filter(is_asked).cloned().collect()
    }
}

#[tonic::async_trait]
impl InferenceService for FakeInference {
    async fn chat(&self, request: Request<ChatRequest>) -> Result<Response<ChatResponse>, Status> {
        let chat = request.into_inner();
        let (mood, pause) = {
            let mut state = self.state();
            state.chats.push(chat.clone());
            (state.mood, state.pause)
        };
        mood.admit().await?;
        let content = self.state().reply(&chat);
        tokio::time::sleep(pause).await;
        Ok(Response::new(ChatResponse { content, ..ChatResponse::default() }))
    }

    /// Texts with the same letters point the same way.
    async fn embed(
        &self,
        request: Request<EmbedRequest>,
    ) -> Result<Response<EmbedResponse>, Status> {
        let mood = self.state().mood;
        mood.admit().await?;
        let embed = |text: &String| {
            let mut values = vec![0.0; 26];
            for byte in text.to_lowercase().bytes().filter(u8::is_ascii_lowercase) {
                values[usize::from(byte - b'a')] += 1.0;
            }
            Embedding { values }
        };
        let embeddings = request.into_inner().texts.iter().map(embed).collect();
        Ok(Response::new(EmbedResponse { embeddings, ..EmbedResponse::default() }))
    }
}

#[derive(Debug, Default)]
pub(crate) struct MemoryState {
    /// By key.
    pub(crate) actions: BTreeMap<String, LogActionRequest>,
    pub(crate) mood: Mood,
}

/// The memory's stand-in.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeMemory(Arc<Mutex<MemoryState>>);

impl FakeMemory {
    pub(crate) async fn start() -> (Self, String) {
        let this = Self::default();
        let url = serve(Routes::new(MemoryServiceServer::new(this.clone()))).await;
        (this, url)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.0.lock().unwrap()
    }
}

#[tonic::async_trait]
impl MemoryService for FakeMemory {
    async fn log_action(
        &self,
        request: Request<LogActionRequest>,
    ) -> Result<Response<LogActionResponse>, Status> {
        let mood = self.state().mood;
        mood.admit().await?;
        let request = request.into_inner();
        let mut state = self.state();
        let earlier = state.actions.insert(request.idempotency_key.clone(), request.clone());
        if earlier.is_some_and(|earlier| earlier != request) {
            return Err(status::error(Code::AlreadyExists, "KEY_REUSED", "other content"));
        }
        Ok(Response::new(LogActionResponse { id: "1".into() }))
    }
}
