//! What both interfaces' requests may hold. The bounds are those of the gRPC surface.

use serde_json::{Value, json};

use super::fault::Fault;
use crate::{
    chat::{Constraint, Sampling, Tool},
    gateway::SamplingRequest,
};

/// More in one message fits no model here.
const MAX_CONTENT: usize = 1 << 20;
const MAX_SCHEMA: usize = 64 << 10;
/// The longest answer that may be asked for.
pub(super) const MAX_TOKENS: i64 = 1_048_576;
/// Faults told at once.
const MAX_TOLD: usize = 8;

/// Collects what is wrong with a request, so that all of it is told at once.
#[derive(Debug, Default)]
pub(super) struct Checks {
    wrong: Vec<(String, String)>,
}

impl Checks {
    /// Notes that `field` is wrong unless `holds`; `allowed` says what it must be.
    pub(super) fn that(
        &mut self,
        holds: bool,
        field: impl Into<String>,
        allowed: impl Into<String>,
    ) {
        if !holds {
            self.wrong.push((field.into(), allowed.into()));
        }
    }

    /// The fault with all that was noted.
    pub(super) fn finish(self) -> Result<(), Fault> {
        let Some((first, _)) = self.wrong.first() else { return Ok(()) };
        let told = self.wrong.iter().take(MAX_TOLD);
        let told: Vec<String> =
            told.map(|(field, allowed)| format!("{field}: {allowed}")).collect();
        let mut fault = Fault::field(first.clone(), "");
        fault.message = told.join("; ");
        Err(fault)
    }

    pub(super) fn model(&mut self, model: &str) {
        self.that((1..=256).contains(&model.len()), "model", "must be 1 to 256 bytes");
    }

    pub(super) fn user(&mut self, user: Option<&str>) {
        let sound = user.is_none_or(super::caller::is_name);
        self.that(sound, "user", "must be at most 128 bytes without control characters");
    }

    /// A message's content or a prompt.
    pub(super) fn text(&mut self, field: &str, text: &str) {
        self.that(text.len() <= MAX_CONTENT, field, "must be at most 1,048,576 bytes");
        self.that(!text.contains('\0'), field, "must not hold the character NUL");
    }

    pub(super) fn count(&mut self, field: &str, messages: usize) {
        let holds = (1..=1_000).contains(&messages);
        self.that(holds, field, "must be 1 to 1,000 messages");
    }

    /// The longest answer, when given.
    pub(super) fn max_tokens(&mut self, field: &str, tokens: Option<i64>) -> Option<u32> {
        let holds = tokens.is_none_or(|tokens| (1..=MAX_TOKENS).contains(&tokens));
        self.that(holds, field, "must be 1 to 1,048,576, or absent for the model's default");
        tokens.and_then(|tokens| u32::try_from(tokens).ok())
    }

    pub(super) fn stop(&mut self, field: &str, stop: &[String]) {
        self.that(stop.len() <= 16, field, "must be at most 16 strings");
        for (n, text) in stop.iter().enumerate() {
            let fits = (1..=256).contains(&text.len());
            self.that(fits, format!("{field}[{n}]"), "must be 1 to 256 bytes");
        }
    }

    /// Each field's name begins with `prefix`.
    pub(super) fn sampling(&mut self, prefix: &str, sampling: SamplingRequest) {
        for (field, holds, allowed) in sampling.or(Sampling::default()).rules() {
            self.that(holds, format!("{prefix}{field}"), allowed);
        }
    }

    /// The alternatives to each token.
    pub(super) fn alternatives(&mut self, field: &str, top: Option<i64>) -> Option<u8> {
        let holds = top.is_none_or(|top| (0..=20).contains(&top));
        self.that(holds, field, "must be 0 to 20");
        top.and_then(|top| u8::try_from(top).ok())
    }

    /// A tool; `others` come before it.
    pub(super) fn tool(&mut self, field: &str, tool: &Tool, others: &[Tool]) {
        let name = format!("{field}.name");
        let valid = (1..=64).contains(&tool.name.len())
            && tool.name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        self.that(valid, &name, "must be 1 to 64 letters, digits, `_` or `-`");
        let unique = others.iter().all(|other| other.name != tool.name);
        self.that(unique, name, "must be unique");
        let object = tool.parameters.is_object();
        let parameters = format!("{field}.parameters");
        self.that(object, &parameters, "must be a JSON schema of an object");
        self.schema(&parameters, &tool.parameters);
        self.text(&format!("{field}.description"), &tool.description);
    }

    /// How large a schema may be.
    pub(super) fn schema(&mut self, field: &str, schema: &Value) {
        let fits = schema.to_string().len() <= MAX_SCHEMA;
        self.that(fits, field, "must be at most 65,536 bytes");
    }
}

/// Any JSON object.
pub(super) fn any_object() -> Constraint {
    Constraint::Schema(json!({ "type": "object" }))
}

/// The parameters of a tool that names none.
pub(super) fn no_parameters() -> Value {
    json!({ "type": "object", "properties": {} })
}

/// A seed of any size as one of 32 bits; different ones may become the same.
pub(super) fn seed(seed: i64) -> u32 {
    let [a, b, c, d, e, f, g, h] = seed.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]) ^ u32::from_le_bytes([e, f, g, h])
}
