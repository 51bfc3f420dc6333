//! What a text must have.

use serde::{Deserialize, Serialize};

use super::schema;

/// The longest text that is scored, and the longest part of an expectation.
pub const MAX_TEXT_BYTES: usize = 65_536;
/// The most strings that are sought.
const MAX_STRINGS: usize = 100;
/// The longest of them.
const MAX_STRING_BYTES: usize = 1_024;

/// What a text must have; what is empty or 0 is not scored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Expectation {
    /// The text must parse as JSON and satisfy this schema.
    pub json_schema: String,
    /// Strings that must occur, whatever their case.
    pub required: Vec<String>,
    /// Strings that must not, whatever their case.
    pub forbidden: Vec<String>,
    /// Words at least.
    pub min_words: u32,
    /// Words at most.
    pub max_words: u32,
    /// The text should mean the same.
    pub reference: String,
}

/// A part of an expectation that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Which, for example "required[2]".
    pub field: String,
    /// What is allowed.
    pub rule: String,
}

impl Expectation {
    /// What of it cannot be used.
    #[must_use]
    pub fn faults(&self) -> Vec<Wrong> {
        let mut faults = Vec::new();
        let mut check = |holds: bool, field: String, rule: &str| {
            if !holds {
                faults.push(Wrong { field, rule: rule.to_owned() });
            }
        };
        for (name, strings) in [("required", &self.required), ("forbidden", &self.forbidden)] {
            check(strings.len() <= MAX_STRINGS, name.to_owned(), "must be at most 100 strings");
            for (index, string) in strings.iter().enumerate() {
                let fits = (1..=MAX_STRING_BYTES).contains(&string.len()) && !string.contains('\0');
                let rule = "must be 1 to 1,024 bytes without NUL";
                check(fits, format!("{name}[{index}]"), rule);
            }
        }
        let bounds_fit = self.max_words == 0 || self.min_words <= self.max_words;
        check(bounds_fit, "max_words".to_owned(), "must be at least min_words, or 0 for no bound");
        let reference = self.reference.len() <= MAX_TEXT_BYTES && !self.reference.contains('\0');
        let rule = "must be at most 65,536 bytes without NUL";
        check(reference, "reference".to_owned(), rule);
        if self.json_schema.len() > MAX_TEXT_BYTES || self.json_schema.contains('\0') {
            check(false, "json_schema".to_owned(), rule);
        } else if let Err(problem) = schema::compile(&self.json_schema) {
            check(false, "json_schema".to_owned(), &format!("must be a JSON schema: {problem}"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named() {
        assert_eq!(Expectation::default().faults(), vec![]);
        let expectation = Expectation {
            json_schema: r#"{"type":"strin"}"#.into(),
            required: vec!["fine".into(), String::new()],
            forbidden: vec!["x".into(); 101],
            min_words: 5,
            max_words: 4,
            reference: "a\0b".into(),
        };
        let faults = expectation.faults();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["required[1]", "forbidden", "max_words", "reference", "json_schema"]);
        assert!(faults[4].rule.contains("/type"), "{}", faults[4].rule);
    }
}
