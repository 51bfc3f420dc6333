//! `POST /v1/completions`: a text is continued as it is.

use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{
        check::{self, Checks},
        fault::Fault,
        parse::OneOrMany,
    },
    request::{StreamOptions, is_empty},
};
use crate::{
    chat::Input,
    gateway::{ChatRequest, SamplingRequest},
};

/// The body.
#[derive(Debug, Deserialize)]
pub(super) struct Completion {
    pub(super) model: String,
    prompt: OneOrMany,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
    max_tokens: Option<i64>,
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
    logprobs: Option<i64>,
    n: Option<i64>,
    best_of: Option<i64>,
    echo: Option<bool>,
    pub(super) user: Option<String>,
    // What would change the answer and is not done.
    suffix: Option<String>,
    logit_bias: Option<Value>,
}

impl Completion {
    /// The chat it asks for.
    pub(super) fn into_domain(self) -> Result<ChatRequest, Fault> {
        let mut checks = Checks::default();
        checks.model(&self.model);
        checks.user(self.user.as_deref());
        let mut prompts = self.prompt.0;
        checks.that(prompts.len() == 1, "prompt", "must be a string, or a list of one");
        let prompt = prompts.pop().unwrap_or_default();
        checks.that(!prompt.is_empty(), "prompt", "must not be empty");
        checks.text("prompt", &prompt);
        checks.that(self.n.is_none_or(|n| n == 1), "n", "must be 1");
        checks.that(self.best_of.is_none_or(|n| n == 1), "best_of", "must be 1");
        checks.that(!self.echo.unwrap_or(false), "echo", "must be false");
        let suffix = self.suffix.is_none_or(|suffix| suffix.is_empty());
        checks.that(suffix, "suffix", "must be absent: it is not supported");
        let bias = is_empty(self.logit_bias.as_ref());
        checks.that(bias, "logit_bias", "must be absent: it is not supported");
        let streams = self.stream.unwrap_or(false) || self.stream_options.is_none();
        checks.that(streams, "stream_options", "must be absent unless stream is true");
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
        let max_tokens = checks.max_tokens("max_tokens", self.max_tokens);
        let stop = self.stop.map(|stop| stop.0).unwrap_or_default();
        checks.stop("stop", &stop);
        let logprobs = checks.alternatives("logprobs", self.logprobs);
        checks.finish()?;
        Ok(ChatRequest {
            sampling,
            max_tokens,
            stop,
            logprobs,
            ..ChatRequest::new(self.model, Input::Text(prompt))
        })
    }
}
