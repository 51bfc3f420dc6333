//! What went wrong and what to do.

use std::{fmt, time::Duration};

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

    /// The configuration is missing or cannot be used.
    pub(crate) fn configuration(message: impl fmt::Display) -> Self {
        Self { code: 64, ..Self::other(message) }
    }

    /// It took longer than it may.
    pub(crate) fn late(patience: Duration) -> Self {
        Status::deadline_exceeded(format!("not done within {} s", patience.as_secs())).into()
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
            Code::DeadlineExceeded => {
                (Some("give it longer with --timeout, or look with `alina status`"), 69)
            }
            Code::Unauthenticated => {
                (Some("name the file with the suite's token: --token-file"), 1)
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_is_away_or_late_has_its_exit_code_and_a_hint() {
        let away = Failure::from(Status::unavailable("memory cannot be reached"));
        assert_eq!(away.exit_code(), 69);
        let text = away.to_string();
        assert!(text.starts_with("memory cannot be reached\n  start the suite with"), "{text}");
        let late = Failure::late(Duration::from_secs(3));
        assert_eq!(late.exit_code(), 69);
        assert!(late.to_string().starts_with("not done within 3 s\n  give it longer"), "{late}");
    }

    #[test]
    fn the_reason_a_service_gives_is_shown_to_people_and_programs() {
        let status = alina_service::status::error(Code::NotFound, "RUN_NOT_FOUND", "no run `x`");
        let failure = Failure::from(status);
        assert_eq!(failure.to_string(), "no run `x` (RUN_NOT_FOUND)");
        assert_eq!(failure.exit_code(), 1);
        assert_eq!(failure.json()["error"]["reason"], "RUN_NOT_FOUND");
        assert_eq!(failure.json()["error"]["hint"], Value::Null);
    }
}
