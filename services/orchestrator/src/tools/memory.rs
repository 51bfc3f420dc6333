//! Searching the memory, and writing to it.

use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};

use super::{CallFor, Called, Tool, text, text_argument, words_of};
use crate::{
    peers::{Episode, Memory, PeerError},
    text::excerpt,
};

/// More would fill a small model's window.
const RESULTS: u32 = 4;

/// Finds what memory holds.
pub(super) struct Search(pub(super) Memory);

impl Tool for Search {
    fn name(&self) -> &'static str {
        "memory_search"
    }

    fn description(&self) -> &'static str {
        "searches what was learned earlier"
    }

    fn arguments(&self) -> Value {
        text_argument("query", "a few words", 100)
    }

    fn example(&self, task: &str) -> Value {
        json!({ "query": words_of(task) })
    }

    fn call<'a>(&'a self, arguments: &'a Value, on_behalf: &'a CallFor) -> BoxFuture<'a, Called> {
        async move {
            let query = text(arguments, "query");
            let found = match self.0.search(&on_behalf.namespace, query, RESULTS).await {
                Ok(found) => found,
                Err(error) => return told(error),
            };
            if found.is_empty() {
                return Ok(Ok("nothing found".to_owned()));
            }
            let lines: Vec<_> =
                found.iter().map(|text| format!("- {}", excerpt(text, 300))).collect();
            Ok(Ok(lines.join("\n")))
        }
        .boxed()
    }
}

/// Writes a note to memory.
pub(super) struct Remember(pub(super) Memory);

impl Tool for Remember {
    fn name(&self) -> &'static str {
        "memory_remember"
    }

    fn description(&self) -> &'static str {
        "writes a note to memory for later runs"
    }

    fn arguments(&self) -> Value {
        text_argument("note", "one sentence worth keeping", 200)
    }

    fn example(&self, task: &str) -> Value {
        json!({ "note": words_of(task) })
    }

    fn has_side_effect(&self) -> bool {
        true
    }

    fn call<'a>(&'a self, arguments: &'a Value, on_behalf: &'a CallFor) -> BoxFuture<'a, Called> {
        async move {
            let episode = Episode {
                idempotency_key: on_behalf.idempotency_key.clone(),
                namespace: on_behalf.namespace.clone(),
                text: text(arguments, "note").to_owned(),
                actor: format!("agent:{}", on_behalf.agent),
                session: on_behalf.run_id.clone(),
                source: format!("run:{}/{}", on_behalf.run_id, on_behalf.step_key),
                occurred_at: None,
                facts: Vec::new(),
            };
            match self.0.remember(episode).await {
                Ok(_) => Ok(Ok("remembered".to_owned())),
                Err(error) => told(error),
            }
        }
        .boxed()
    }
}

/// What memory refuses is told to the model; while it is away, the step waits.
fn told(error: PeerError) -> Called {
    if error.is_away() || error.may_pass() { Err(error.into()) } else { Ok(Err(error.message)) }
}
