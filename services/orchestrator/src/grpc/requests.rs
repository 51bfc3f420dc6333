//! Requests, checked field by field.

use alina_proto::{orchestrator::v1 as wire, time};
use alina_service::status::Violations;
use serde_json::Value;
use tonic::Status;
use uuid::Uuid;

use crate::{
    agents::CONFIG_VERSION,
    run::{Alert, AlertId, RunId, Severity, now},
};

const GOAL_RULE: &str = "must be 1 to 16,384 bytes of text without NUL, not only blanks";
const NAMESPACE_RULE: &str = "must be at most 128 bytes without NUL";

/// A run to start.
pub(super) struct Start {
    pub(super) goal: String,
    pub(super) namespace: String,
    pub(super) agents: Vec<String>,
    pub(super) key: Option<String>,
}

/// A question to answer.
pub(super) struct Ask {
    pub(super) question: String,
    pub(super) namespace: String,
    pub(super) model: String,
}

/// A page of a list, newest first.
pub(super) struct Page {
    pub(super) size: u32,
    pub(super) before: Option<Uuid>,
}

fn is_text(text: &str, most: usize) -> bool {
    text.len() <= most && !text.contains('\0')
}

fn is_goal(text: &str) -> bool {
    is_text(text, 16_384) && !text.trim().is_empty()
}

fn namespace(name: String) -> String {
    if name.is_empty() { "default".to_owned() } else { name }
}

pub(super) fn start(request: wire::StartRunRequest) -> Result<Start, Status> {
    let wire::StartRunRequest { goal, idempotency_key: key, agents, namespace: name } = request;
    let mut bad = Violations::default();
    bad.check(is_goal(&goal), "goal", GOAL_RULE);
    bad.check(is_text(&key, 256), "idempotency_key", "must be at most 256 bytes without NUL");
    bad.check(agents.len() <= 32, "agents", "must be at most 32 names");
    bad.check(is_text(&name, 128), "namespace", NAMESPACE_RULE);
    bad.finish()?;
    let key = (!key.is_empty()).then_some(key);
    Ok(Start { goal, namespace: namespace(name), agents, key })
}

pub(super) fn ask(request: wire::AskRequest) -> Result<Ask, Status> {
    let wire::AskRequest { question, namespace: name, model } = request;
    let mut bad = Violations::default();
    bad.check(is_goal(&question), "question", GOAL_RULE);
    bad.check(is_text(&name, 128), "namespace", NAMESPACE_RULE);
    bad.check(is_text(&model, 256), "model", "must be at most 256 bytes");
    bad.finish()?;
    let model = if model.is_empty() { "default".to_owned() } else { model };
    Ok(Ask { question, namespace: namespace(name), model })
}

pub(super) fn run_id(text: &str) -> Result<RunId, Status> {
    text.parse().map_err(|_| invalid("run_id", "must be a run's id (a UUID)"))
}

pub(super) fn page(size: u32, default: u32, token: &str) -> Result<Page, Status> {
    let mut bad = Violations::default();
    bad.check(size <= 200, "page_size", "must be 1 to 200, or 0 for the default");
    let before = (!token.is_empty()).then(|| token.parse());
    let is_token = !matches!(before, Some(Err(_)));
    bad.check(is_token, "page_token", "must be a next_page_token of this list, or empty");
    bad.finish()?;
    let size = if size == 0 { default } else { size };
    Ok(Page { size, before: before.and_then(Result::ok) })
}

/// The ordinal to read after, and how many.
pub(super) fn outputs(request: &wire::ListOutputsRequest) -> Result<(i64, u32), Status> {
    let mut bad = Violations::default();
    bad.check(request.limit <= 500, "limit", "must be 1 to 500, or 0 for 100");
    let after = match request.after_cursor.as_str() {
        "" => Some(0),
        cursor => cursor.parse().ok().filter(|ordinal| *ordinal >= 0),
    };
    bad.check(after.is_some(), "after_cursor", "must be a next_cursor, or empty");
    bad.finish()?;
    Ok((after.unwrap_or(0), if request.limit == 0 { 100 } else { request.limit }))
}

pub(super) fn check_instructions(request: &wire::SetInstructionsRequest) -> Result<(), Status> {
    let wire::SetInstructionsRequest { instructions, version, .. } = request;
    let mut bad = Violations::default();
    let returns = instructions.is_empty();
    bad.check(
        returns || (is_text(instructions, 16_384) && !instructions.trim().is_empty()),
        "instructions",
        "must be 1 to 16,384 bytes of text without NUL, or empty for those of config.yaml",
    );
    bad.check(
        returns || (is_text(version, 128) && !version.is_empty() && version != CONFIG_VERSION),
        "version",
        "must be 1 to 128 bytes without NUL and other than `config`",
    );
    bad.finish()
}

pub(super) fn alert(request: wire::RaiseAlertRequest) -> Result<(String, Alert), Status> {
    let wire::RaiseAlertRequest { idempotency_key: key, alert } = request;
    let Some(alert) = alert else { return Err(invalid("alert", "must be given")) };
    let mut bad = Violations::default();
    let is_name = |text: &str| is_text(text, 256) && !text.is_empty();
    bad.check(is_name(&key), "idempotency_key", "must be 1 to 256 bytes without NUL");
    bad.check(is_name(&alert.source), "alert.source", "must be 1 to 256 bytes without NUL");
    bad.check(is_name(&alert.name), "alert.name", "must be 1 to 256 bytes without NUL");
    let summary_fits = is_text(&alert.summary, 4_096) && !alert.summary.is_empty();
    bad.check(summary_fits, "alert.summary", "must be 1 to 4,096 bytes without NUL");
    let severity = match alert.severity() {
        wire::AlertSeverity::Info => Some(Severity::Info),
        wire::AlertSeverity::Warning => Some(Severity::Warning),
        wire::AlertSeverity::Critical => Some(Severity::Critical),
        wire::AlertSeverity::Unspecified => None,
    };
    bad.check(severity.is_some(), "alert.severity", "must be INFO, WARNING or CRITICAL");
    let details = details(&alert.details_json);
    bad.check(
        details.is_ok(),
        "alert.details_json",
        "must be a JSON object of at most 65,536 bytes without NUL, or empty",
    );
    let at = alert.at.as_ref().map_or_else(|| Some(now()), time::date_time);
    bad.check(at.is_some(), "alert.at", "must be a time from year 1 to 9999, or absent for now");
    bad.finish()?;
    let alert = Alert {
        id: AlertId(Uuid::now_v7()),
        source: alert.source,
        name: alert.name,
        // Checked above, as are the details and the time.
        severity: severity.unwrap_or(Severity::Warning),
        summary: alert.summary,
        details: details.unwrap_or_default(),
        at: at.unwrap_or_else(now),
        resolved: alert.resolved,
    };
    Ok((key, alert))
}

fn details(text: &str) -> Result<Option<Value>, ()> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > 65_536 || text.contains("\\u0000") {
        return Err(());
    }
    let value: Value = serde_json::from_str(text).map_err(|_| ())?;
    if value.is_object() { Ok(Some(value)) } else { Err(()) }
}

fn invalid(field: &str, rule: &str) -> Status {
    let mut bad = Violations::default();
    bad.add(field, rule);
    // Something was added: it never succeeds.
    bad.finish().err().unwrap_or_else(|| Status::invalid_argument(rule))
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    fn fields(status: &Status) -> Vec<String> {
        let violations = status.get_details_bad_request().unwrap().field_violations;
        violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn every_wrong_field_of_an_alert_is_named() {
        let alert = wire::Alert { details_json: "[1]".to_owned(), ..Default::default() };
        let request = wire::RaiseAlertRequest { alert: Some(alert), ..Default::default() };
        let expected = [
            "idempotency_key",
            "alert.source",
            "alert.name",
            "alert.summary",
            "alert.severity",
            "alert.details_json",
        ];
        assert_eq!(fields(&super::alert(request).unwrap_err()), expected);
        let none = wire::RaiseAlertRequest::default();
        assert_eq!(fields(&super::alert(none).unwrap_err()), ["alert"]);
    }

    #[test]
    fn pages_and_cursors_are_checked() {
        assert_eq!(page(0, 20, "").unwrap().size, 20);
        let wrong = page(201, 20, "nonsense").err().unwrap();
        assert_eq!(fields(&wrong), ["page_size", "page_token"]);
        let request = |cursor: &str, limit| wire::ListOutputsRequest {
            after_cursor: cursor.to_owned(),
            limit,
        };
        assert_eq!(outputs(&request("", 0)).unwrap(), (0, 100));
        assert_eq!(outputs(&request("7", 500)).unwrap(), (7, 500));
        let wrong = outputs(&request("-1", 501)).unwrap_err();
        assert_eq!(fields(&wrong), ["limit", "after_cursor"]);
    }

    #[test]
    fn a_goal_is_text() {
        for goal in [String::new(), "  \n".to_owned(), "a\0b".to_owned(), "x".repeat(16_385)] {
            let request = wire::StartRunRequest { goal, ..Default::default() };
            assert_eq!(fields(&start(request).err().unwrap()), ["goal"]);
        }
        let goal = "x".repeat(16_384);
        let request = wire::StartRunRequest { goal, ..Default::default() };
        assert_eq!(start(request).unwrap().namespace, "default");
    }
}
