//! What a request over gRPC may hold, and what it means.

use tonic::Status;

use alina_proto::inference::v1::{self as wire, ChatStreamRequest, EmbedRequest, ModelState};
use alina_service::status::Violations;
use serde_json::json;

use super::limits;
use crate::{
    catalogue::ModelChange,
    chat::{AgentId, Constraint, Input, Message, Role, RunId, Tool, ToolCall, ToolChoice, Tools},
    error::Error,
    gateway::{ChatRequest, SamplingRequest},
    schedule::Budget,
};

/// More in one message fits no model here.
const MAX_CONTENT: usize = 1 << 20;
const MAX_SCHEMA: usize = 64 << 10;

/// A model's name, and what is to become of it.
pub(super) fn model_state(
    request: wire::SetModelStateRequest,
) -> Result<(String, ModelChange), Status> {
    let mut bad = Violations::default();
    let named = (1..=256).contains(&request.model.len());
    bad.check(named, "model", "must be 1 to 256 bytes");
    let loaded = match ModelState::try_from(request.state) {
        Ok(ModelState::Loaded) => Some(true),
        Ok(ModelState::Available) => Some(false),
        Ok(ModelState::Unspecified) if request.pinned.is_some() => None,
        _ => {
            bad.add("state", "must be LOADED or AVAILABLE, or absent when `pinned` is set");
            None
        }
    };
    bad.finish()?;
    Ok((request.model, ModelChange { pinned: request.pinned, loaded }))
}

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
    let input = input(prefix, request.prompt, request.messages, &mut bad);
    let tools =
        tools(prefix, request.tools, request.tool_choice, request.tool_choice_name, &mut bad);
    let sampling = sampling(prefix, request.sampling.unwrap_or_default(), &mut bad);
    let tokens = request.max_tokens <= 1_048_576;
    bad.check(tokens, at("max_tokens"), "must be 0 (the model's default) to 1,048,576");
    bad.check(request.stop.len() <= 16, at("stop"), "must be at most 16 strings");
    for (n, stop) in request.stop.iter().enumerate() {
        let fits = (1..=256).contains(&stop.len());
        bad.check(fits, at(&format!("stop[{n}]")), "must be 1 to 256 bytes");
    }
    let constraint = Constraints {
        json_schema: request.json_schema,
        regex: request.regex,
        choice: request.choice,
        grammar: request.grammar,
    };
    let constraint = constraint.check(prefix, tools.is_some(), &mut bad);
    let top = request.top_logprobs;
    bad.check(top.is_none_or(|top| top <= 20), at("top_logprobs"), "must be 0 to 20");
    name(&mut bad, at("agent"), &request.agent);
    name(&mut bad, at("run_id"), &request.run_id);
    let class = limits::class(at("class"), request.class, &mut bad);
    let run_budget = limits::budget(&at("run_budget"), request.run_budget, &mut bad);
    let of_run = run_budget == Budget::default() || !request.run_id.is_empty();
    bad.check(of_run, at("run_id"), "must be set with run_budget");
    bad.finish()?;
    Ok(ChatRequest {
        model: request.model,
        input,
        sampling,
        max_tokens: (request.max_tokens > 0).then_some(request.max_tokens),
        stop: request.stop,
        constraint: constraint.map_or(Ok(None), Constraints::into_domain)?,
        tools,
        logprobs: top.and_then(|top| u8::try_from(top).ok()),
        agent: Some(AgentId::new(&request.agent)),
        run: (!request.run_id.is_empty()).then_some(RunId(request.run_id)),
        class,
        run_budget,
        deadline: alina_client::deadline::current(),
    })
}

fn sampling(prefix: &str, wire: wire::Sampling, bad: &mut Violations) -> SamplingRequest {
    let sampling = SamplingRequest {
        temperature: wire.temperature,
        top_p: wire.top_p,
        top_k: wire.top_k,
        min_p: wire.min_p,
        repeat_penalty: wire.repeat_penalty,
        frequency_penalty: wire.frequency_penalty,
        presence_penalty: wire.presence_penalty,
        seed: wire.seed,
    };
    for (field, holds, allowed) in sampling.or(crate::chat::Sampling::default()).rules() {
        bad.check(holds, format!("{prefix}sampling.{field}"), allowed);
    }
    sampling
}

/// Names of agents and runs end up in labels, logs and tables.
pub(super) fn name(bad: &mut Violations, field: String, name: &str) {
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

fn input(
    prefix: &str,
    prompt: String,
    messages: Vec<wire::Message>,
    bad: &mut Violations,
) -> Input {
    let mut check = |field: &str, text: &str| {
        let field = format!("{prefix}{field}");
        bad.check(text.len() <= MAX_CONTENT, &field, "must be at most 1,048,576 bytes");
        bad.check(!text.contains('\0'), &field, "must not hold the character NUL");
    };
    if !prompt.is_empty() {
        check("prompt", &prompt);
        bad.check(messages.is_empty(), format!("{prefix}messages"), "must be empty with prompt");
        return Input::Text(prompt);
    }
    let count = (1..=1_000).contains(&messages.len());
    let mut roles = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        check(&format!("messages[{n}].content"), &message.content);
        roles.push(message.role());
    }
    bad.check(count, format!("{prefix}messages"), "must be 1 to 1,000 messages");
    let mut checked = Vec::with_capacity(messages.len());
    for (n, (message, role)) in messages.into_iter().zip(roles).enumerate() {
        let role = match role {
            wire::Role::System => Role::System,
            wire::Role::User => Role::User,
            wire::Role::Assistant => Role::Assistant,
            wire::Role::Tool => Role::Tool,
            wire::Role::Unspecified => {
                let field = format!("{prefix}messages[{n}].role");
                bad.add(field, "must be system, user, assistant or tool");
                continue;
            }
        };
        let calls = message.tool_calls.into_iter().map(|call| ToolCall {
            id: call.id,
            name: call.name,
            arguments: call.arguments_json,
        });
        checked.push(Message {
            role,
            content: message.content,
            tool_calls: calls.collect(),
            tool_call_id: (!message.tool_call_id.is_empty()).then_some(message.tool_call_id),
        });
    }
    Input::Messages(checked)
}

fn tools(
    prefix: &str,
    tools: Vec<wire::Tool>,
    choice: i32,
    named: String,
    bad: &mut Violations,
) -> Option<Tools> {
    let at = |field: &str| format!("{prefix}{field}");
    bad.check(tools.len() <= 64, at("tools"), "must be at most 64");
    let mut checked: Vec<Tool> = Vec::with_capacity(tools.len());
    for (n, tool) in tools.into_iter().enumerate() {
        let field = |field: &str| at(&format!("tools[{n}].{field}"));
        let valid = (1..=64).contains(&tool.name.len())
            && tool.name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        bad.check(valid, field("name"), "must be 1 to 64 letters, digits, `_` or `-`");
        let unique = checked.iter().all(|other| other.name != tool.name);
        bad.check(unique, field("name"), "must be unique");
        let parameters = match tool.parameters_json_schema.as_str() {
            "" => Ok(json!({ "type": "object", "properties": {} })),
            text => serde_json::from_str(text),
        };
        let parameters = parameters.unwrap_or_else(|error| {
            bad.add(field("parameters_json_schema"), format!("must be JSON: {error}"));
            json!({})
        });
        checked.push(Tool { name: tool.name, description: tool.description, parameters });
    }
    let choice = match wire::ToolChoice::try_from(choice) {
        _ if !named.is_empty() => {
            let known = checked.iter().any(|tool| tool.name == named);
            bad.check(known, at("tool_choice_name"), "must be the name of one of tools");
            ToolChoice::Named(named)
        }
        Ok(wire::ToolChoice::None) => ToolChoice::None,
        Ok(wire::ToolChoice::Required) => ToolChoice::Required,
        Ok(wire::ToolChoice::Unspecified) => ToolChoice::Auto,
        Err(_) => {
            bad.add(at("tool_choice"), "must be unspecified, none or required");
            ToolChoice::Auto
        }
    };
    (!checked.is_empty()).then_some(Tools { tools: checked, choice })
}

/// The fields that say what an answer must be.
struct Constraints {
    json_schema: String,
    regex: String,
    choice: Vec<String>,
    grammar: String,
}

impl Constraints {
    /// None when no field is set.
    fn check(self, prefix: &str, tools: bool, bad: &mut Violations) -> Option<Self> {
        let set = [
            ("json_schema", !self.json_schema.is_empty()),
            ("regex", !self.regex.is_empty()),
            ("choice", !self.choice.is_empty()),
            ("grammar", !self.grammar.is_empty()),
        ];
        let mut set = set.into_iter().filter(|(_, set)| *set).map(|(name, _)| name);
        let first = set.next()?;
        for other in set {
            bad.add(format!("{prefix}{other}"), format!("must not be set beside {first}"));
        }
        bad.check(!tools, format!("{prefix}{first}"), "must not be set beside tools");
        for (field, text) in
            [("json_schema", &self.json_schema), ("regex", &self.regex), ("grammar", &self.grammar)]
        {
            let fits = text.len() <= MAX_SCHEMA;
            bad.check(fits, format!("{prefix}{field}"), "must be at most 65,536 bytes");
        }
        let few = self.choice.len() <= 256;
        bad.check(few, format!("{prefix}choice"), "must be at most 256 strings");
        for (n, choice) in self.choice.iter().enumerate() {
            let fits = (1..=4_096).contains(&choice.len());
            bad.check(fits, format!("{prefix}choice[{n}]"), "must be 1 to 4,096 bytes");
        }
        Some(self)
    }

    fn into_domain(self) -> Result<Option<Constraint>, Status> {
        Ok(Some(if !self.json_schema.is_empty() {
            let schema = serde_json::from_str(&self.json_schema);
            Constraint::Schema(schema.map_err(|error| {
                super::to_status(Error::schema(format!("it is no JSON: {error}")))
            })?)
        } else if !self.regex.is_empty() {
            Constraint::Regex(self.regex)
        } else if !self.choice.is_empty() {
            Constraint::Choice(self.choice)
        } else {
            Constraint::Grammar(self.grammar)
        }))
    }
}
