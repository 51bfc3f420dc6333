//! What goes wrong between here and a server, and what it means.

use std::time::Duration;

use reqwest::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde_json::Value;

use crate::{chat::ModelName, error::Error};

/// The longest that a server's word is passed on.
const MOST_SAID: usize = 400;
/// When it is worth trying again if a server does not say.
const AGAIN: Duration = Duration::from_secs(1);
/// A server that asks for more is not believed.
const LATEST: Duration = Duration::from_secs(3_600);

/// Why a server gave no answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It takes no connection, or its key cannot be had.
    Away(String),
    /// It took longer than it may.
    Late,
    /// The connection broke, or what came was no answer.
    Failed(String),
    /// It said no.
    Refused(Refusal),
}

impl Fault {
    pub(crate) fn failed(problem: impl Into<String>) -> Self {
        Self::Failed(problem.into())
    }
}

/// An answer with a status other than success.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The message, or the status.
    said: String,
    /// The prompt is too long, as far as it said.
    too_long: bool,
    /// Of the prompt, and of the model's window.
    tokens: Option<(u32, u32)>,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// Of a body, which may be anything.
    pub(crate) fn new(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = value.get("error").unwrap_or(&value);
        let said = message(&value).unwrap_or_else(|| format!("HTTP status {status}"));
        let kind = |field: &str| error.get(field).and_then(Value::as_str).unwrap_or_default();
        // OpenAI's and vLLM's word, and llama-server's.
        let too_long = kind("code") == "context_length_exceeded"
            || kind("type") == "exceed_context_size_error"
            || said.contains("maximum context length");
        let number = |field: &str| error.get(field)?.as_u64()?.try_into().ok();
        let tokens = number("n_prompt_tokens").zip(number("n_ctx"));
        let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = after.and_then(|seconds| seconds.trim().parse().ok());
        let retry_after = after.map(|seconds| Duration::from_secs(seconds).min(LATEST));
        Self { status, said, too_long, tokens, retry_after }
    }

    /// In the server's words, or the HTTP status.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// What it means for a chat with a model of `backend`.
    pub(crate) fn into_error(self, backend: &str, name: &ModelName) -> Error {
        let backend = backend.to_owned();
        let busy = self.status == StatusCode::TOO_MANY_REQUESTS
            || self.status == StatusCode::SERVICE_UNAVAILABLE && self.retry_after.is_some();
        if busy {
            let retry_after = self.retry_after.unwrap_or(AGAIN);
            return Error::BackendBusy { backend, retry_after, cause: self.said };
        }
        match self.status {
            StatusCode::NOT_FOUND => {
                Error::ModelNotFound { name: name.0.clone(), near: Vec::new() }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::ModelUnavailable {
                name: name.clone(),
                problem: format!(
                    "back end `{backend}` refuses its key ({}); mend the key_file of its entry in \
                     config.yaml",
                    self.said
                ),
            },
            _ if self.too_long => match self.tokens {
                Some((tokens, context)) => {
                    Error::PromptTooLong { model: name.clone(), tokens, fit: context, context }
                }
                None => Error::BackendRefused { backend, cause: self.said },
            },
            status if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => {
                Error::BackendRefused { backend, cause: self.said }
            }
            _ => Error::BackendFailed { backend, cause: self.said },
        }
    }
}

/// The message of a refusal: Ollama's `error`, OpenAI's `error.message`, others' `message` or
/// `detail`.
pub(crate) fn message(value: &Value) -> Option<String> {
    let error = value.get("error").unwrap_or(value);
    let fields = || ["message", "detail"].iter().find_map(|field| error.get(field)?.as_str());
    error.as_str().or_else(fields).map(short)
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(MOST_SAID).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(status: u16, after: Option<&'static str>, body: &Value) -> Error {
        let mut headers = HeaderMap::new();
        after.map(|after| headers.insert(RETRY_AFTER, after.parse().unwrap()));
        let status = StatusCode::from_u16(status).unwrap();
        let refusal = Refusal::new(status, &headers, body.to_string().as_bytes());
        refusal.into_error("x", &ModelName("m".to_owned()))
    }

    #[test]
    fn statuses_mean_what_they_mean() {
        let said = json!({ "error": { "message": "so it is" } });
        for (status, after, reason) in [
            (400, None, "INVALID_REQUEST"),
            (401, None, "MODEL_UNAVAILABLE"),
            (404, None, "MODEL_NOT_FOUND"),
            (408, None, "BACKEND_FAILED"),
            (429, Some("7"), "BACKEND_BUSY"),
            (429, Some("Wed, 21 Oct 2026 07:28:00 GMT"), "BACKEND_BUSY"),
            (500, None, "BACKEND_FAILED"),
            (503, None, "BACKEND_FAILED"),
            (503, Some("7"), "BACKEND_BUSY"),
            (302, None, "BACKEND_FAILED"),
        ] {
            assert_eq!(error(status, after, &said).reason(), reason, "{status} {after:?}");
        }
        assert_eq!(error(429, Some("7"), &said).retry_after(), Some(Duration::from_secs(7)));
        assert!(error(500, None, &said).to_string().contains("so it is"));
    }

    #[test]
    fn messages_are_found_however_they_are_told() {
        for body in [
            json!({ "error": "no" }),
            json!({ "error": { "message": "no" } }),
            json!({ "object": "error", "message": "no" }),
            json!({ "detail": "no" }),
        ] {
            assert_eq!(message(&body).as_deref(), Some("no"), "{body}");
        }
        assert_eq!(message(&json!([1])), None);
        let long = message(&json!({ "error": "é".repeat(1_000) })).unwrap();
        assert_eq!(long.chars().count(), MOST_SAID + 1);
    }

    #[test]
    fn a_prompt_that_is_too_long_is_told_with_its_tokens() {
        let body = json!({ "error": { "type": "exceed_context_size_error", "message": "too long",
            "n_prompt_tokens": 5_000, "n_ctx": 4_096 } });
        let error = error(400, None, &body);
        assert_eq!(error.reason(), "PROMPT_TOO_LONG");
        assert!(error.to_string().contains("5000 tokens"), "{error}");
    }
}
