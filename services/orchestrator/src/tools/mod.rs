//! What agents can do besides talking.

mod calculator;
mod clock;
mod documents;
mod memory;

use std::{collections::BTreeMap, path::PathBuf};

use futures::future::BoxFuture;
use jsonschema::Validator;
use serde_json::Value;

use crate::{
    error::Error,
    peers::Memory,
    text::{excerpt, one_line},
};

/// The tools there are.
pub(crate) const NAMES: [&str; 5] =
    ["calculator", "clock", "memory_remember", "memory_search", "search_documents"];

/// On whose behalf a tool is called.
#[derive(Debug, Clone)]
pub(crate) struct CallFor {
    pub(crate) agent: String,
    pub(crate) run_id: String,
    pub(crate) step_key: String,
    pub(crate) namespace: String,
    /// The same at every repetition of this call: side effects carry it.
    pub(crate) idempotency_key: String,
}

/// How a call went: its result, or what the model is told went wrong. Failures of the machinery
/// (a service that is away) are errors instead, and the step is taken again.
pub(crate) type Called = Result<Result<String, String>, Error>;

/// A tool.
pub(crate) trait Tool: Send + Sync {
    fn name(&self) -> &'static str;
    /// In a few words: what the model chooses by.
    fn description(&self) -> &'static str;
    /// JSON schema of the arguments: an object.
    fn arguments(&self) -> Value;
    /// Arguments that would do for a task: small models copy examples more than they follow rules.
    fn example(&self, task: &str) -> Value;
    /// Whether a call changes anything outside the run.
    fn has_side_effect(&self) -> bool {
        false
    }
    /// `arguments` satisfy the schema.
    fn call<'a>(&'a self, arguments: &'a Value, on_behalf: &'a CallFor) -> BoxFuture<'a, Called>;
}

/// A string argument; bounded, so that a model that does not stop still ends.
fn text_argument(name: &str, description: &str, max_length: u32) -> Value {
    serde_json::json!({
        "type": "object",
        "properties": {
            name: {
                "type": "string",
                "description": description,
                "minLength": 1,
                "maxLength": max_length,
            },
        },
        "required": [name],
        "additionalProperties": false,
    })
}

/// The beginning of a task as an argument.
fn words_of(task: &str) -> String {
    let text = excerpt(&one_line(task), 80);
    let text = text.trim_end_matches(['…', '.', '?', '!']);
    if text.is_empty() { "anything".to_owned() } else { text.to_owned() }
}

fn text<'a>(arguments: &'a Value, name: &str) -> &'a str {
    arguments.get(name).and_then(Value::as_str).unwrap_or_default()
}

struct Entry {
    tool: Box<dyn Tool>,
    validator: Validator,
}

/// All tools, by name.
pub(crate) struct Toolbox(BTreeMap<&'static str, Entry>);

impl Toolbox {
    /// # Errors
    /// When a tool's own schema is none.
    pub(crate) fn new(memory: &Memory, documents: Vec<PathBuf>) -> Result<Self, String> {
        let tools: [Box<dyn Tool>; NAMES.len()] = [
            Box::new(calculator::Calculator),
            Box::new(clock::Clock),
            Box::new(memory::Remember(memory.clone())),
            Box::new(memory::Search(memory.clone())),
            Box::new(documents::SearchDocuments::new(documents)),
        ];
        let entry = |tool: Box<dyn Tool>| {
            let validator = jsonschema::validator_for(&tool.arguments())
                .map_err(|error| format!("the schema of tool {}: {error}", tool.name()))?;
            Ok((tool.name(), Entry { tool, validator }))
        };
        Ok(Self(tools.into_iter().map(entry).collect::<Result<_, String>>()?))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &dyn Tool> {
        self.0.values().map(|entry| entry.tool.as_ref())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&dyn Tool> {
        self.0.get(name).map(|entry| entry.tool.as_ref())
    }

    /// Calls a tool that is among `allowed`; what the model got wrong is told, never fatal.
    pub(crate) async fn call(
        &self,
        name: &str,
        arguments: &Value,
        allowed: &[String],
        on_behalf: &CallFor,
    ) -> Called {
        let entry = self.0.get(name).filter(|_| allowed.iter().any(|other| other == name));
        let Some(entry) = entry else {
            return Ok(Err(format!("no tool `{name}`; there are {}", allowed.join(", "))));
        };
        let wrong: Vec<String> = entry
            .validator
            .iter_errors(arguments)
            .take(3)
            .map(|error| format!("{} {error}", error.instance_path()))
            .collect();
        if !wrong.is_empty() {
            return Ok(Err(format!("wrong arguments: {}", wrong.join("; "))));
        }
        entry.tool.call(arguments, on_behalf).await
    }
}

#[cfg(test)]
mod tests {
    use alina_client::{Connector, Endpoints};
    use serde_json::json;

    use super::*;

    fn toolbox() -> Toolbox {
        let memory = Memory::new(Connector::new(&Endpoints::default(), None));
        Toolbox::new(&memory, Vec::new()).unwrap()
    }

    fn on_behalf() -> CallFor {
        CallFor {
            agent: "analyst".to_owned(),
            run_id: "run".to_owned(),
            step_key: "task-1/turn-1/tool".to_owned(),
            namespace: "default".to_owned(),
            idempotency_key: "run/task-1/turn-1/tool".to_owned(),
        }
    }

    #[tokio::test]
    async fn the_names_are_those_of_the_tools() {
        let toolbox = toolbox();
        assert_eq!(toolbox.all().map(Tool::name).collect::<Vec<_>>(), NAMES);
        let changing: Vec<_> =
            toolbox.all().filter(|tool| tool.has_side_effect()).map(Tool::name).collect();
        assert_eq!(changing, ["memory_remember"]);
    }

    #[tokio::test]
    async fn what_a_model_gets_wrong_is_told() {
        let toolbox = toolbox();
        let allowed = ["calculator".to_owned()];
        let told = |name: &'static str, arguments: Value| {
            let (toolbox, allowed) = (&toolbox, &allowed);
            async move {
                let called = toolbox.call(name, &arguments, allowed, &on_behalf()).await;
                called.unwrap().unwrap_err()
            }
        };
        let unknown = told("telescope", json!({})).await;
        assert_eq!(unknown, "no tool `telescope`; there are calculator");
        let forbidden = told("clock", json!({})).await;
        assert_eq!(forbidden, "no tool `clock`; there are calculator");
        let missing = told("calculator", json!({})).await;
        assert!(missing.contains("expression"), "{missing}");
        let surplus = told("calculator", json!({"expression": "1", "x": 1})).await;
        assert!(surplus.contains('x'), "{surplus}");
    }

    #[tokio::test]
    async fn a_memory_that_is_away_is_no_result() {
        let allowed = ["memory_search".to_owned()];
        let arguments = json!({"query": "Lisbon"});
        let error =
            toolbox().call("memory_search", &arguments, &allowed, &on_behalf()).await.unwrap_err();
        assert_eq!(error.away(), Some("memory"));
    }
}
