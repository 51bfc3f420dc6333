//! Requests, checked field by field.

use alina_proto::optimizer::v1::{
    self as wire, AddCaseRequest, ListScoresRequest, ScoreTextRequest,
};
use alina_service::status::Violations;
use tonic::Status;

use crate::{
    score::{Expectation, MAX_TEXT_BYTES},
    store::NewCase,
};

const TEXT_RULE: &str = "must be at most 65,536 bytes without NUL";
const AGENT_RULE: &str = "must be an agent's name, 1 to 256 bytes without NUL";

fn is_text(text: &str, most: usize) -> bool {
    text.len() <= most && !text.contains('\0')
}

fn is_name(name: &str) -> bool {
    is_text(name, 256) && !name.is_empty()
}

pub(super) fn agent_name(agent: &str) -> Result<(), Status> {
    let mut bad = Violations::default();
    bad.check(is_name(agent), "agent", AGENT_RULE);
    bad.finish()
}

fn expectation(given: Option<wire::Expectation>, bad: &mut Violations) -> Expectation {
    let expectation = given.map(Expectation::from).unwrap_or_default();
    for fault in expectation.faults() {
        bad.add(format!("expectation.{}", fault.field), fault.rule);
    }
    expectation
}

pub(super) fn score_text(
    mut request: ScoreTextRequest,
) -> Result<(ScoreTextRequest, Expectation), Status> {
    let mut bad = Violations::default();
    bad.check(is_text(&request.input, MAX_TEXT_BYTES), "input", TEXT_RULE);
    bad.check(is_text(&request.output, MAX_TEXT_BYTES), "output", TEXT_RULE);
    let is_known = !request.use_judge || !request.input.trim().is_empty();
    bad.check(is_known, "input", "must be what was asked when use_judge is set");
    let expectation = expectation(request.expectation.take(), &mut bad);
    bad.finish()?;
    Ok((request, expectation))
}

pub(super) fn case(request: AddCaseRequest) -> Result<NewCase, Status> {
    let AddCaseRequest { agent, input, expectation: given, idempotency_key: key } = request;
    let mut bad = Violations::default();
    bad.check(is_name(&agent), "agent", AGENT_RULE);
    let is_input = is_text(&input, MAX_TEXT_BYTES) && !input.trim().is_empty();
    bad.check(is_input, "input", "must be 1 to 65,536 bytes without NUL, not only blanks");
    bad.check(is_text(&key, 256), "idempotency_key", "must be at most 256 bytes without NUL");
    let expectation = expectation(given, &mut bad);
    bad.finish()?;
    let idempotency_key = (!key.is_empty()).then_some(key);
    Ok(NewCase { agent, input, expectation, idempotency_key })
}

/// How many, and before which ordinal.
pub(super) fn page(request: &ListScoresRequest) -> Result<(u32, i64), Status> {
    let mut bad = Violations::default();
    let size = request.page_size;
    bad.check(size <= 500, "page_size", "must be 1 to 500, or 0 for 50");
    let before = match request.page_token.as_str() {
        "" => Some(i64::MAX),
        token => token.parse().ok().filter(|ordinal| *ordinal > 0),
    };
    let rule = "must be a next_page_token of this list, or empty";
    bad.check(before.is_some(), "page_token", rule);
    bad.finish()?;
    Ok((if size == 0 { 50 } else { size }, before.unwrap_or(i64::MAX)))
}

pub(super) fn roll_back(agent: &str, version: &str) -> Result<(), Status> {
    let mut bad = Violations::default();
    bad.check(is_name(agent), "agent", AGENT_RULE);
    let rule = "must be a version's name of at most 256 bytes without NUL, or empty";
    bad.check(is_text(version, 256), "version", rule);
    bad.finish()
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
    fn every_wrong_field_is_named() {
        let wrong = wire::Expectation {
            json_schema: "{".into(),
            required: vec![String::new()],
            min_words: 3,
            max_words: 2,
            ..wire::Expectation::default()
        };
        let request = AddCaseRequest { expectation: Some(wrong.clone()), ..Default::default() };
        let expected = [
            "agent",
            "input",
            "expectation.required[0]",
            "expectation.max_words",
            "expectation.json_schema",
        ];
        assert_eq!(fields(&case(request).unwrap_err()), expected);

        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        let request = ScoreTextRequest { output: long, use_judge: true, ..Default::default() };
        assert_eq!(fields(&score_text(request).unwrap_err()), ["output", "input"]);
    }

    #[test]
    fn pages_are_checked() {
        let request = |page_size, token: &str| ListScoresRequest {
            page_size,
            page_token: token.to_owned(),
            ..Default::default()
        };
        assert_eq!(page(&request(0, "")).unwrap(), (50, i64::MAX));
        assert_eq!(page(&request(500, "7")).unwrap(), (500, 7));
        let wrong = page(&request(501, "-7")).unwrap_err();
        assert_eq!(fields(&wrong), ["page_size", "page_token"]);
    }
}
