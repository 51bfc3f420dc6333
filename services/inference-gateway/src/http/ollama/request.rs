//! What Ollama's clients send to have text made, and what it means here.
//!
//! `template`, `keep_alive` (but for asking to load or unload), `truncate` and those options that
//! say how a machine is used (`num_ctx`, `num_gpu`, `num_thread` and the like) are config.yaml's
//! business here: they are read over.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;

use super::super::{
    check::{self, Checks},
    fault::Fault,
    parse::OneOrMany,
};
use crate::{
    chat::{Constraint, Input, Message, Role, Tool, ToolCall, ToolChoice, Tools},
    gateway::{ChatRequest, SamplingRequest},
};

/// `POST /api/chat`.
#[derive(Debug, Deserialize)]
pub(super) struct Chat {
    pub(super) model: String,
    #[serde(default)]
    messages: Option<Vec<WireMessage>>,
    tools: Option<Vec<WireTool>>,
    format: Option<Value>,
    options: Option<Options>,
    pub(super) stream: Option<bool>,
    keep_alive: Option<Value>,
    think: Option<Value>,
    logprobs: Option<bool>,
    top_logprobs: Option<i64>,
}

/// `POST /api/generate`.
#[derive(Debug, Deserialize)]
pub(super) struct Generate {
    pub(super) model: String,
    prompt: Option<String>,
    system: Option<String>,
    suffix: Option<String>,
    raw: Option<bool>,
    images: Option<Value>,
    context: Option<Value>,
    format: Option<Value>,
    options: Option<Options>,
    pub(super) stream: Option<bool>,
    keep_alive: Option<Value>,
    think: Option<Value>,
    logprobs: Option<bool>,
    top_logprobs: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct WireMessage {
    role: String,
    content: Option<String>,
    images: Option<Value>,
    tool_calls: Option<Vec<WireCall>>,
    tool_name: Option<String>,
    tool_call_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct WireCall {
    id: Option<String>,
    function: WireFunctionCall,
}

#[derive(Debug, Deserialize)]
struct WireFunctionCall {
    name: String,
    arguments: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct WireTool {
    function: WireFunction,
}

#[derive(Debug, Deserialize)]
struct WireFunction {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Options {
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<i64>,
    min_p: Option<f32>,
    repeat_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    seed: Option<i64>,
    num_predict: Option<i64>,
    stop: Option<OneOrMany>,
    mirostat: Option<i64>,
}

/// What is asked for.
#[derive(Debug)]
pub(super) enum Asked {
    /// An answer.
    Answer(Box<ChatRequest>),
    /// That the model is in memory.
    Load,
    /// That it is not.
    Unload,
}

/// What both requests have.
struct Settings {
    model: String,
    format: Option<Value>,
    options: Options,
    think: Option<Value>,
    logprobs: Option<u8>,
}

impl Chat {
    /// What it asks for.
    pub(super) fn into_domain(self) -> Result<Asked, Fault> {
        let mut checks = Checks::default();
        checks.model(&self.model);
        let wire = self.messages.unwrap_or_default();
        if wire.is_empty() {
            checks.finish()?;
            return Ok(load_or_unload(self.keep_alive.as_ref()));
        }
        checks.count("messages", wire.len());
        let input = Input::Messages(messages(wire, &mut checks));
        let tools = tools(self.tools.unwrap_or_default(), &mut checks);
        let settings = Settings {
            model: self.model,
            format: self.format,
            options: self.options.unwrap_or_default(),
            think: self.think,
            logprobs: logprobs(self.logprobs, self.top_logprobs, &mut checks),
        };
        settings.into_domain(input, tools, checks)
    }
}

impl Generate {
    /// What it asks for.
    pub(super) fn into_domain(self) -> Result<Asked, Fault> {
        let mut checks = Checks::default();
        checks.model(&self.model);
        for (field, value) in [("images", &self.images), ("context", &self.context)] {
            checks.that(is_empty(value.as_ref()), field, "must be absent: it is not supported");
        }
        let suffix = self.suffix.is_none_or(|suffix| suffix.is_empty());
        checks.that(suffix, "suffix", "must be absent: it is not supported");
        let prompt = self.prompt.unwrap_or_default();
        if prompt.is_empty() {
            checks.finish()?;
            return Ok(load_or_unload(self.keep_alive.as_ref()));
        }
        checks.text("prompt", &prompt);
        let system = self.system.filter(|system| !system.is_empty());
        checks.text("system", system.as_deref().unwrap_or_default());
        let input = if self.raw.unwrap_or(false) {
            checks.that(system.is_none(), "system", "must be absent when raw is true");
            Input::Text(prompt)
        } else {
            let system = system.map(|system| Message::new(Role::System, system));
            let messages = system.into_iter().chain([Message::new(Role::User, prompt)]);
            Input::Messages(messages.collect())
        };
        let settings = Settings {
            model: self.model,
            format: self.format,
            options: self.options.unwrap_or_default(),
            think: self.think,
            logprobs: logprobs(self.logprobs, self.top_logprobs, &mut checks),
        };
        settings.into_domain(input, None, checks)
    }
}

/// No prompt means that only the model's place in memory matters; `keep_alive` of 0 gives it up.
fn load_or_unload(keep_alive: Option<&Value>) -> Asked {
    let gone = match keep_alive {
        Some(Value::Number(seconds)) => seconds.as_f64() == Some(0.0),
        Some(Value::String(text)) => matches!(text.as_str(), "0" | "0s" | "0m" | "0h" | "0ms"),
        _ => false,
    };
    if gone { Asked::Unload } else { Asked::Load }
}

/// Whether a field says nothing.
fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    }
}

fn logprobs(wanted: Option<bool>, top: Option<i64>, checks: &mut Checks) -> Option<u8> {
    let alternatives = checks.alternatives("top_logprobs", top).unwrap_or(0);
    (wanted.unwrap_or(false) || alternatives > 0).then_some(alternatives)
}

impl Settings {
    fn into_domain(
        self,
        input: Input,
        tools: Option<Tools>,
        mut checks: Checks,
    ) -> Result<Asked, Fault> {
        let options = self.options;
        let sampling = SamplingRequest {
            temperature: options.temperature,
            top_p: options.top_p,
            // Ollama turns it off with -1, too.
            top_k: options.top_k.map(|k| u32::try_from(k.max(0)).unwrap_or(u32::MAX)),
            min_p: options.min_p,
            repeat_penalty: options.repeat_penalty,
            frequency_penalty: options.frequency_penalty,
            presence_penalty: options.presence_penalty,
            // A negative seed is none.
            seed: options.seed.filter(|seed| *seed >= 0).map(check::seed),
        };
        checks.sampling("options.", sampling);
        let mirostat = options.mirostat.is_none_or(|mirostat| mirostat == 0);
        checks.that(mirostat, "options.mirostat", "must be absent or 0: it is not supported");
        // -1 is without end, -2 as far as the window goes.
        let tokens = options.num_predict.map(|tokens| match tokens {
            -1 | -2 => check::MAX_TOKENS,
            tokens => tokens,
        });
        let max_tokens = checks.max_tokens("options.num_predict", tokens);
        let stop = options.stop.map(|stop| stop.0).unwrap_or_default();
        checks.stop("options.stop", &stop);
        let thinks = matches!(&self.think, None | Some(Value::Null | Value::Bool(false)));
        checks.that(thinks, "think", "must be false: no model here thinks aloud");
        let constraint = self.format.and_then(|format| constraint(format, &mut checks));
        let both = tools.is_some() && constraint.is_some();
        checks.that(!both, "format", "must be absent beside tools");
        checks.finish()?;
        Ok(Asked::Answer(Box::new(ChatRequest {
            sampling,
            max_tokens,
            stop,
            constraint,
            tools,
            logprobs: self.logprobs,
            ..ChatRequest::new(self.model, input)
        })))
    }
}

fn constraint(format: Value, checks: &mut Checks) -> Option<Constraint> {
    match format {
        Value::Null => None,
        Value::String(word) if word.is_empty() => None,
        Value::String(word) if word == "json" => Some(check::any_object()),
        Value::Object(_) => {
            checks.schema("format", &format);
            Some(Constraint::Schema(format))
        }
        _ => {
            checks.that(false, "format", "must be \"json\" or a JSON schema");
            None
        }
    }
}

fn tools(wire: Vec<WireTool>, checks: &mut Checks) -> Option<Tools> {
    checks.that(wire.len() <= 64, "tools", "must be at most 64");
    let mut tools = Vec::with_capacity(wire.len());
    for (n, WireTool { function }) in wire.into_iter().enumerate() {
        let tool = Tool {
            name: function.name,
            description: function.description.unwrap_or_default(),
            parameters: function.parameters.unwrap_or_else(check::no_parameters),
        };
        checks.tool(&format!("tools[{n}].function"), &tool, &tools);
        tools.push(tool);
    }
    (!tools.is_empty()).then_some(Tools { tools, choice: ToolChoice::Auto })
}

/// Ollama's calls have no ids, and results name the tool, if anything: they are matched in order.
fn messages(wire: Vec<WireMessage>, checks: &mut Checks) -> Vec<Message> {
    let mut open: VecDeque<(String, String)> = VecDeque::new();
    let mut calls = 0_usize;
    let mut messages = Vec::with_capacity(wire.len());
    for (n, message) in wire.into_iter().enumerate() {
        let at = |field: &str| format!("messages[{n}].{field}");
        let role = match message.role.as_str() {
            "system" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            _ => {
                checks.that(false, at("role"), "must be system, user, assistant or tool");
                continue;
            }
        };
        let images = is_empty(message.images.as_ref());
        checks.that(images, at("images"), "must be absent: images are not supported");
        let content = message.content.unwrap_or_default();
        checks.text(&at("content"), &content);
        let mut tool_calls = Vec::new();
        for (call, wire) in message.tool_calls.unwrap_or_default().into_iter().enumerate() {
            let arguments =
                wire.function.arguments.unwrap_or_else(|| Value::Object([].into_iter().collect()));
            let field = at(&format!("tool_calls[{call}].function.arguments"));
            checks.that(arguments.is_object(), &field, "must be an object");
            let arguments = arguments.to_string();
            checks.text(&field, &arguments);
            let id = wire.id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{calls}"));
            calls += 1;
            open.push_back((id.clone(), wire.function.name.clone()));
            tool_calls.push(ToolCall { id, name: wire.function.name, arguments });
        }
        let assistant = tool_calls.is_empty() || role == Role::Assistant;
        checks.that(assistant, at("tool_calls"), "must be absent unless role is assistant");
        let tool_call_id = (role == Role::Tool).then(|| {
            let given = message.tool_call_id.filter(|id| !id.is_empty());
            let place = open.iter().position(|(id, name)| match (&given, &message.tool_name) {
                (Some(given), _) => id == given,
                (None, Some(tool)) => name == tool,
                (None, None) => true,
            });
            let matched = place.and_then(|place| open.remove(place)).map(|(id, _)| id);
            given.or(matched)
        });
        messages.push(Message { role, content, tool_calls, tool_call_id: tool_call_id.flatten() });
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::parse;

    fn asked(json: &str) -> Result<Asked, Fault> {
        parse::<Chat>(json.as_bytes())?.into_domain()
    }

    #[test]
    fn results_of_tools_are_matched_with_their_calls() {
        let json = r#"{"model":"m","messages":[
            {"role":"user","content":"x"},
            {"role":"assistant","tool_calls":[
                {"function":{"name":"a","arguments":{"n":1}}},
                {"function":{"name":"b"}}]},
            {"role":"tool","tool_name":"b","content":"2"},
            {"role":"tool","content":"1"}]}"#;
        let Ok(Asked::Answer(request)) = asked(json) else { panic!("it is sound") };
        let Input::Messages(messages) = request.input else { panic!("they are messages") };
        assert_eq!(messages[1].tool_calls[0].arguments, r#"{"n":1}"#);
        assert_eq!(messages[1].tool_calls[1].arguments, "{}");
        assert_eq!(messages[2].tool_call_id.as_deref(), Some("call_1"));
        assert_eq!(messages[3].tool_call_id.as_deref(), Some("call_0"));
    }

    #[test]
    fn without_messages_only_memory_matters() {
        assert!(matches!(asked(r#"{"model":"m"}"#), Ok(Asked::Load)));
        assert!(matches!(
            asked(r#"{"model":"m","messages":[],"keep_alive":"5m"}"#),
            Ok(Asked::Load)
        ));
        for never in ["0", "\"0\"", "\"0s\"", "0.0"] {
            let json = format!(r#"{{"model":"m","keep_alive":{never}}}"#);
            assert!(matches!(asked(&json), Ok(Asked::Unload)), "{never}");
        }
    }
}
