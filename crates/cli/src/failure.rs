//! What went wrong and what to do.

use std::fmt;

use alina_service::ConfigError;
use serde_json::{Value, json};
use tonic::{Code, Status};

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    reason: Option<String>,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    pub(crate) fn other(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), reason: None, hint: None, code: 1 }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.code
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "error": { "message": self.message, "reason": self.reason, "hint": self.hint } })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(reason) = &self.reason {
            write!(f, " ({reason})")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  {hint}")?;
        }
        Ok(())
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let reason = alina_client::reason(&status);
        let (hint, code) = match status.code() {
            Code::Unavailable if reason.is_none() => {
                (Some("start the suite with `alina up`, or look with `alina doctor`"), 69)
            }
            Code::Unavailable => (None, 69),
            Code::Unauthenticated => (Some("give the token with --token-file"), 1),
            _ => (None, 1),
        };
        Self { message: status.message().to_owned(), reason, hint: hint.map(Into::into), code }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self { message: error.to_string(), reason: None, hint: None, code: 64 }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::other(error)
    }
}
