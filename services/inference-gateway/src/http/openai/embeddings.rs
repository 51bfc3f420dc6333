//! `POST /v1/embeddings`.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{answer::Vectors, check::Checks, fault::Fault, parse::OneOrMany};

/// Texts in one request; as many as OpenAI takes.
const MAX_TEXTS: usize = 2_048;

/// The body.
#[derive(Debug, Deserialize)]
pub(super) struct Embeddings {
    pub(super) model: String,
    pub(super) input: OneOrMany,
    encoding_format: Option<String>,
    dimensions: Option<i64>,
    user: Option<String>,
}

impl Embeddings {
    /// Refuses what cannot be done.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let mut checks = Checks::default();
        checks.model(&self.model);
        checks.user(self.user.as_deref());
        let count = (1..=MAX_TEXTS).contains(&self.input.0.len());
        checks.that(count, "input", "must be a string, or 1 to 2,048 strings");
        for (n, text) in self.input.0.iter().enumerate() {
            checks.text(&format!("input[{n}]"), text);
        }
        let known = matches!(self.encoding_format.as_deref(), None | Some("float" | "base64"));
        checks.that(known, "encoding_format", "must be float or base64");
        checks.finish()
    }

    /// The answer.
    pub(super) fn reply(
        dimensions: Option<i64>,
        base64: bool,
        made: &Vectors,
    ) -> Result<Value, Fault> {
        let length = made.vectors.first().map_or(0, Vec::len);
        if dimensions.is_some_and(|wanted| usize::try_from(wanted) != Ok(length)) {
            let allowed = format!("must be absent or {length}, which model `{}` gives", made.model);
            return Err(Fault::field("dimensions", allowed));
        }
        let data = made.vectors.iter().enumerate().map(|(index, vector)| {
            let embedding = if base64 {
                let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
                json!(STANDARD.encode(bytes))
            } else {
                json!(vector)
            };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        });
        Ok(json!({
            "object": "list",
            "data": data.collect::<Vec<_>>(),
            "model": made.model.0,
            "usage": { "prompt_tokens": made.tokens, "total_tokens": made.tokens },
        }))
    }

    /// How many numbers are wanted in a vector, and whether as base64.
    pub(super) fn form(&self) -> (Option<i64>, bool) {
        (self.dimensions, self.encoding_format.as_deref() == Some("base64"))
    }
}
