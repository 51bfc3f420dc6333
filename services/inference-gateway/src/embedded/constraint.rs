//! From what an answer must be to a matcher that admits only tokens which keep it so.

use std::{
    collections::{BTreeSet, HashMap},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
};

use llama_cpp_2::{model::LlamaModel, sampling::LlamaSampler};
use llguidance::{Matcher, ParserFactory, api::TopLevelGrammar};
use serde_json::{Map, Value, json};

use crate::error::Error;

/// Compiled constraints kept for the next request with the same one.
const KEPT: usize = 32;

/// What is enforced token by token.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule<'a> {
    /// A JSON schema.
    Schema(&'a Value),
    /// A regular expression.
    Regex(&'a str),
    /// One of these.
    Choice(&'a [String]),
    /// A grammar for calls of tools, in llguidance's own notation.
    Calls(&'a str),
}

impl Rule<'_> {
    /// The field of the request that it comes from.
    const fn field(self) -> &'static str {
        match self {
            Self::Schema(_) => "json_schema",
            Self::Regex(_) => "regex",
            Self::Choice(_) => "choice",
            Self::Calls(_) => "tools",
        }
    }

    fn key(self) -> String {
        let text = match self {
            Self::Schema(schema) => schema.to_string(),
            Self::Regex(text) | Self::Calls(text) => text.to_owned(),
            Self::Choice(choice) => json!(choice).to_string(),
        };
        format!("{} {text}", self.field())
    }

    fn grammar(self) -> TopLevelGrammar {
        match self {
            Self::Schema(schema) => TopLevelGrammar::from_json_schema(compact(schema)),
            Self::Regex(regex) => TopLevelGrammar::from_regex(regex),
            Self::Choice(choice) => {
                let strings: Vec<String> =
                    choice.iter().map(|choice| json!(choice).to_string()).collect();
                TopLevelGrammar::from_lark(format!("start: {}", strings.join(" | ")))
            }
            Self::Calls(grammar) => TopLevelGrammar::from_lark(grammar.to_owned()),
        }
    }

    fn unusable(self, why: &str) -> Error {
        let why = match self {
            Self::Schema(schema) => describe(schema, why),
            _ => why.lines().next().unwrap_or(why).to_owned(),
        };
        Error::InvalidConstraint { field: self.field(), why }
    }
}

/// Compiles constraints for one model's vocabulary.
pub(super) struct Compiler {
    factory: ParserFactory,
    kept: Mutex<HashMap<String, Matcher>>,
}

impl Compiler {
    /// Walks the whole vocabulary; takes a moment.
    pub(super) fn new(model: &LlamaModel) -> Result<Self, String> {
        let tokens = LlamaSampler::llguidance_tok_env(model);
        let mut factory = ParserFactory::new_simple(&tokens).map_err(|error| error.to_string())?;
        factory.quiet();
        Ok(Self { factory, kept: Mutex::new(HashMap::new()) })
    }

    /// A matcher at the beginning of an answer.
    pub(super) fn compile(&self, rule: Rule<'_>) -> Result<Matcher, Error> {
        let key = rule.key();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(matcher) = kept.get(&key) {
            return Ok(matcher.deep_clone());
        }
        // It is foreign code fed with foreign input: a panic is one more way to refuse.
        let compiled = catch_unwind(AssertUnwindSafe(|| {
            Matcher::new(self.factory.create_parser(rule.grammar()))
        }));
        let mut matcher = compiled.map_err(|_| rule.unusable("it is beyond the engine"))?;
        if let Some(error) = matcher.get_error() {
            return Err(rule.unusable(&error));
        }
        // Some constraints show only here that nothing satisfies them.
        matcher.compute_mask().map_err(|error| rule.unusable(&error.to_string()))?;
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, matcher.deep_clone());
        Ok(matcher)
    }
}

/// The schema with one way to write its values, that which models have seen most: a blank after a
/// comma and a colon, and none elsewhere. And no keys beyond those named, where leaving these out
/// cannot make it impossible to satisfy. A small model would otherwise go on with blanks or keys
/// until its tokens are spent.
fn compact(schema: &Value) -> Value {
    let mut schema = closed(schema);
    if schema.is_boolean() {
        schema = json!({ "anyOf": [schema] });
    }
    if let Value::Object(schema) = &mut schema {
        schema.insert("x-guidance".to_owned(), one_way());
    }
    schema
}

/// Without keys beyond those named, where that is safe.
pub(super) fn closed(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if !combines(&schema) {
        close(&mut schema);
    }
    schema
}

/// llguidance's options for one way to write JSON.
pub(super) fn one_way() -> Value {
    json!({ "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": " })
}

/// Whether objects are described in several places at once.
fn combines(schema: &Value) -> bool {
    const BRANCHES: [&str; 3] = ["$ref", "anyOf", "oneOf"];
    const OTHERS: [&str; 7] = [
        "allOf",
        "not",
        "if",
        "dependentSchemas",
        "unevaluatedProperties",
        "$dynamicRef",
        "$recursiveRef",
    ];
    let has =
        |map: &Map<String, Value>, keys: &[&str]| keys.iter().any(|key| map.contains_key(*key));
    match schema {
        Value::Object(map) => {
            (has(map, &BRANCHES) && map.contains_key("properties"))
                || has(map, &OTHERS)
                || map.values().any(combines)
        }
        Value::Array(items) => items.iter().any(combines),
        _ => false,
    }
}

/// Forbids keys that are not named.
fn close(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    if is_open(map) {
        map.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    for key in ["properties", "$defs", "definitions"] {
        if let Some(Value::Object(inner)) = map.get_mut(key) {
            inner.values_mut().for_each(close);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(key) {
            close(inner);
        }
    }
    for key in ["anyOf", "oneOf", "prefixItems"] {
        if let Some(Value::Array(inner)) = map.get_mut(key) {
            inner.iter_mut().for_each(close);
        }
    }
}

/// It names keys, admits others, and needs none of these.
fn is_open(map: &Map<String, Value>) -> bool {
    let Some(Value::Object(named)) = map.get("properties") else { return false };
    let required = map.get("required").and_then(Value::as_array);
    let mut required = required.into_iter().flatten().filter_map(Value::as_str);
    !named.is_empty()
        && !map.contains_key("additionalProperties")
        && !map.contains_key("patternProperties")
        && !map.contains_key("minProperties")
        && required.all(|key| named.contains_key(key))
}

/// Where and why: the engine names keywords, not places.
fn describe(schema: &Value, why: &str) -> String {
    let why = why.lines().next().unwrap_or(why);
    let named: BTreeSet<&str> = why.split('"').skip(1).step_by(2).collect();
    let mut places = Vec::new();
    find(schema, &named, "", &mut places);
    match places.as_slice() {
        [] => why.to_owned(),
        places => format!("{why} (at {})", places.join(", ")),
    }
}

/// JSON pointers to `keys`, a few.
fn find(value: &Value, keys: &BTreeSet<&str>, path: &str, places: &mut Vec<String>) {
    let inner: Vec<(String, &Value, bool)> = match value {
        Value::Object(map) => {
            let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
            map.iter()
                .map(|(key, value)| (escape(key), value, keys.contains(key.as_str())))
                .collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().map(|(at, value)| (at.to_string(), value, false)).collect()
        }
        _ => return,
    };
    for (key, value, named) in inner {
        let path = format!("{path}/{key}");
        find(value, keys, &path, places);
        if named && places.len() < 5 {
            places.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_closed_where_that_is_safe() {
        let closed = compact(&json!({
            "type": "object",
            "properties": { "a": { "type": "array", "items": { "properties": { "b": true } } } },
        }));
        assert_eq!(closed["additionalProperties"], json!(false));
        assert_eq!(closed["properties"]["a"]["items"]["additionalProperties"], json!(false));
        assert_eq!(closed["x-guidance"]["whitespace_flexible"], json!(false));
    }

    #[test]
    fn objects_stay_open_where_closing_could_make_them_impossible() {
        for open in [
            json!({ "allOf": [{ "properties": { "a": true } }, { "properties": { "b": true } }] }),
            json!({ "properties": { "a": true }, "required": ["b"] }),
            json!({ "properties": { "a": true }, "minProperties": 2 }),
            json!({ "properties": { "a": true }, "anyOf": [{ "properties": { "b": true } }] }),
            json!({ "properties": { "a": true }, "additionalProperties": { "type": "integer" } }),
        ] {
            let compact = compact(&open).to_string();
            assert!(!compact.contains("\"additionalProperties\":false"), "{compact}");
        }
    }

    #[test]
    fn a_refusal_says_where() {
        let schema = json!({ "properties": { "a/b": { "contains": {} } } });
        let says = describe(&schema, "Unimplemented keys: [\"contains\"]\nmore");
        assert_eq!(says, "Unimplemented keys: [\"contains\"] (at /properties/a~1b/contains)");
    }
}
