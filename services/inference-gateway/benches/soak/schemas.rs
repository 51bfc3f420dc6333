//! Random JSON schemas whose answers are bounded.

use rand::{RngExt, rngs::StdRng};
use serde_json::{Map, Value, json};

/// An object of up to three levels.
pub(crate) fn random(rng: &mut StdRng) -> Value {
    object(rng, 2)
}

fn object(rng: &mut StdRng, depth: u32) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for n in 0..rng.random_range(1..5) {
        let name = ["name", "full name", "größe", "x-y", "items"][rng.random_range(0..5)];
        let name = format!("{name}{n}");
        if rng.random_bool(0.6) {
            required.push(name.clone());
        }
        properties.insert(name, value(rng, depth));
    }
    json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    })
}

fn value(rng: &mut StdRng, depth: u32) -> Value {
    match rng.random_range(0..if depth == 0 { 7 } else { 10 }) {
        0 => json!({ "type": "boolean" }),
        1 => {
            let least = rng.random_range(-1_000..1_000);
            json!({ "type": "integer", "minimum": least, "maximum": least + rng.random_range(0..500) })
        }
        2 => json!({ "type": "string", "maxLength": rng.random_range(1..24) }),
        3 => json!({ "enum": ["red", "light green", 3, null, "\"quoted\""] }),
        4 => json!({ "type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$" }),
        5 => json!({ "type": "string", "format": "date" }),
        6 => {
            json!({ "anyOf": [{ "type": "null" }, { "type": "integer", "minimum": 0, "maximum": 9 }] })
        }
        7 | 8 => object(rng, depth - 1),
        _ => json!({
            "type": "array", "items": value(rng, depth - 1),
            "minItems": rng.random_range(0..2), "maxItems": rng.random_range(2..4),
        }),
    }
}
