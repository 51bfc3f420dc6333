//! New instructions: what the model that writes them is asked, and what it may answer.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::text::excerpt;

/// Answers the writer is shown.
pub const EXAMPLES: usize = 3;
/// Tokens that the longest new instructions need at most.
pub const MAX_TOKENS: u32 = 600;

/// What fits the window of a small model, in bytes.
const INSTRUCTIONS_BYTES: usize = 3_000;
const INPUT_BYTES: usize = 500;
const OUTPUT_BYTES: usize = 800;
const COMPLAINT_BYTES: usize = 200;
/// The longest new instructions.
const NEW_CHARACTERS: usize = 1_500;

/// What the writer is.
pub const SYSTEM: &str = "You improve the instructions of an AI agent. You are shown the current \
    instructions and answers that scored badly, with the reasons. Write instructions, addressed to \
    the agent, that keep what is good and avoid these faults in general, also in other tasks. Do \
    not mention the examples. Reply with JSON only.";

/// An answer that scored badly.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The task.
    pub input: String,
    /// What the agent put out.
    pub output: String,
    /// 0 to 1.
    pub score: f64,
    /// What cost the most, worst first.
    pub complaints: Vec<String>,
}

/// What the writer is asked.
#[must_use]
pub fn request(instructions: &str, examples: &[Example]) -> String {
    let mut text = format!(
        "Current instructions:\n<instructions>\n{}\n</instructions>\n",
        excerpt(instructions, INSTRUCTIONS_BYTES)
    );
    for example in examples.iter().take(EXAMPLES) {
        let complaints: Vec<_> = example
            .complaints
            .iter()
            .take(3)
            .map(|complaint| format!("- {}", excerpt(complaint, COMPLAINT_BYTES)))
            .collect();
        text.push_str(&format!(
            "\nAn answer that scored {:.2} of 1:\nTask: {}\nAnswer: {}\nWhy:\n{}\n",
            example.score,
            excerpt(&example.input, INPUT_BYTES),
            excerpt(&example.output, OUTPUT_BYTES),
            complaints.join("\n")
        ));
    }
    text.push_str("\nWrite the better instructions.");
    text
}

/// What its reply must satisfy.
#[must_use]
pub fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "instructions": { "type": "string", "minLength": 1, "maxLength": NEW_CHARACTERS },
        },
        "required": ["instructions"],
        "additionalProperties": false,
    })
}

#[derive(Deserialize)]
struct Reply {
    instructions: String,
}

/// The instructions that a reply holds; `None` when it holds none that differ from the `current`.
#[must_use]
pub fn instructions(reply: &str, current: &str) -> Option<String> {
    let reply: Reply = serde_json::from_str(reply).ok()?;
    let new = excerpt(&reply.instructions.replace('\0', ""), 4 * NEW_CHARACTERS);
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!new.is_empty() && plain(&new) != plain(current)).then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_sees_the_worst_with_reasons_and_no_more_than_fits() {
        let long = "word ".repeat(5_000);
        let example = Example {
            input: long.clone(),
            output: long.clone(),
            score: 0.25,
            complaints: vec![long.clone(); 7],
        };
        let text = request(&long, &vec![example.clone(); 9]);
        assert!(text.len() < 12_000, "{}", text.len());
        assert_eq!(text.matches("scored 0.25").count(), EXAMPLES);
        let short = Example { complaints: vec!["length: 3 words".into()], ..example };
        assert!(request("Be brief.", &[short]).contains("Why:\n- length: 3 words\n"));
    }

    #[test]
    fn only_new_instructions_count() {
        let new = instructions(r#"{"instructions":" Be exact. "}"#, "Be brief.");
        assert_eq!(new.as_deref(), Some("Be exact."));
        for reply in
            ["", "Be exact.", r#"{"instructions":"  "}"#, r#"{"instructions":"Be  brief."}"#]
        {
            assert_eq!(instructions(reply, "Be brief."), None, "{reply}");
        }
    }
}
