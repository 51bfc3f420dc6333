//! What OpenAI's clients send to `POST /v1/chat/completions`, and what it means here. Fields that
//! change nothing about the answer (`store`, `metadata`, `service_tier` and the like) are not read.

use serde::Deserialize;
use serde_json::Value;

use super::super::{
    check::{self, Checks},
    fault::Fault,
    parse::{OneOrMany, Text},
};
use crate::{
    chat::{Constraint, Input, Message, Role, Tool, ToolCall, ToolChoice, Tools},
    gateway::{ChatRequest, SamplingRequest},
};

/// The body.
#[derive(Debug, Deserialize)]
pub(super) struct ChatCompletion {
    pub(super) model: String,
    messages: Vec<WireMessage>,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    frequency_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    // Not OpenAI's; the usual names of others.
    top_k: Option<u32>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    seed: Option<i64>,
    stop: Option<OneOrMany>,
    n: Option<i64>,
    logprobs: Option<bool>,
    top_logprobs: Option<i64>,
    response_format: Option<ResponseFormat>,
    tools: Option<Vec<WireTool>>,
    tool_choice: Option<Choice>,
    pub(super) parallel_tool_calls: Option<bool>,
    pub(super) user: Option<String>,
    // What would change the answer and is not done.
    logit_bias: Option<Value>,
    functions: Option<Value>,
    function_call: Option<Value>,
    audio: Option<Value>,
    prediction: Option<Value>,
    web_search_options: Option<Value>,
}

/// What a stream has besides.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct WireMessage {
    role: String,
    content: Option<Text>,
    tool_calls: Option<Vec<WireCall>>,
    tool_call_id: Option<String>,
    function_call: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct WireCall {
    id: String,
    function: WireFunctionCall,
}

#[derive(Debug, Deserialize)]
struct WireFunctionCall {
    name: String,
    arguments: String,
}

#[derive(Debug, Deserialize)]
struct WireTool {
    r#type: String,
    function: Option<WireFunction>,
}

#[derive(Debug, Deserialize)]
struct WireFunction {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct ResponseFormat {
    r#type: String,
    json_schema: Option<JsonSchema>,
}

#[derive(Debug, Deserialize)]
struct JsonSchema {
    schema: Option<Value>,
}

/// A word, or an object that names a function.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Choice(Value);

impl ChatCompletion {
    /// The chat it asks for.
    pub(super) fn into_domain(self) -> Result<ChatRequest, Fault> {
        let mut checks = Checks::default();
        checks.model(&self.model);
        checks.user(self.user.as_deref());
        self.refuse_what_is_not_done(&mut checks);
        let sampling = SamplingRequest {
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            repeat_penalty: self.repetition_penalty,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            seed: self.seed.map(check::seed),
        };
        checks.sampling("", sampling);
        let (field, tokens) = match self.max_completion_tokens {
            Some(tokens) => ("max_completion_tokens", Some(tokens)),
            None => ("max_tokens", self.max_tokens),
        };
        let max_tokens = checks.max_tokens(field, tokens);
        let stop = self.stop.map(|stop| stop.0).unwrap_or_default();
        checks.stop("stop", &stop);
        let logprobs = logprobs(self.logprobs, self.top_logprobs, &mut checks);
        let constraint = self.response_format.and_then(|format| format.into_domain(&mut checks));
        let tools = tools(self.tools.unwrap_or_default(), self.tool_choice, &mut checks);
        let both = tools.is_some() && constraint.is_some();
        checks.that(!both, "response_format", "must be absent or of type text beside tools");
        let input = messages(self.messages, &mut checks);
        checks.finish()?;
        Ok(ChatRequest {
            sampling,
            max_tokens,
            stop,
            constraint,
            tools,
            logprobs,
            ..ChatRequest::new(self.model, input)
        })
    }

    fn refuse_what_is_not_done(&self, checks: &mut Checks) {
        checks.that(self.n.is_none_or(|n| n == 1), "n", "must be 1");
        let streams = self.stream.unwrap_or(false) || self.stream_options.is_none();
        checks.that(streams, "stream_options", "must be absent unless stream is true");
        for (field, value) in [
            ("logit_bias", &self.logit_bias),
            ("functions", &self.functions),
            ("function_call", &self.function_call),
            ("audio", &self.audio),
            ("prediction", &self.prediction),
            ("web_search_options", &self.web_search_options),
        ] {
            checks.that(is_empty(value.as_ref()), field, "must be absent: it is not supported");
        }
    }
}

/// Whether a field says nothing.
pub(super) fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    }
}

fn logprobs(wanted: Option<bool>, top: Option<i64>, checks: &mut Checks) -> Option<u8> {
    let alternatives = checks.alternatives("top_logprobs", top);
    let wanted = wanted.unwrap_or(false);
    let alone = top.is_some_and(|top| top > 0) && !wanted;
    checks.that(!alone, "top_logprobs", "must be absent unless logprobs is true");
    wanted.then(|| alternatives.unwrap_or(0))
}

impl ResponseFormat {
    fn into_domain(self, checks: &mut Checks) -> Option<Constraint> {
        match self.r#type.as_str() {
            "text" => None,
            "json_object" => Some(check::any_object()),
            "json_schema" => {
                let Some(JsonSchema { schema: Some(schema) }) = self.json_schema else {
                    checks.that(false, "response_format.json_schema.schema", "must be set");
                    return None;
                };
                checks.schema("response_format.json_schema.schema", &schema);
                Some(Constraint::Schema(schema))
            }
            _ => {
                let allowed = "must be text, json_object or json_schema";
                checks.that(false, "response_format.type", allowed);
                None
            }
        }
    }
}

fn tools(wire: Vec<WireTool>, choice: Option<Choice>, checks: &mut Checks) -> Option<Tools> {
    checks.that(wire.len() <= 64, "tools", "must be at most 64");
    let mut tools = Vec::with_capacity(wire.len());
    for (n, tool) in wire.into_iter().enumerate() {
        let field = format!("tools[{n}]");
        checks.that(tool.r#type == "function", format!("{field}.type"), "must be function");
        let Some(function) = tool.function else {
            checks.that(false, format!("{field}.function"), "must be set");
            continue;
        };
        let tool = Tool {
            name: function.name,
            description: function.description.unwrap_or_default(),
            parameters: function.parameters.unwrap_or_else(check::no_parameters),
        };
        checks.tool(&format!("{field}.function"), &tool, &tools);
        tools.push(tool);
    }
    let choice = choice.and_then(|choice| choice.into_domain(&tools, checks));
    // Without tools "none" and "auto" say nothing.
    let calls = matches!(choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
    checks.that(!(tools.is_empty() && calls), "tools", "must be set when tool_choice asks for one");
    (!tools.is_empty()).then_some(Tools { tools, choice: choice.unwrap_or(ToolChoice::Auto) })
}

impl Choice {
    fn into_domain(self, tools: &[Tool], checks: &mut Checks) -> Option<ToolChoice> {
        match &self.0 {
            Value::String(word) if word == "none" => return Some(ToolChoice::None),
            Value::String(word) if word == "auto" => return Some(ToolChoice::Auto),
            // "any" is what some clients call it.
            Value::String(word) if word == "required" || word == "any" => {
                return Some(ToolChoice::Required);
            }
            Value::Object(choice) if choice.get("type").is_some_and(|kind| kind == "function") => {
                let name = choice.get("function").and_then(|function| function.get("name"));
                if let Some(name) = name.and_then(Value::as_str) {
                    let known = tools.iter().any(|tool| tool.name == name);
                    let field = "tool_choice.function.name";
                    checks.that(known, field, "must be the name of one of tools");
                    return Some(ToolChoice::Named(name.to_owned()));
                }
            }
            _ => {}
        }
        let allowed =
            r#"must be none, auto, required or {"type":"function","function":{"name":…}}"#;
        checks.that(false, "tool_choice", allowed);
        None
    }
}

fn messages(wire: Vec<WireMessage>, checks: &mut Checks) -> Input {
    checks.count("messages", wire.len());
    let mut messages = Vec::with_capacity(wire.len());
    for (n, message) in wire.into_iter().enumerate() {
        let at = |field: &str| format!("messages[{n}].{field}");
        let role = match message.role.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            _ => {
                let allowed = "must be system, developer, user, assistant or tool";
                checks.that(false, at("role"), allowed);
                continue;
            }
        };
        let old = is_empty(message.function_call.as_ref());
        checks.that(old, at("function_call"), "must be absent: use tool_calls");
        let wire_calls = message.tool_calls.unwrap_or_default();
        let calls = wire_calls.is_empty() || role == Role::Assistant;
        checks.that(calls, at("tool_calls"), "must be absent unless role is assistant");
        let says = message.content.is_some() || !wire_calls.is_empty();
        checks.that(says, at("content"), "must be set");
        let answers = role != Role::Tool || message.tool_call_id.is_some();
        checks.that(answers, at("tool_call_id"), "must be set when role is tool");
        let content = message.content.unwrap_or_default().0;
        checks.text(&at("content"), &content);
        let mut tool_calls = Vec::with_capacity(wire_calls.len());
        for (call, wire) in wire_calls.into_iter().enumerate() {
            let WireFunctionCall { name, arguments } = wire.function;
            checks.text(&at(&format!("tool_calls[{call}].function.arguments")), &arguments);
            tool_calls.push(ToolCall { id: wire.id, name, arguments });
        }
        messages.push(Message { role, content, tool_calls, tool_call_id: message.tool_call_id });
    }
    Input::Messages(messages)
}
