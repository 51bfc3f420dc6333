//! Domain types to wire types.

use alina_proto::{
    inference::v1::{
        self as wire, AgentLoad, ChatResponse, ChatStreamResponse, FinishReason, GetLoadResponse,
        ModelKind, ModelState, Usage, chat_stream_response::Event, token_logprob::Alternative,
    },
    time,
};

use crate::{
    chat::{Finish, TokenLogprob, ToolCall},
    config::Kind,
    gateway::{Answered, Listed, Part},
    models::State,
    schedule::Load,
};

/// A part of an answer.
pub(super) fn part(part: Part) -> ChatStreamResponse {
    let mut logprobs = Vec::new();
    let event = match part {
        Part::Text(piece) => {
            logprobs = piece.logprobs.into_iter().map(logprob).collect();
            Event::Delta(piece.text)
        }
        Part::Tool(call) => Event::ToolCall(tool_call(call)),
        Part::Done(answered) => Event::Done(answer(answered)),
    };
    ChatStreamResponse { event: Some(event), logprobs }
}

fn tool_call(call: ToolCall) -> wire::ToolCall {
    wire::ToolCall { id: call.id, name: call.name, arguments_json: call.arguments }
}

fn logprob(token: TokenLogprob) -> wire::TokenLogprob {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let top = token.top.into_iter().map(|(bytes, logprob)| Alternative {
        token: text(&bytes),
        logprob,
        bytes,
    });
    wire::TokenLogprob {
        token: text(&token.bytes),
        logprob: token.logprob,
        top: top.collect(),
        bytes: token.bytes,
    }
}

/// A whole answer.
pub(super) fn answer(answered: Answered) -> ChatResponse {
    let finish = match answered.ended.finish {
        Finish::Stop => FinishReason::Stop,
        Finish::Length => FinishReason::Length,
        Finish::ToolCalls => FinishReason::ToolCalls,
        Finish::Budget => FinishReason::Budget,
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
            reused_tokens: answered.ended.reused_tokens,
            cpu_time: Some(time::duration(answered.ended.cpu)),
        }),
        tool_calls: answered.tool_calls.into_iter().map(tool_call).collect(),
        logprobs: answered.logprobs.into_iter().map(logprob).collect(),
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
        pinned: listed.description.memory.pinned,
        memory_bytes: listed.description.memory.bytes,
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
