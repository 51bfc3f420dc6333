//! Wire types to domain types and back. What a request may hold is checked here.

use tonic::Status;

use alina_proto::{
    inference::v1::{
        self as wire, AgentLoad, ChatResponse, ChatStreamRequest, EmbedRequest, FinishReason,
        GetLoadResponse, ModelKind, ModelState, Usage,
    },
    time,
};
use alina_service::status::Violations;

use crate::{
    chat::{AgentId, Finish, Message, Role},
    config::Kind,
    error::Error,
    gateway::{Answered, ChatRequest, Listed, SamplingRequest},
    models::State,
    schedule::Load,
};

/// More in one message fits no model here.
const MAX_CONTENT: usize = 1 << 20;
const MAX_SCHEMA: usize = 64 << 10;

/// The inner request of a stream.
pub(super) fn chat_stream(request: ChatStreamRequest) -> Result<ChatRequest, Status> {
    let Some(request) = request.chat else {
        let mut bad = Violations::default();
        bad.add("chat", "must be set");
        return Err(bad.finish().err().unwrap_or_else(|| Status::invalid_argument("chat")));
    };
    chat("chat.", request)
}

/// A chat; the names of its fields in errors begin with `prefix`.
pub(super) fn chat(prefix: &str, request: wire::ChatRequest) -> Result<ChatRequest, Status> {
    let mut bad = Violations::default();
    let at = |field: &str| format!("{prefix}{field}");
    bad.check(request.model.len() <= 256, at("model"), "must be at most 256 bytes");
    let count = (1..=1_000).contains(&request.messages.len());
    bad.check(count, at("messages"), "must be 1 to 1,000 messages");
    let mut messages = Vec::with_capacity(request.messages.len());
    for (n, message) in request.messages.into_iter().enumerate() {
        let role = match message.role() {
            wire::Role::System => Role::System,
            wire::Role::User => Role::User,
            wire::Role::Assistant => Role::Assistant,
            wire::Role::Tool => Role::Tool,
            wire::Role::Unspecified => {
                bad.add(
                    at(&format!("messages[{n}].role")),
                    "must be system, user, assistant or tool",
                );
                continue;
            }
        };
        let field = at(&format!("messages[{n}].content"));
        let fits = message.content.len() <= MAX_CONTENT;
        bad.check(fits, &field, "must be at most 1,048,576 bytes");
        bad.check(!message.content.contains('\0'), &field, "must not hold the character NUL");
        messages.push(Message { role, content: message.content });
    }
    let sampling = sampling(prefix, request.sampling.unwrap_or_default(), &mut bad);
    let tokens = request.max_tokens <= 1_048_576;
    bad.check(tokens, at("max_tokens"), "must be 0 (the model's default) to 1,048,576");
    bad.check(request.stop.len() <= 16, at("stop"), "must be at most 16 strings");
    for (n, stop) in request.stop.iter().enumerate() {
        let fits = (1..=256).contains(&stop.len());
        bad.check(fits, at(&format!("stop[{n}]")), "must be 1 to 256 bytes");
    }
    let fits = request.json_schema.len() <= MAX_SCHEMA;
    bad.check(fits, at("json_schema"), "must be at most 65,536 bytes");
    name(&mut bad, at("agent"), &request.agent);
    name(&mut bad, at("run_id"), &request.run_id);
    bad.finish()?;
    let schema = match request.json_schema.as_str() {
        "" => None,
        text => Some(serde_json::from_str(text).map_err(|error| {
            super::to_status(Error::InvalidSchema(format!("it is no JSON: {error}")))
        })?),
    };
    if !request.run_id.is_empty() {
        tracing::debug!(run_id = request.run_id, "chat of a run");
    }
    Ok(ChatRequest {
        model: request.model,
        messages,
        sampling,
        max_tokens: (request.max_tokens > 0).then_some(request.max_tokens),
        stop: request.stop,
        schema,
        agent: Some(AgentId::new(&request.agent)),
    })
}

fn sampling(prefix: &str, wire: wire::Sampling, bad: &mut Violations) -> SamplingRequest {
    let sampling = SamplingRequest {
        temperature: wire.temperature,
        top_p: wire.top_p,
        top_k: wire.top_k,
        min_p: wire.min_p,
        repeat_penalty: wire.repeat_penalty,
        seed: wire.seed,
    };
    for (field, holds, allowed) in sampling.or(crate::chat::Sampling::default()).rules() {
        bad.check(holds, format!("{prefix}sampling.{field}"), allowed);
    }
    sampling
}

/// Names of agents and runs end up in labels, logs and tables.
fn name(bad: &mut Violations, field: String, name: &str) {
    let sound = name.len() <= 128 && !name.chars().any(char::is_control);
    bad.check(sound, field, "must be at most 128 bytes without control characters");
}

/// What a request for vectors may hold.
pub(super) fn check_embed(request: &EmbedRequest) -> Result<(), Status> {
    let mut bad = Violations::default();
    bad.check(request.model.len() <= 256, "model", "must be at most 256 bytes");
    bad.check((1..=256).contains(&request.texts.len()), "texts", "must be 1 to 256 texts");
    for (n, text) in request.texts.iter().enumerate() {
        let fits = text.len() <= MAX_CONTENT;
        bad.check(fits, format!("texts[{n}]"), "must be at most 1,048,576 bytes");
    }
    name(&mut bad, "agent".to_owned(), &request.agent);
    bad.finish()
}

/// A whole answer.
pub(super) fn answer(answered: Answered) -> ChatResponse {
    let finish = match answered.ended.finish {
        Finish::Stop => FinishReason::Stop,
        Finish::Length => FinishReason::Length,
    };
    ChatResponse {
        content: answered.content,
        finish_reason: finish.into(),
        usage: Some(Usage {
            prompt_tokens: answered.ended.prompt_tokens,
            completion_tokens: answered.ended.completion_tokens,
            queue_time: Some(time::duration(answered.waited)),
            time_to_first_token: Some(time::duration(answered.ended.first_token)),
            run_time: Some(time::duration(answered.ended.run)),
        }),
        model: answered.model.0,
        backend: answered.backend,
    }
}

/// A model for people to see.
pub(super) fn model(listed: Listed) -> wire::Model {
    let (state, problem) = match listed.description.state {
        State::Loaded => (ModelState::Loaded, String::new()),
        State::Available => (ModelState::Available, String::new()),
        State::Unavailable(problem) => (ModelState::Unavailable, problem),
    };
    let kind = match listed.kind {
        Kind::Chat => ModelKind::Chat,
        Kind::Embedding => ModelKind::Embedding,
    };
    let path = listed.description.path.map(|path| path.display().to_string());
    wire::Model {
        name: listed.name.0,
        aliases: listed.aliases,
        kind: kind.into(),
        state: state.into(),
        backend: listed.backend,
        context_length: listed.description.traits.context_length,
        size_bytes: listed.description.size_bytes,
        quantization: listed.description.traits.quantization,
        parameters: listed.description.traits.parameters,
        path: path.unwrap_or_default(),
        problem,
    }
}

/// How busy it is.
pub(super) fn load(load: Load) -> GetLoadResponse {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let agents = load.agents.into_iter().map(|(agent, load)| AgentLoad {
        agent: agent.0,
        running: load.running,
        waiting: load.waiting,
        finished: load.finished,
        prompt_tokens: load.prompt_tokens,
        completion_tokens: load.completion_tokens,
    });
    GetLoadResponse {
        running: count(load.running),
        waiting: count(load.waiting),
        max_running: count(load.max_running),
        peak_running: count(load.peak_running),
        max_waiting: count(load.max_waiting),
        agents: agents.collect(),
    }
}
