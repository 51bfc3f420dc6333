//! The schema of an answer: is it one, and does the answer satisfy it?

use jsonschema::Validator;
use serde_json::Value;

use crate::error::Error;

/// A JSON schema that is one.
#[derive(Debug)]
pub struct AnswerSchema {
    validator: Validator,
}

impl AnswerSchema {
    /// Checks `schema` against the meta-schema that it names. Nothing is fetched: a reference to
    /// elsewhere is an error.
    ///
    /// # Errors
    /// Where and why it is no schema.
    pub fn new(schema: &Value) -> Result<Self, Error> {
        if !schema.is_object() && !schema.is_boolean() {
            return Err(Error::schema("it must be an object".to_owned()));
        }
        let validator = jsonschema::validator_for(schema).map_err(|error| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { "/".to_owned() } else { place };
            Error::schema(format!("at {place}: {error}"))
        })?;
        Ok(Self { validator })
    }

    /// What is wrong with an answer that should satisfy it.
    #[must_use]
    pub fn fault(&self, answer: &str) -> Option<String> {
        let value: Value = match serde_json::from_str(answer) {
            Ok(value) => value,
            Err(error) => return Some(format!("its answer is no JSON: {error}")),
        };
        let error = self.validator.iter_errors(&value).next()?;
        Some(format!("its answer does not satisfy the schema at {}", error.instance_path()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_schema_is_refused_with_its_place() {
        for (schema, says) in [
            (
                json!({ "type": "object", "properties": { "a": { "type": "strin" } } }),
                "/properties/a/type",
            ),
            (json!({ "type": "array", "minItems": -1 }), "/minItems"),
            (json!([1, 2]), "must be an object"),
            (json!({ "$ref": "https://example.com/schema.json" }), "at /"),
            (json!({ "pattern": "(" }), "/pattern"),
        ] {
            let error = AnswerSchema::new(&schema).unwrap_err();
            assert_eq!(error.reason(), "INVALID_SCHEMA");
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn answers_are_checked() {
        let schema = AnswerSchema::new(&json!({ "type": "integer", "minimum": 3 })).unwrap();
        assert_eq!(schema.fault("4"), None);
        assert!(schema.fault("2").is_some());
        assert!(schema.fault("{").unwrap().contains("no JSON"));
    }
}
