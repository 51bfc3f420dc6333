//! Rows of a file: whether they are what their table holds.

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, Datelike};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{BadLine, Table, Value};
use crate::knowledge::DIMENSIONS;

/// In front of a vector's numbers stand how many they are, and two bytes that are 0.
const VECTOR_HEAD: usize = 4;

/// The row as the store takes it.
///
/// # Errors
/// When a field is missing, unknown, or not what its column holds.
pub fn checked(table: &Table, line: u64, row: Json) -> Result<Map<String, Json>, BadLine> {
    let Json::Object(mut row) = row else {
        return Err(BadLine::new(line, table.name, "must be an object"));
    };
    let known = |name: &String| table.columns.iter().any(|column| column.name == name);
    if let Some(name) = row.keys().find(|name| !known(name)) {
        let field = format!("{}.{name}", table.name);
        return Err(BadLine::new(line, field, "is not known to this version"));
    }
    for column in table.columns {
        let bad = |rule: &str| BadLine::new(line, format!("{}.{}", table.name, column.name), rule);
        match row.get_mut(column.name) {
            None | Some(Json::Null) if column.optional => {
                row.remove(column.name);
            }
            None | Some(Json::Null) => return Err(bad("is missing")),
            Some(value) => check(column.value, value).map_err(bad)?,
        }
    }
    Ok(row)
}

fn check(what: Value, value: &mut Json) -> Result<(), &'static str> {
    let text = value.as_str();
    let (fits, rule) = match what {
        Value::Id => (text.is_some_and(is_id), "must be an id"),
        Value::Text => (text.is_some_and(is_plain), "must be text without NUL"),
        Value::Texts => {
            let plain = |value: &Json| value.as_str().is_some_and(is_plain);
            let list = value.as_array().is_some_and(|texts| texts.iter().all(plain));
            (list, "must be a list of texts without NUL")
        }
        Value::Time => {
            let rule = "must be a time such as 2026-05-01T12:00:00Z, of the years 1 to 9999";
            (text.is_some_and(is_time), rule)
        }
        Value::Small => {
            (is_number(value, i16::MAX.into()), "must be a whole number from 0 to 32,767")
        }
        Value::Int => {
            (is_number(value, i32::MAX.into()), "must be a whole number from 0 to 2,147,483,647")
        }
        Value::Big => (is_number(value, i64::MAX), "must be a whole number from 0"),
        Value::Flag => (value.is_boolean(), "must be true or false"),
        Value::Bytes => (text.is_some_and(is_bytes), "must be \\x and hexadecimal digits"),
        Value::Json => (is_storable(value), "must not contain NUL"),
        Value::Vector => {
            let numbers = text.and_then(vector);
            if let Some(numbers) = &numbers {
                *value = Json::String(numbers.clone());
            }
            (numbers.is_some(), "must be the base64 of a vector of 384 numbers of 16 bits")
        }
    };
    if fits { Ok(()) } else { Err(rule) }
}

fn is_id(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

fn is_plain(text: &str) -> bool {
    !text.contains('\0')
}

fn is_time(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok_and(|time| (1..=9_999).contains(&time.year()))
}

fn is_number(value: &Json, most: i64) -> bool {
    value.as_i64().is_some_and(|number| (0..=most).contains(&number))
}

fn is_bytes(text: &str) -> bool {
    text.strip_prefix("\\x").is_some_and(|digits| {
        digits.len() % 2 == 0 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

fn is_storable(value: &Json) -> bool {
    match value {
        Json::String(text) => is_plain(text),
        Json::Array(values) => values.iter().all(is_storable),
        Json::Object(fields) => {
            fields.iter().all(|(name, value)| is_plain(name) && is_storable(value))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => true,
    }
}

/// A vector as the store reads it: `[0.5,…]`.
fn vector(text: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    let (head, numbers) = bytes.split_at_checked(VECTOR_HEAD)?;
    let count = usize::from(u16::from_be_bytes([head[0], head[1]]));
    if count != DIMENSIONS || numbers.len() != 2 * count {
        return None;
    }
    let numbers = numbers.chunks_exact(2).map(|pair| half(u16::from_be_bytes([pair[0], pair[1]])));
    let numbers: Option<Vec<String>> =
        numbers.map(|number| number.is_finite().then(|| number.to_string())).collect();
    Some(format!("[{}]", numbers?.join(",")))
}

/// A number of 16 bits (IEEE 754 binary16).
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (bits >> 10 & 0x1f, f32::from(bits & 0x3ff));
    match exponent {
        0 => sign * fraction * 2_f32.powi(-24),
        0x1f if fraction == 0.0 => sign * f32::INFINITY,
        0x1f => f32::NAN,
        _ => sign * (1.0 + fraction / 1024.0) * 2_f32.powi(i32::from(exponent) - 15),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::TABLES, *};

    #[test]
    fn sixteen_bits_are_read() {
        for (bits, number) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65_504.0),
            (0x0001, 5.960_464_5e-8),
            (0x0400, 6.103_515_6e-5),
        ] {
            assert!((half(bits) - number).abs() <= f32::EPSILON * number.abs(), "{bits:x}");
        }
        assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
    }

    #[test]
    fn bad_rows_are_told_by_line_and_field() {
        let table = |name: &str| TABLES.iter().find(|table| table.name == name).unwrap();
        let id = "00000000-0000-7000-8000-000000000000";
        let bad = |name: &str, row: Json| checked(table(name), 7, row).unwrap_err();
        for (name, row, field) in [
            ("names", json!([]), "names"),
            ("names", json!({ "called": "a" }), "names.entity_id"),
            ("names", json!({ "called": "a\0", "entity_id": id }), "names.called"),
            ("names", json!({ "called": "a", "entity_id": "1" }), "names.entity_id"),
            ("names", json!({ "called": "a", "entity_id": id, "more": 1 }), "names.more"),
            (
                "exports",
                json!({ "id": -1, "at": "2026-05-01T12:00:00Z", "whole": true }),
                "exports.id",
            ),
            ("exports", json!({ "id": 1, "at": "infinity", "whole": true }), "exports.at"),
            ("chains", json!({ "length": 1, "head": "\\xabc" }), "chains.head"),
        ] {
            let bad = bad(name, row);
            assert_eq!((bad.line, bad.field.as_str()), (7, field), "{bad}");
        }
        let good = json!({ "called": "a", "entity_id": id });
        assert_eq!(Json::Object(checked(table("names"), 1, good.clone()).unwrap()), good);
    }
}
