//! Does a text parse as JSON and satisfy a schema?

use jsonschema::Validator;
use serde_json::Value;

use super::{Function, Score, Verdict};

/// Violations that a reason tells.
const SHOWN: usize = 3;

/// A schema to check with; `None` for an empty text. Nothing is fetched: a reference to elsewhere
/// is an error, which says where and why.
pub(super) fn compile(schema: &str) -> Result<Option<Validator>, String> {
    if schema.trim().is_empty() {
        return Ok(None);
    }
    let schema: Value = serde_json::from_str(schema).map_err(|error| error.to_string())?;
    if !schema.is_object() && !schema.is_boolean() {
        return Err("it must be an object".to_owned());
    }
    let validator = jsonschema::validator_for(&schema).map_err(|error| {
        let place = error.instance_path().to_string();
        format!("at {}: {error}", if place.is_empty() { "/" } else { &place })
    })?;
    Ok(Some(validator))
}

/// All or nothing: a text that does not satisfy its schema is of no use to a program.
pub(super) fn verdict(text: &str, schema: &str) -> Option<Verdict> {
    let no = |reason: String| Some(Verdict::new(Function::Schema, Score::ZERO, reason));
    let validator = match compile(schema) {
        Ok(validator) => validator?,
        // Expectations are checked when they come in: only a newer program's can be unusable.
        Err(problem) => return no(format!("the schema cannot be used: {problem}")),
    };
    let value: Value = match serde_json::from_str(text.trim()) {
        Ok(value) => value,
        Err(error) => return no(format!("it is no JSON: {error}")),
    };
    let violations: Vec<String> = validator
        .iter_errors(&value)
        .take(SHOWN)
        .map(|error| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { "/".to_owned() } else { place };
            // Without the value itself, which may be long.
            format!("{place} breaks `{}`", error.schema_path())
        })
        .collect();
    if violations.is_empty() {
        Some(Verdict::new(Function::Schema, Score::ONE, "it satisfies the schema"))
    } else {
        no(violations.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type":"object","properties":{"n":{"type":"integer","minimum":3}},
        "required":["n"],"additionalProperties":false}"#;

    #[test]
    fn only_json_that_satisfies_the_schema_scores() {
        for (text, score, says) in [
            (r#" {"n": 4} "#, 1.0, "satisfies"),
            (r#"{"n": 2}"#, 0.0, "/n breaks `/properties/n/minimum`"),
            (r#"{"m": 4}"#, 0.0, "/ breaks"),
            ("Sure! {\"n\": 4}", 0.0, "no JSON"),
            ("", 0.0, "no JSON"),
        ] {
            let verdict = verdict(text, SCHEMA).unwrap();
            assert_eq!(verdict.score.value(), score, "{text}");
            assert!(verdict.reason.contains(says), "{}", verdict.reason);
        }
        assert_eq!(verdict("anything", "  "), None);
    }

    #[test]
    fn a_schema_that_is_none_or_lies_elsewhere_is_refused() {
        for schema in ["{", "[1]", r#"{"$ref":"https://example.com/s.json"}"#, r#"{"pattern":"("}"#]
        {
            assert!(compile(schema).is_err(), "{schema}");
        }
    }
}
