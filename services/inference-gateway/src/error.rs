//! What can go wrong, and what to do about it.

use std::time::Duration;

use crate::chat::ModelName;

/// Why a request has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No model or alias of that name.
    #[error("no model `{name}`{}", suggestion(.near))]
    ModelNotFound {
        /// As asked for.
        name: String,
        /// Names that look alike.
        near: Vec<String>,
    },
    /// The model is for something else.
    #[error("model `{name}` {problem}")]
    WrongKind {
        /// The model.
        name: ModelName,
        /// What it is for, and what is needed.
        problem: &'static str,
    },
    /// The model's file or its back end is not in order.
    #[error("model `{name}` is unavailable: {problem}")]
    ModelUnavailable {
        /// The model.
        name: ModelName,
        /// Which file, what was expected, how to mend it.
        problem: String,
    },
    /// The prompt does not fit.
    #[error(
        "the prompt has {tokens} tokens, model `{model}` has room for {fit} (its context of \
         {context} less {} for the answer); shorten the messages",
        .context - .fit
    )]
    PromptTooLong {
        /// The model.
        model: ModelName,
        /// Of the prompt.
        tokens: u32,
        /// The most a prompt may have.
        fit: u32,
        /// The model's window.
        context: u32,
    },
    /// What the answer must be cannot be enforced.
    #[error("{field} cannot be enforced: {why}")]
    InvalidConstraint {
        /// Of the request.
        field: &'static str,
        /// Where and why.
        why: String,
    },
    /// The model's back end cannot do it.
    #[error("model `{model}` is served by `{backend}`, which cannot do {what}")]
    Unsupported {
        /// The model.
        model: ModelName,
        /// Its back end.
        backend: String,
        /// For example "grammar".
        what: &'static str,
    },
    /// Too many wait already.
    #[error(
        "{waiting} requests wait already, the most that may; try again in {:.1} s",
        .retry_after.as_secs_f32()
    )]
    QueueFull {
        /// How many.
        waiting: usize,
        /// When a place in the queue is likely.
        retry_after: Duration,
    },
    /// The back end failed before or while it answered.
    #[error("back end `{backend}` failed: {cause}")]
    BackendFailed {
        /// "embedded" or the name of an Ollama back end.
        backend: String,
        /// What it said.
        cause: String,
    },
}

fn suggestion(names: &[String]) -> String {
    match names {
        [] => "; `alina models` lists those there are".to_owned(),
        names => format!("; did you mean {}?", names.join(", ")),
    }
}

impl Error {
    /// `json_schema` cannot be enforced.
    #[must_use]
    pub fn schema(why: impl Into<String>) -> Self {
        Self::InvalidConstraint { field: "json_schema", why: why.into() }
    }

    /// When it is worth trying again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::QueueFull { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// The reason in `google.rpc.ErrorInfo`, as documented in proto/: for example `QUEUE_FULL`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ModelNotFound { .. } => "MODEL_NOT_FOUND",
            Self::WrongKind { .. } => "INVALID_REQUEST",
            Self::ModelUnavailable { .. } => "MODEL_UNAVAILABLE",
            Self::PromptTooLong { .. } => "PROMPT_TOO_LONG",
            Self::InvalidConstraint { .. } => "INVALID_SCHEMA",
            Self::Unsupported { .. } => "UNSUPPORTED",
            Self::QueueFull { .. } => "QUEUE_FULL",
            Self::BackendFailed { .. } => "BACKEND_FAILED",
        }
    }
}
