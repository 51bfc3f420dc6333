//! From messages to tokens, through the model's own template.

use llama_cpp_2::{model::LlamaChatMessage, token::LlamaToken};

use super::load::Loaded;
use crate::chat::{Message, Role};

impl Loaded {
    /// The tokens of a conversation, up to where the answer begins.
    ///
    /// What a message says is data: where the vocabulary allows it, the names of control tokens in
    /// it stay plain text. For that the template is applied to marks, and the contents are put in
    /// their places afterwards.
    pub(super) fn prompt(&self, messages: &[Message]) -> Result<Vec<LlamaToken>, String> {
        if self.divisible {
            let marks: Vec<String> = (0..messages.len()).map(mark).collect();
            let rendered = self.render(messages, marks.iter().map(String::as_str))?;
            if let Some(tokens) = self.join(&rendered, messages, &marks) {
                return Ok(tokens);
            }
        }
        let contents = messages.iter().map(|message| message.content.as_str());
        let rendered = self.render(messages, contents)?;
        let begin = !self.begins_with_bos(&rendered);
        Ok(self.model.vocab().tokenize(rendered.as_bytes(), begin, true))
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
        for (message, mark) in messages.iter().zip(marks) {
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
        contents: impl Iterator<Item = &'a str>,
    ) -> Result<String, String> {
        let knows_tools = self.template.to_str().is_ok_and(|template| template.contains("tool"));
        let messages = messages.iter().zip(contents).map(|(message, content)| {
            let role = match message.role {
                Role::System => "system",
                Role::Assistant => "assistant",
                Role::Tool if knows_tools => "tool",
                Role::Tool | Role::User => "user",
            };
            LlamaChatMessage::new(role.to_owned(), content.to_owned())
        });
        let messages: Vec<_> = messages.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        let applied = self.model.apply_chat_template(&self.template, &messages, true);
        applied.map_err(|error| format!("the model's chat template: {error}"))
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

/// A character for private use: no template trims or escapes it.
const MARK: char = '\u{e000}';

fn mark(at: usize) -> String {
    format!("{MARK}{at}\u{e001}")
}
