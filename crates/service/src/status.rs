//! gRPC statuses with the details that callers can rely on: a stable reason, the offending
//! fields, when to come back.

use std::{collections::HashMap, time::Duration};

use alina_proto::ERROR_DOMAIN;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

fn details(reason: &str) -> ErrorDetails {
    ErrorDetails::with_error_info(reason, ERROR_DOMAIN, HashMap::new())
}

/// A failure with its reason, as documented in `proto/`.
#[must_use]
pub fn error(code: Code, reason: &str, message: impl Into<String>) -> Status {
    Status::with_error_details(code, message, details(reason))
}

/// A failure that may pass: says when to try again.
#[must_use]
pub fn retry(code: Code, reason: &str, message: impl Into<String>, after: Duration) -> Status {
    let mut details = details(reason);
    details.set_retry_info(Some(after));
    Status::with_error_details(code, message, details)
}

/// A failure about one thing: `kind` such as "run", `name` its id.
#[must_use]
pub fn resource(
    code: Code,
    reason: &str,
    kind: &str,
    name: impl Into<String>,
    message: impl Into<String>,
) -> Status {
    let message = message.into();
    let mut details = details(reason);
    details.set_resource_info(kind, name, "", message.clone());
    Status::with_error_details(code, message, details)
}

/// Collects what is wrong with a request, field by field.
#[derive(Debug, Default)]
pub struct Violations(Vec<FieldViolation>);

impl Violations {
    /// Notes that `field` breaks its rule unless `holds`; `rule` says what is allowed, for example
    /// "must be 1 to 65,536 bytes".
    pub fn check(&mut self, holds: bool, field: impl Into<String>, rule: impl Into<String>) {
        if !holds {
            self.0.push(FieldViolation::new(field, rule));
        }
    }

    /// Notes that `field` breaks its rule.
    pub fn add(&mut self, field: impl Into<String>, rule: impl Into<String>) {
        self.check(false, field, rule);
    }

    /// Ends the checks.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` (reason `INVALID_REQUEST`) naming every field noted.
    pub fn finish(self) -> Result<(), Status> {
        if self.0.is_empty() {
            return Ok(());
        }
        let message = self
            .0
            .iter()
            .map(|violation| format!("{} {}", violation.field, violation.description))
            .collect::<Vec<_>>()
            .join("; ");
        let mut details = details("INVALID_REQUEST");
        details.set_bad_request(self.0);
        Err(Status::with_error_details(Code::InvalidArgument, message, details))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_name_every_field() {
        let mut bad = Violations::default();
        bad.check(true, "fine", "never shown");
        bad.check(false, "goal", "must not be empty");
        bad.add("agents[0]", "is unknown");
        let status = bad.finish().unwrap_err();
        assert_eq!(status.message(), "goal must not be empty; agents[0] is unknown");
        let fields = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(fields.len(), 2);
        assert_eq!(alina_client::reason(&status).as_deref(), Some("INVALID_REQUEST"));
    }
}
