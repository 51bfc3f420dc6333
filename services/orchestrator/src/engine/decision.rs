//! What an agent does next: answer, or call a tool. One model call decides and gives the tool's
//! arguments, constrained so that every decision parses.

use serde_json::{Map, Value, json};

use crate::tools::Tool;

/// Enough for a tool's name and its arguments.
pub(super) const DECISION_TOKENS: u32 = 120;

const ANSWER: &str = "answer";

/// What an agent decided.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Decision {
    Answer,
    /// A tool that may not exist: whoever calls it tells the model so.
    Call {
        tool: String,
        arguments: Value,
    },
}

impl Decision {
    /// Reads a model's text; what is no decision counts as "answer", so that a task always ends.
    pub(super) fn from_model(text: &str) -> Self {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
            return Self::Answer;
        };
        match fields.remove("action") {
            Some(Value::String(action)) if action != ANSWER => {
                let none = || Value::Object(Map::new());
                let arguments = fields.remove("arguments").unwrap_or_else(none);
                Self::Call { tool: action, arguments }
            }
            _ => Self::Answer,
        }
    }
}

/// What a decision between these tools and an answer must look like.
pub(super) fn schema(tools: &[&dyn Tool]) -> Value {
    let action = |name: &str| json!({"type": "string", "enum": [name]});
    let mut choices = vec![json!({
        "type": "object",
        "properties": {"action": action(ANSWER)},
        "required": ["action"],
        "additionalProperties": false,
    })];
    choices.extend(tools.iter().map(|tool| {
        json!({
            "type": "object",
            "properties": {"action": action(tool.name()), "arguments": tool.arguments()},
            "required": ["action", "arguments"],
            "additionalProperties": false,
        })
    }));
    json!({ "anyOf": choices })
}

/// A decision for a tool, as a model would write it.
pub(super) fn example(tool: &dyn Tool, task: &str) -> Value {
    json!({ "action": tool.name(), "arguments": tool.example(task) })
}

#[cfg(test)]
mod tests {
    use alina_client::{Connector, Endpoints};

    use super::*;
    use crate::{peers::Memory, tools::Toolbox};

    #[test]
    fn decisions_are_read() {
        assert_eq!(Decision::from_model(r#"{"action":"answer"}"#), Decision::Answer);
        let call = r#"{"action":"calculator","arguments":{"expression":"1+1"}}"#;
        assert_eq!(
            Decision::from_model(call),
            Decision::Call {
                tool: "calculator".to_owned(),
                arguments: json!({"expression": "1+1"})
            }
        );
        let bare = Decision::Call { tool: "telescope".to_owned(), arguments: json!({}) };
        assert_eq!(Decision::from_model(r#"{"action":"telescope"}"#), bare);
        for text in ["", "I would answer", r#"{"action":"calcu"#, "[]", r#"{"action":7}"#] {
            assert_eq!(Decision::from_model(text), Decision::Answer, "{text}");
        }
    }

    #[tokio::test]
    async fn the_schema_admits_decisions_and_nothing_else() {
        let memory = Memory::new(Connector::new(&Endpoints::default(), None));
        let toolbox = Toolbox::new(&memory, Vec::new()).unwrap();
        let tools = [toolbox.get("calculator").unwrap(), toolbox.get("clock").unwrap()];
        let schema = jsonschema::validator_for(&schema(&tools)).unwrap();
        for decision in [
            json!({"action": "answer"}),
            json!({"action": "clock", "arguments": {}}),
            json!({"action": "calculator", "arguments": {"expression": "2*3"}}),
        ] {
            assert!(schema.is_valid(&decision), "{decision}");
        }
        for tool in tools {
            for task in ["Trams", "What is 17 * 23?", &"long ".repeat(99), "3", ""] {
                let example = example(tool, task);
                assert!(schema.is_valid(&example), "{example}");
            }
        }
        for other in [
            json!({"action": "calculator", "arguments": {}}),
            json!({"action": "calculator"}),
            json!({"action": "memory_search", "arguments": {"query": "x"}}),
            json!({}),
        ] {
            assert!(!schema.is_valid(&other), "{other}");
        }
    }
}
