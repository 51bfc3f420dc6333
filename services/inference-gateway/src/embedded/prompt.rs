//! From messages to tokens, through the model's own template.

use llama_cpp_2::{model::LlamaChatMessage, token::LlamaToken};
use serde_json::{Value, json};

use super::{
    calls::{Dialect, describe},
    load::Loaded,
};
use crate::chat::{Input, Message, Role, Tools};

/// What the model goes on from.
pub(super) struct Prompt {
    pub(super) tokens: Vec<LlamaToken>,
    /// How it writes calls of tools; of no matter without tools.
    pub(super) dialect: Dialect,
}

impl Loaded {
    /// The tokens of a conversation, up to where the answer begins.
    ///
    /// What a message says is data: where the vocabulary allows it, the names of control tokens in
    /// it stay plain text. For that the template is applied to marks, and the contents are put in
    /// their places afterwards.
    pub(super) fn prompt(&self, input: &Input, tools: Option<&Tools>) -> Result<Prompt, String> {
        let own = self.jinja.as_ref().and_then(|jinja| jinja.dialect);
        let dialect = own.unwrap_or(Dialect::Hermes);
        let messages = match input {
            Input::Text(text) => {
                let tokens = self.model.vocab().tokenize(text.as_bytes(), true, false);
                return Ok(Prompt { tokens, dialect });
            }
            Input::Messages(messages) => messages,
        };
        let shown = tools.filter(|_| own.is_some());
        let told;
        let messages = if own.is_some() {
            messages
        } else {
            told = tell(messages, tools);
            &told
        };
        if self.divisible {
            let marks: Vec<String> = messages.iter().enumerate().map(mark).collect();
            let rendered = self.render(messages, marks.iter().map(String::as_str), shown)?;
            if let Some(tokens) = self.join(&rendered, messages, &marks) {
                return Ok(Prompt { tokens, dialect });
            }
        }
        let contents = messages.iter().map(|message| message.content.as_str());
        let rendered = self.render(messages, contents, shown)?;
        let begin = !self.begins_with_bos(&rendered);
        let tokens = self.model.vocab().tokenize(rendered.as_bytes(), begin, true);
        Ok(Prompt { tokens, dialect })
    }

    /// None when the template left a mark out, doubled one or changed their order.
    fn join(
        &self,
        rendered: &str,
        messages: &[Message],
        marks: &[String],
    ) -> Option<Vec<LlamaToken>> {
        let vocabulary = self.model.vocab();
        let mut tokens = Vec::new();
        let mut begin = !self.begins_with_bos(rendered);
        let mut rest = rendered;
        for (message, mark) in messages.iter().zip(marks).filter(|(_, mark)| !mark.is_empty()) {
            let (before, after) = rest.split_once(mark.as_str())?;
            tokens.extend(vocabulary.tokenize(before.as_bytes(), begin, true));
            tokens.extend(vocabulary.tokenize(message.content.as_bytes(), false, false));
            begin = false;
            rest = after;
        }
        if rest.contains(MARK) {
            return None;
        }
        tokens.extend(vocabulary.tokenize(rest.as_bytes(), false, true));
        Some(tokens)
    }

    fn render<'a>(
        &self,
        messages: &[Message],
        contents: impl Iterator<Item = &'a str> + Clone,
        tools: Option<&Tools>,
    ) -> Result<String, String> {
        let failed = |error: &dyn std::fmt::Display| format!("the model's chat template: {error}");
        if let Some(jinja) = &self.jinja {
            let messages = messages.iter().zip(contents.clone());
            let messages: Vec<Value> =
                messages.map(|(message, content)| as_json(message, content)).collect();
            let tools = tools.map(|tools| tools.tools.iter().map(describe).collect::<Vec<_>>());
            return jinja.render(&messages, tools.as_deref()).map_err(|error| failed(&error));
        }
        let messages = messages.iter().zip(contents).map(|(message, content)| {
            let role = match message.role {
                Role::System => "system",
                Role::Assistant => "assistant",
                Role::Tool | Role::User => "user",
            };
            LlamaChatMessage::new(role.to_owned(), content.to_owned())
        });
        let messages: Vec<_> = messages.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        let applied = self.model.apply_chat_template(&self.template, &messages, true);
        applied.map_err(|error| failed(&error))
    }

    /// Some templates write the token that begins a text themselves; it must not be there twice.
    fn begins_with_bos(&self, rendered: &str) -> bool {
        let vocabulary = self.model.vocab();
        let bos = vocabulary.bos();
        if bos.0 < 0 {
            return false;
        }
        let text = vocabulary.token_to_piece(bos, true, None);
        !text.is_empty() && rendered.as_bytes().starts_with(&text)
    }
}

/// As transformers hands messages to templates.
fn as_json(message: &Message, content: &str) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut json = json!({ "role": role, "content": content });
    if let Some(id) = &message.tool_call_id {
        json["tool_call_id"] = json!(id);
    }
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            let arguments = serde_json::from_str(&call.arguments).unwrap_or(Value::Null);
            json!({
                "id": call.id,
                "type": "function",
                "function": { "name": call.name, "arguments": arguments },
            })
        });
        json["tool_calls"] = calls.collect();
    }
    json
}

/// For a template that shows no tools: they and their calls become text.
fn tell(messages: &[Message], tools: Option<&Tools>) -> Vec<Message> {
    let mut told: Vec<Message> = messages.iter().map(as_text).collect();
    if let Some(tools) = tools {
        let instructions = Dialect::instructions(&tools.tools);
        match told.first_mut().filter(|first| first.role == Role::System) {
            Some(first) => first.content = format!("{}\n\n{instructions}", first.content),
            None => told.insert(0, Message::new(Role::System, instructions)),
        }
    }
    told
}

fn as_text(message: &Message) -> Message {
    if message.role == Role::Tool {
        let content = format!("<tool_response>\n{}\n</tool_response>", message.content);
        return Message::new(Role::User, content);
    }
    let mut content = message.content.clone();
    for call in &message.tool_calls {
        let (name, arguments) = (json!(call.name), &call.arguments);
        content +=
            &format!("<tool_call>{{\"name\": {name}, \"arguments\": {arguments}}}</tool_call>");
    }
    Message::new(message.role, content)
}

/// A character for private use: no template trims or escapes it.
const MARK: char = '\u{e000}';

/// None for a message without text: templates ask whether there is some.
fn mark((at, message): (usize, &Message)) -> String {
    if message.content.is_empty() { String::new() } else { format!("{MARK}{at}\u{e001}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Tool, ToolCall, ToolChoice};

    #[test]
    fn tools_become_text_where_the_template_has_no_place_for_them() {
        let call =
            ToolCall { id: "1".to_owned(), name: "f".to_owned(), arguments: "{}".to_owned() };
        let messages = [
            Message::new(Role::System, "Be brief."),
            Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "") },
            Message { tool_call_id: Some("1".to_owned()), ..Message::new(Role::Tool, "42") },
        ];
        let tool = Tool { name: "f".to_owned(), description: String::new(), parameters: json!({}) };
        let tools = Tools { tools: vec![tool], choice: ToolChoice::Auto };
        let told = tell(&messages, Some(&tools));
        assert!(told[0].content.starts_with("Be brief.\n\nYou can call"));
        assert_eq!(told[1].content, "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>");
        assert_eq!((told[2].role, told[2].content.contains("42")), (Role::User, true));
        assert_eq!(tell(&messages[2..], Some(&tools))[0].role, Role::System);
    }
}
