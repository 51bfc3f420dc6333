//! How a model writes the calls of tools, as its chat template shows it, and reading them.

use serde_json::{Map, Value, json};

use crate::chat::{Tool, ToolCall, ToolChoice, Tools};

/// The ways of writing calls that are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, once or more often; Hermes, Qwen and
    /// others. Also what models without a way of their own are told.
    Hermes,
    /// `{"name": …, "parameters": {…}}` as the whole answer; Llama 3.
    Llama,
}

const BEGIN: &str = "<tool_call>";
const END: &str = "</tool_call>";

impl Dialect {
    /// That of a chat template; none when it shows no tools, or in a way not known here.
    pub(super) fn of(template: &str) -> Option<Self> {
        if !template.contains("tools") {
            None
        } else if template.contains(BEGIN) && !template.contains("<function=") {
            Some(Self::Hermes)
        } else if template.contains("\"parameters\": dictionary") {
            Some(Self::Llama)
        } else {
            None
        }
    }

    /// What is put before the conversation for models whose template shows no tools.
    pub(super) fn instructions(tools: &[Tool]) -> String {
        let list: Vec<String> = tools.iter().map(|tool| describe(tool).to_string()).collect();
        format!(
            "You can call these functions, given as JSON schemas:\n{}\nTo call one, answer with \
             {BEGIN}{{\"name\": \"its name\", \"arguments\": {{…}}}}{END} and nothing else.",
            list.join("\n")
        )
    }

    /// The grammar of the answer, for llguidance
    /// (<https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md>); none when the model
    /// may say what it likes.
    pub(super) fn grammar(self, tools: &Tools) -> Option<String> {
        let named: Vec<&Tool> = match &tools.choice {
            ToolChoice::None => return None,
            ToolChoice::Named(name) => {
                tools.tools.iter().filter(|tool| tool.name == *name).collect()
            }
            ToolChoice::Auto | ToolChoice::Required => tools.tools.iter().collect(),
        };
        let must = tools.choice != ToolChoice::Auto;
        let once = matches!(tools.choice, ToolChoice::Named(_));
        let call = json!({
            "anyOf": named.iter().map(|tool| self.schema(tool)).collect::<Vec<_>>(),
            "x-guidance": super::constraint::one_way(),
        });
        Some(match self {
            Self::Hermes => {
                let more = if once { "" } else { " (WS? \"<tool_call>\" body)*" };
                let start = if must {
                    format!("start: \"{BEGIN}\" body{more}\n")
                } else {
                    // Text before a call is usual; text that only looks like one is not admitted.
                    format!(
                        "start: FREE | before body{more}\nFREE: /(?s:.+)/ & ~/(?s:.*){BEGIN}(?s:.*)/\n\
                         before[lazy]: /(?s:.*){BEGIN}/\n"
                    )
                };
                format!(
                    "{start}body: WS? call WS? \"{END}\"\ncall: %json {call}\nWS: /[ \\n]{{1,2}}/\n"
                )
            }
            Self::Llama => {
                let free = if must { "" } else { "FREE | " };
                let text = if must { "" } else { "FREE: /[^{](?s:.*)/\n" };
                format!("start: {free}call\n{text}call: %json {call}\n")
            }
        })
    }

    fn schema(self, tool: &Tool) -> Value {
        let arguments = match self {
            Self::Hermes => "arguments",
            Self::Llama => "parameters",
        };
        let mut parameters = super::constraint::closed(&tool.parameters);
        if let Value::Object(map) = &mut parameters {
            map.entry("type").or_insert_with(|| json!("object"));
            let named = map.get("properties").and_then(Value::as_object);
            if named.is_none_or(Map::is_empty) && !map.contains_key("patternProperties") {
                // A function without parameters; a small model would make some up.
                map.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        json!({
            "type": "object",
            "properties": { "name": { "const": tool.name }, arguments: parameters },
            "required": ["name", arguments],
            "additionalProperties": false,
        })
    }
}

/// A tool as templates and instructions show it: OpenAI's form.
pub(super) fn describe(tool: &Tool) -> Value {
    json!({
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        },
    })
}

/// A part of an answer that may call tools.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Text.
    Text(String),
    /// A call.
    Call(ToolCall),
}

/// Finds the calls in an answer while it is made.
#[derive(Debug)]
pub(super) struct CallReader {
    dialect: Dialect,
    /// What may be the beginning of a mark, or a call that is not whole yet.
    held: String,
    in_call: bool,
    calls: usize,
    begun: bool,
    /// Distinguishes this answer's calls from those of other answers.
    prefix: String,
}

impl CallReader {
    /// `prefix` begins the calls' ids.
    pub(super) fn new(dialect: Dialect, prefix: String) -> Self {
        Self { dialect, held: String::new(), in_call: false, calls: 0, begun: false, prefix }
    }

    /// How many calls there were.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Adds text; gives what is certain now.
    pub(super) fn push(&mut self, text: &str) -> Vec<Said> {
        self.held.push_str(text);
        let mut said = Vec::new();
        if !self.begun && !self.held.trim_start().is_empty() {
            self.begun = true;
            self.in_call =
                self.dialect == Dialect::Llama && self.held.trim_start().starts_with('{');
        }
        if self.dialect == Dialect::Llama {
            if !self.in_call && self.begun {
                said.extend(text_of(std::mem::take(&mut self.held)));
            }
            return said;
        }
        loop {
            let mark = if self.in_call { END } else { BEGIN };
            let Some(at) = self.held.find(mark) else { break };
            let before = self.held[..at].to_owned();
            self.held.drain(..at + mark.len());
            if self.in_call {
                said.extend(self.call(&before));
            } else if self.calls == 0 {
                said.extend(text_of(before));
            }
            self.in_call = !self.in_call;
        }
        if !self.in_call && self.calls == 0 {
            let keep = (1..BEGIN.len()).rev().find(|n| self.held.ends_with(&BEGIN[..*n]));
            let rest = self.held.split_off(self.held.len() - keep.unwrap_or(0));
            said.extend(text_of(std::mem::replace(&mut self.held, rest)));
        }
        said
    }

    /// What is left at the end of the answer: a call that was cut off is shown as the text it is.
    pub(super) fn finish(&mut self) -> Vec<Said> {
        let rest = std::mem::take(&mut self.held);
        if self.dialect == Dialect::Llama && self.in_call {
            return match self.call(&rest) {
                Some(call) => vec![call],
                None => text_of(rest).into_iter().collect(),
            };
        }
        if self.calls > 0 && !self.in_call {
            return Vec::new();
        }
        let rest = if self.in_call { format!("{BEGIN}{rest}") } else { rest };
        text_of(rest).into_iter().collect()
    }

    fn call(&mut self, text: &str) -> Option<Said> {
        let mut call: Map<String, Value> = serde_json::from_str(text.trim()).ok()?;
        let Some(Value::String(name)) = call.remove("name") else { return None };
        let arguments = call.remove("arguments").or_else(|| call.remove("parameters"))?;
        let id = format!("{}_{}", self.prefix, self.calls);
        self.calls += 1;
        Some(Said::Call(ToolCall { id, name, arguments: arguments.to_string() }))
    }
}

fn text_of(text: String) -> Option<Said> {
    (!text.is_empty()).then_some(Said::Text(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &str = "I look.<tool_call>\n{\"name\": \"find\", \"arguments\": {\"q\": \"<a>\"}}\n\
                          </tool_call>\n<tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call>";

    fn read(dialect: Dialect, pieces: &[&str]) -> (String, Vec<ToolCall>) {
        let mut reader = CallReader::new(dialect, "call".to_owned());
        let mut said: Vec<Said> = pieces.iter().flat_map(|piece| reader.push(piece)).collect();
        said.extend(reader.finish());
        let (mut text, mut calls) = (String::new(), Vec::new());
        for part in said {
            match part {
                Said::Text(more) => text += &more,
                Said::Call(call) => calls.push(call),
            }
        }
        (text, calls)
    }

    #[test]
    fn calls_are_read_and_the_text_before_them_kept() {
        let (text, calls) = read(Dialect::Hermes, &[ANSWER]);
        assert_eq!(text, "I look.");
        let calls: Vec<_> = calls.iter().map(|c| (&*c.id, &*c.name, &*c.arguments)).collect();
        assert_eq!(calls, [("call_0", "find", r#"{"q":"<a>"}"#), ("call_1", "now", "{}")]);
    }

    #[test]
    fn a_llama_answer_is_one_call_or_text() {
        let call = r#" {"name": "now", "parameters": {"zone": "UTC"}}"#;
        let (text, calls) = read(Dialect::Llama, &[&call[..9], &call[9..]]);
        assert_eq!((text.as_str(), calls.len()), ("", 1));
        assert_eq!(calls[0].arguments, r#"{"zone":"UTC"}"#);
        assert_eq!(read(Dialect::Llama, &["It is ", "{noon}"]).0, "It is {noon}");
        assert_eq!(read(Dialect::Llama, &["{\"name\": \"no"]).0, "{\"name\": \"no");
    }

    #[test]
    fn what_was_cut_off_stays_text() {
        assert_eq!(read(Dialect::Hermes, &["a <tool", "_cal"]).0, "a <tool_cal");
        assert_eq!(read(Dialect::Hermes, &["<tool_call>{\"na"]).0, "<tool_call>{\"na");
    }

    #[test]
    fn spoilt_calls_are_read_the_same_in_any_pieces() {
        let seeds = [ANSWER.as_bytes().to_vec(), b"{\"name\":\"f\",\"parameters\":{}}".to_vec()];
        crate::fuzz::fuzz("calls", &seeds, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let characters: Vec<String> = text.chars().map(String::from).collect();
            let pieces: Vec<&str> = characters.iter().map(String::as_str).collect();
            for dialect in [Dialect::Hermes, Dialect::Llama] {
                assert_eq!(read(dialect, &pieces), read(dialect, &[&text]));
            }
        });
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(cuts in proptest::collection::vec(0_usize..200, 0..12)) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (ANSWER.len() + 1)).collect();
            cuts.extend([0, ANSWER.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &ANSWER[cut[0]..cut[1]]).collect();
            prop_assert_eq!(read(Dialect::Hermes, &pieces), read(Dialect::Hermes, &[ANSWER]));
        }

        #[test]
        fn anything_is_read_without_a_panic(text in "(<tool_call>|</tool_call>|\\{|\\}|\"|a|€){0,20}") {
            let _ = read(Dialect::Hermes, &[&text]);
            let _ = read(Dialect::Llama, &[&text]);
        }
    }
}
