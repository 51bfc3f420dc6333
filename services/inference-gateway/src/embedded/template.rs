//! A model's own chat template: Jinja, as Hugging Face's transformers run it
//! (<https://huggingface.co/docs/transformers/chat_templating>).

use std::io;

use chrono::Local;
use minijinja::{
    Environment, Error, ErrorKind, Value, context,
    syntax::SyntaxConfig,
    value::{Kwargs, Serde},
};
use serde::Serialize;
use serde_json::{
    Value as Json, json,
    ser::{Formatter, PrettyFormatter, Serializer},
};

use super::calls::Dialect;

/// Instructions of the template engine for one prompt: far more than a long conversation takes,
/// and an end for a template that has none.
const FUEL: u64 = 10_000_000;

/// A template that was tried.
#[derive(Debug)]
pub(super) struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
    /// How it shows calls of tools; none when it shows no tools.
    pub(super) dialect: Option<Dialect>,
}

impl ChatTemplate {
    /// None when this engine cannot apply it.
    pub(super) fn new(source: &str, bos: String, eos: String) -> Option<Self> {
        let mut environment = Environment::new();
        environment.set_syntax(
            SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().ok()?,
        );
        environment.set_fuel(Some(FUEL));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", raise);
        environment
            .add_function("strftime_now", |format: &str| Local::now().format(format).to_string());
        environment.add_template_owned("chat", source.to_owned()).ok()?;
        let mut this = Self { environment, bos, eos, dialect: None };
        let probe = [json!({ "role": "user", "content": "x" })];
        this.render(&probe, None).ok()?;
        this.dialect = Dialect::of(source).filter(|_| {
            let tool = json!({ "type": "function", "function": {
                "name": "f", "description": "d", "parameters": { "type": "object", "properties": {} },
            }});
            this.render(&probe, Some(&[tool])).is_ok()
        });
        Some(this)
    }

    /// The text of a conversation, up to where the answer begins.
    pub(super) fn render(
        &self,
        messages: &[Json],
        tools: Option<&[Json]>,
    ) -> Result<String, String> {
        let context = context! {
            messages => Value::from(Serde(messages)),
            tools => tools.map(|tools| Value::from(Serde(tools))),
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            add_generation_prompt => true,
        };
        let template = self.environment.get_template("chat");
        let rendered = template.and_then(|template| template.render(context));
        rendered.map_err(|error| error.to_string())
    }
}

/// Templates refuse conversations that they cannot show with this.
fn raise(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// As Python's `json.dumps`: models have seen its blanks, and no escapes for HTML.
#[expect(clippy::needless_pass_by_value, reason = "the engine calls filters so")]
fn to_json(Serde(value): Serde<Json>, options: Kwargs) -> Result<Value, Error> {
    let failed =
        |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let mut text = Vec::new();
    match options.get::<Option<usize>>("indent")? {
        Some(indent) => {
            let indent = b" ".repeat(indent.min(16));
            let formatter = PrettyFormatter::with_indent(&indent);
            value
                .serialize(&mut Serializer::with_formatter(&mut text, formatter))
                .map_err(failed)?;
        }
        None => {
            value.serialize(&mut Serializer::with_formatter(&mut text, Python)).map_err(failed)?;
        }
    }
    // Other options of transformers change nothing here.
    let _: (Option<bool>, Option<bool>) = (options.get("ensure_ascii")?, options.get("sort_keys")?);
    options.assert_all_used()?;
    let text = String::from_utf8(text)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(Value::from_safe_string(text))
}

struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> Option<ChatTemplate> {
        ChatTemplate::new(source, "<s>".to_owned(), "</s>".to_owned())
    }

    #[test]
    fn what_published_templates_use_is_there() {
        let source = "{{ bos_token }}{%- for message in messages %}\n\
            {%- if message.role == 'user' and not loop.last %}{% continue %}{% endif %}\n\
            {{- message['content'].strip().split('|')[-1] }}\n\
            {%- endfor %}{{ strftime_now('%Y')[:2] }}";
        let messages = [json!({ "role": "user", "content": " a|b " })];
        assert_eq!(template(source).unwrap().render(&messages, None).unwrap(), "<s>b20");
    }

    #[test]
    fn json_is_written_as_python_does() {
        let source = "{{ messages[0] | tojson }}{{ messages[0] | tojson(indent=1) }}";
        let messages = [json!({ "content": "<é'>" })];
        let text = template(source).unwrap().render(&messages, None).unwrap();
        assert_eq!(text, "{\"content\": \"<é'>\"}{\n \"content\": \"<é'>\"\n}");
    }

    #[test]
    fn what_cannot_be_applied_is_told_apart() {
        assert!(template("{% for %}").is_none());
        assert!(
            template(
                "{% for a in range(100000) %}{% for b in range(100000) %}.{% endfor %}{% endfor %}"
            )
            .is_none()
        );
        let picky = "{% if messages|length > 1 %}{{ raise_exception('one only') }}{% endif %}x";
        let two =
            [json!({ "role": "user", "content": "a" }), json!({ "role": "user", "content": "b" })];
        let error = template(picky).unwrap().render(&two, None).unwrap_err();
        assert!(error.contains("one only"), "{error}");
    }
}
