//! Answers that must satisfy a JSON schema.

use alina_proto::inference::v1::{ChatRequest, FinishReason, Sampling};
use serde_json::{Value, json};
use tonic::Code;

use crate::support::{ask, assert_refused, chat, gateway, user};

/// Schemas as agents use them, and worse.
fn schemas() -> Vec<Value> {
    let name = json!({ "type": "string", "maxLength": 12 });
    let mut schemas = vec![
        json!({ "type": "boolean" }),
        json!({ "type": "integer", "minimum": -7, "maximum": 900 }),
        json!({ "enum": ["researcher", "planner", "writer", 3, null] }),
        json!({ "const": { "a": [1, "é\"\\"] } }),
        json!({ "type": ["string", "null"], "maxLength": 9 }),
        json!({ "type": "array", "items": name, "minItems": 1, "maxItems": 3 }),
        json!({ "type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$" }),
        json!({ "type": "string", "format": "date" }),
        json!({ "anyOf": [{ "type": "integer", "minimum": 0, "maximum": 9 }, { "type": "null" }] }),
        json!({ "$ref": "#/$defs/node", "$defs": { "node": {
            "type": "object",
            "properties": { "name": name, "next": { "anyOf": [{ "type": "null" }, { "type": "boolean" }] } },
            "required": ["name", "next"],
        } } }),
    ];
    // Objects of growing depth and width, as a small generator makes them.
    for n in 0_u32..10 {
        let mut schema = json!({ "type": "integer", "minimum": 0, "maximum": 10 + n });
        for depth in 0..=n % 3 {
            let (a, b) = (format!("a{depth}"), format!("field with blanks {n}"));
            let list =
                json!({ "type": "array", "items": schema, "minItems": n % 2, "maxItems": 2 });
            schema = json!({
                "type": "object",
                "properties": { a.clone(): list, b: { "enum": ["x", "y z"] }, "c": { "type": "boolean" } },
                "required": [a, "c"],
            });
        }
        schemas.push(schema);
    }
    schemas
}

#[tokio::test]
async fn twenty_schemas_give_twenty_answers_that_satisfy_them() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let schemas = schemas();
    assert_eq!(schemas.len(), 20);
    let mut complete = 0;
    for (n, schema) in (0_u8..).zip(&schemas) {
        let request = ChatRequest {
            messages: vec![user(format!("Give some JSON, number {n}."))],
            // Wild, so that only the schema keeps it in bounds.
            sampling: Some(Sampling {
                temperature: Some(f32::from(n % 4) * 0.5),
                top_k: Some(0),
                top_p: Some(1.0),
                min_p: Some(0.0),
                ..Sampling::default()
            }),
            max_tokens: 192,
            json_schema: schema.to_string(),
            // With a schema only that decides where the answer ends.
            stop: vec!["\"".to_owned()],
            ..ChatRequest::default()
        };
        let answer = chat(&client, request).await.unwrap();
        if answer.finish_reason() == FinishReason::Length {
            continue;
        }
        let value: Value = serde_json::from_str(&answer.content)
            .unwrap_or_else(|error| panic!("{schema}: {error}: {}", answer.content));
        let validator = jsonschema::validator_for(schema).unwrap();
        assert!(validator.is_valid(&value), "{schema}: {}", answer.content);
        assert!(!answer.content.contains(['\n', '\t']), "no blanks between values");
        complete += 1;
    }
    assert!(complete >= 18, "only {complete} of 20 came to an end");
}

#[tokio::test]
async fn what_cannot_be_enforced_is_refused_and_does_no_harm() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let deep = format!("{}{}", "{\"items\":".repeat(120), "{}".to_owned() + &"}".repeat(120));
    let deeper = format!("{}{}", "{\"items\":".repeat(5_000), "{}".to_owned() + &"}".repeat(5_000));
    let cases = [
        ("{", "no JSON"),
        ("[]", "must be an object"),
        (r#"{"type":"strin"}"#, "at /type"),
        (r#"{"properties":{"a":{"minimum":"x"}}}"#, "at /properties/a/minimum"),
        (r#"{"$ref":"https://example.com/x"}"#, "example.com"),
        (r#"{"properties":{"a":{"contains":{"type":"null"}}}}"#, "/properties/a/contains"),
        (r#"{"type":"object","not":{"required":["a"]}}"#, "/not"),
        (r#"{"type":"integer","minimum":5,"maximum":4}"#, "cannot be enforced"),
        (r#"{"enum":[]}"#, "cannot be enforced"),
        (r#"{"type":"string","pattern":"(?=a)b"}"#, "cannot be enforced"),
        (r#"{"type":"string","pattern":"((a{1,500}){1,500}){1,500}"}"#, "cannot be enforced"),
        (deeper.as_str(), "no JSON"),
    ];
    for (schema, says) in cases {
        let request = ChatRequest { json_schema: schema.to_owned(), ..ask("x") };
        let shown = &schema[..schema.len().min(80)];
        let said = chat(&client, request).await;
        assert!(said.is_err(), "{shown} was taken: {said:?}");
        let said = assert_refused(said, Code::InvalidArgument, "INVALID_SCHEMA");
        assert!(said.contains(says), "{shown}: {said}");
    }
    // Deep but sound; whatever it says, the process stays.
    let _ = chat(&client, ChatRequest { json_schema: deep, ..ask("x") }).await;
    let answer = chat(&client, ask("What is the capital of France?")).await.unwrap();
    assert!(answer.content.contains("Paris"));
}
