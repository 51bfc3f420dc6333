//! Plans: how a goal is split, and what is made of a small model's attempt at it.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    agents::Agent,
    text::{excerpt, one_line, words},
};

/// The longest task a model may write, in characters.
const TASK_CHARS: u32 = 120;
/// Enough for a plan of three tasks.
pub(super) const PLAN_TOKENS: u32 = 220;
/// Enough for `{"agent":"…"}`.
pub(super) const ROUTE_TOKENS: u32 = 32;

/// One task of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Task {
    /// "task-1" and so on: begins the keys of its steps.
    pub(super) id: String,
    /// Who works on it; empty until routed.
    pub(super) agent: String,
    pub(super) task: String,
}

/// What a goal is split into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) tasks: Vec<Task>,
}

impl Plan {
    /// The goal itself as the only task.
    pub(super) fn whole(goal: &str, agent: &str) -> Self {
        Self { tasks: vec![task(0, agent, goal.to_owned())] }
    }

    /// Makes a plan of a model's text: what is no task, comes twice, names no allowed agent or
    /// exceeds the bound is dropped; a plan of one task is the goal itself, as its words say it
    /// better. Never fails, and the same text always makes the same plan.
    pub(super) fn from_model(text: &str, goal: &str, agents: &[&Agent], max_tasks: u32) -> Self {
        #[derive(Deserialize)]
        struct Draft {
            tasks: Vec<DraftTask>,
        }
        #[derive(Deserialize)]
        struct DraftTask {
            agent: String,
            task: String,
        }
        let only = if let [agent] = agents { agent.config.name.as_str() } else { "" };
        let Ok(draft) = serde_json::from_str::<Draft>(text) else {
            return Self::whole(goal, only);
        };
        let mut seen = HashSet::new();
        let mut tasks = Vec::new();
        for DraftTask { agent, task: text } in draft.tasks {
            let text = tidy(&text);
            let key: Vec<String> = words(&text).collect();
            let is_known = agents.iter().any(|known| known.config.name == agent);
            let has_words = key.iter().any(|word| word.chars().any(char::is_alphabetic));
            if is_known && has_words && seen.insert(key) {
                tasks.push(task(tasks.len(), &agent, text));
            }
        }
        tasks.truncate(usize::try_from(max_tasks).unwrap_or(usize::MAX));
        if tasks.len() < 2 { Self::whole(goal, only) } else { Self { tasks } }
    }

    /// As people read it.
    pub(super) fn text(&self) -> String {
        let lines: Vec<_> = self
            .tasks
            .iter()
            .map(|Task { id, agent, task }| format!("{id} ({agent}): {}", excerpt(task, 500)))
            .collect();
        lines.join("\n")
    }

    /// As the event PLANNED tells it.
    pub(super) fn data(&self) -> Value {
        json!({ "tasks": self.tasks })
    }
}

fn task(index: usize, agent: &str, text: String) -> Task {
    Task { id: format!("task-{}", index + 1), agent: agent.to_owned(), task: text }
}

/// On one line, without the number or dash that a list's item begins with, as words rather than
/// as the identifier that models make of them within JSON.
fn tidy(text: &str) -> String {
    let text = one_line(text);
    let text = if text.contains(' ') { text } else { text.replace('_', " ") };
    let bare = text.trim_start_matches(|character: char| {
        character.is_ascii_digit() || "-*•.):# ".contains(character)
    });
    // A number may belong to the task: "3 days in Lisbon".
    let was_marker = text.len() > bare.len()
        && text
            .get(..text.len() - bare.len())
            .is_some_and(|start| start.contains(['.', ')', '-', '*', '•', ':', '#']));
    if was_marker { bare.to_owned() } else { text }
}

/// What a plan must look like.
pub(super) fn plan_schema(agents: &[&Agent], max_tasks: u32) -> Value {
    json!({
        "type": "object",
        "properties": {
            "tasks": {
                "type": "array",
                "minItems": 1,
                "maxItems": max_tasks,
                "items": {
                    "type": "object",
                    "properties": {
                        "agent": {"type": "string", "enum": names(agents)},
                        "task": {"type": "string", "minLength": 4, "maxLength": TASK_CHARS},
                    },
                    "required": ["agent", "task"],
                    "additionalProperties": false,
                },
            },
        },
        "required": ["tasks"],
        "additionalProperties": false,
    })
}

/// What a route must look like.
pub(super) fn route_schema(agents: &[&Agent]) -> Value {
    json!({
        "type": "object",
        "properties": {"agent": {"type": "string", "enum": names(agents)}},
        "required": ["agent"],
        "additionalProperties": false,
    })
}

/// The agent a router's text names; the first allowed one when it names none.
pub(super) fn routed<'a>(text: &str, agents: &[&'a Agent]) -> &'a str {
    let named = serde_json::from_str::<Value>(text).ok();
    let named = named.as_ref().and_then(|value| value.get("agent")).and_then(Value::as_str);
    agents
        .iter()
        .find(|agent| Some(agent.config.name.as_str()) == named)
        .or(agents.first())
        .map_or("", |agent| agent.config.name.as_str())
}

fn names(agents: &[&Agent]) -> Vec<String> {
    agents.iter().map(|agent| agent.config.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{agents::Roster, config::OrchestratorConfig};

    fn roster() -> Roster {
        Roster::new(&OrchestratorConfig::default().agents)
    }

    fn plan(text: &str) -> Vec<(String, String)> {
        let roster = roster();
        let agents = roster.allowed(&[]).unwrap();
        let plan = Plan::from_model(text, "the goal", &agents, 3);
        plan.tasks.into_iter().map(|task| (task.agent, task.task)).collect()
    }

    #[test]
    fn a_sound_plan_stays_as_it_is() {
        let text = r#"{"tasks":[{"agent":"planner","task":"Plan two days"},
                                {"agent":"writer","task":"Write the packing list"}]}"#;
        let expected = [("planner", "Plan two days"), ("writer", "Write the packing list")];
        assert_eq!(plan(text), expected.map(|(agent, task)| (agent.to_owned(), task.to_owned())));
    }

    #[test]
    fn what_is_no_task_is_dropped() {
        let text = r#"{"tasks":[{"agent":"planner","task":"1. Plan\n two days"},
            {"agent":"writer","task":"plan_two_DAYS"},{"agent":"writer","task":" ... "},
            {"agent":"nobody","task":"Do things"},{"agent":"writer","task":"3 days in Lisbon"}]}"#;
        let expected = [("planner", "Plan two days"), ("writer", "3 days in Lisbon")];
        assert_eq!(plan(text), expected.map(|(agent, task)| (agent.to_owned(), task.to_owned())));
    }

    #[test]
    fn the_goal_itself_is_what_is_left() {
        let one = r#"{"tasks":[{"agent":"planner","task":"Plan"},{"agent":"planner","task":""}]}"#;
        for text in ["", "{\"tasks\":[{\"agent\":\"plan", "{\"tasks\":[]}", "42", one] {
            assert_eq!(plan(text), [(String::new(), "the goal".to_owned())], "{text}");
        }
    }

    #[test]
    fn a_router_that_names_nobody_gets_the_first_agent() {
        let roster = roster();
        let agents = roster.allowed(&["writer".to_owned(), "analyst".to_owned()]).unwrap();
        assert_eq!(routed(r#"{"agent":"analyst"}"#, &agents), "analyst");
        for text in [r#"{"agent":"researcher"}"#, "analyst", ""] {
            assert_eq!(routed(text, &agents), "writer", "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_text_makes_a_plan(
            tasks in prop::collection::vec(("(planner|writer|x)", ".{0,40}"), 0..8),
            cut in 0_usize..400,
            max_tasks in 1_u32..5,
        ) {
            let drafts: Vec<_> = tasks.iter().map(|(a, t)| json!({"agent": a, "task": t})).collect();
            let whole = json!({"tasks": drafts}).to_string();
            let text = &whole[..whole.floor_char_boundary(cut.min(whole.len()))];
            for text in [text, &whole] {
                let roster = roster();
                let agents = roster.allowed(&[]).unwrap();
                let plan = Plan::from_model(text, "goal", &agents, max_tasks);
                prop_assert!(!plan.tasks.is_empty() && plan.tasks.len() <= max_tasks as usize);
                prop_assert_eq!(&plan, &Plan::from_model(text, "goal", &agents, max_tasks));
                let ids: HashSet<_> = plan.tasks.iter().map(|task| &task.id).collect();
                prop_assert_eq!(ids.len(), plan.tasks.len());
            }
        }
    }
}
