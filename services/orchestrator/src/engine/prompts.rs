//! The prompts: short, since small models follow short ones best, and cut to the context window.

use std::collections::HashSet;

use super::decision;
use crate::{
    agents::Agent,
    peers::{ChatMessage, Speaker},
    text::{excerpt, one_line, words},
    tools::Tool,
};

/// Bytes that count as one token: fewer than text has on average, so that estimates are high.
const BYTES_PER_TOKEN: usize = 3;
/// Left for the chat template and this module's own words, in tokens.
const RESERVE: u32 = 256;

/// How much text a prompt may hold, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget(usize);

impl Budget {
    /// What the window leaves beside an answer of `answer_tokens`. Each further attempt halves it:
    /// what was too long the first time is cut shorter.
    pub(super) fn new(context_tokens: u32, answer_tokens: u32, attempt: u32) -> Self {
        let tokens = context_tokens.saturating_sub(answer_tokens).saturating_sub(RESERVE).max(128);
        let bytes = usize::try_from(tokens).unwrap_or(usize::MAX).saturating_mul(BYTES_PER_TOKEN);
        Self((bytes >> attempt.saturating_sub(1).min(4)).max(256))
    }

    fn part(self, of: usize) -> usize {
        self.0 / of
    }
}

/// What an agent knows of its run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation<'a> {
    pub(super) goal: &'a str,
    /// What memory knows; may be empty.
    pub(super) known: &'a str,
    pub(super) task: &'a str,
}

/// A tool call of an agent's earlier turn.
#[derive(Debug, Clone)]
pub(super) struct EarlierCall {
    pub(super) tool: String,
    /// The decision as the model wrote it.
    pub(super) decision: String,
    /// The result, or what went wrong.
    pub(super) outcome: String,
}

/// Without what memory knows: small models make tasks of it.
pub(super) fn plan(
    goal: &str,
    agents: &[&Agent],
    max_tasks: u32,
    budget: Budget,
) -> Vec<ChatMessage> {
    let system = format!(
        "Split the goal into at most {max_tasks} short, different tasks. For each task choose the \
         agent that fits best.\nAgents:\n{}\nReply with JSON only.",
        list(agents)
    );
    let user = format!("Goal: {}", excerpt(goal, budget.part(2)));
    vec![ChatMessage::new(Speaker::System, system), ChatMessage::new(Speaker::User, user)]
}

pub(super) fn route(goal: &str, agents: &[&Agent], budget: Budget) -> Vec<ChatMessage> {
    let system = format!(
        "Choose the agent that fits the task best.\nAgents:\n{}\nReply with JSON only.",
        list(agents)
    );
    let user = format!("Task: {}", excerpt(goal, budget.part(2)));
    vec![ChatMessage::new(Speaker::System, system), ChatMessage::new(Speaker::User, user)]
}

pub(super) fn decide(
    instructions: &str,
    situation: Situation<'_>,
    calls: &[EarlierCall],
    tools: &[&dyn Tool],
    budget: Budget,
) -> Vec<ChatMessage> {
    // Examples with the task's own words: small models copy them.
    let tools: Vec<_> = tools
        .iter()
        .map(|tool| {
            let example = decision::example(*tool, situation.task);
            format!("- {}, for example {example}", tool.description())
        })
        .collect();
    let question = format!(
        "Choose what to do next:\n- answers the task now: {{\"action\":\"answer\"}}\n{}\nReply \
         with JSON only.",
        tools.join("\n")
    );
    begin(instructions, situation, calls, &question, budget)
}

pub(super) fn answer(
    instructions: &str,
    situation: Situation<'_>,
    calls: &[EarlierCall],
    budget: Budget,
) -> Vec<ChatMessage> {
    begin(instructions, situation, calls, "", budget)
}

/// `results`: task and result of each.
pub(super) fn conclude(
    goal: &str,
    results: &[(String, String)],
    budget: Budget,
) -> Vec<ChatMessage> {
    let share = budget.part(2) / results.len().max(1);
    let parts: Vec<_> = results
        .iter()
        .map(|(task, result)| {
            format!("{}\n{}", one_line(&excerpt(task, share / 4)), excerpt(result, share))
        })
        .collect();
    let system = "You put the results of several agents together to one clear, short answer to \
                  the goal. Use only the results.";
    let user = format!(
        "Results:\n\n{}\n\nGoal: {}\nAnswer:",
        parts.join("\n\n"),
        excerpt(goal, budget.part(4))
    );
    vec![ChatMessage::new(Speaker::System, system), ChatMessage::new(Speaker::User, user)]
}

/// One question on what is known.
pub(crate) fn ask(
    question: &str,
    known: &str,
    context_tokens: u32,
    answer_tokens: u32,
) -> Vec<ChatMessage> {
    let budget = Budget::new(context_tokens, answer_tokens, 1);
    let system = "Answer the question in a few sentences. Use what is known where it helps, and \
                  say so when you do not know.";
    let mut user = format!("Question: {}", excerpt(question, budget.part(2)));
    if !known.is_empty() {
        user = format!("Known:\n{}\n\n{user}", excerpt(known, budget.part(2)));
    }
    vec![ChatMessage::new(Speaker::System, system), ChatMessage::new(Speaker::User, user)]
}

/// Instructions, situation, earlier calls and what is asked now: at most three quarters of the
/// budget and the question. Calls are told as findings rather than as turns, which small models
/// would go on with.
fn begin(
    instructions: &str,
    situation: Situation<'_>,
    calls: &[EarlierCall],
    question: &str,
    budget: Budget,
) -> Vec<ChatMessage> {
    let Situation { goal, known, task } = situation;
    let mut parts = Vec::new();
    let known = relevant(known, &format!("{goal} {task}"));
    if !known.is_empty() {
        parts.push(format!("Known:\n{}\n", excerpt(&known, budget.part(8))));
    }
    // For a single task the goal is the task.
    if goal != task {
        parts.push(format!("Goal: {}", excerpt(goal, budget.part(8))));
    }
    let share = budget.part(4) / calls.len().max(1);
    for EarlierCall { tool, outcome, .. } in calls {
        parts.push(format!("Result of {tool}: {}", excerpt(outcome, share)));
    }
    parts.push(format!("Task: {}", excerpt(task, budget.part(8))));
    if !question.is_empty() {
        parts.push(format!("\n{question}"));
    }
    vec![
        ChatMessage::new(Speaker::System, excerpt(instructions, budget.part(4))),
        ChatMessage::new(Speaker::User, parts.join("\n")),
    ]
}

/// Sections of what is known that concern every task.
const FOR_ALL: [&str; 2] = ["## Project brief", "## Active context"];

/// The lines of what is known that concern every task, or share a word with what it is about; with the
/// headings above them. Memory gives the nearest it has, however far that is, and small models take
/// everything they are told to be meant.
fn relevant(known: &str, about: &str) -> String {
    let about: HashSet<String> = words(about).filter(|word| is_telling(word)).collect();
    let mut heading = None;
    let mut for_all = false;
    let mut lines: Vec<&str> = Vec::new();
    for line in known.lines() {
        if line.starts_with("## ") {
            heading = Some(line);
            for_all = FOR_ALL.contains(&line);
        } else if for_all || words(line).any(|word| about.contains(&word)) {
            lines.extend(heading.take());
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// Short words, and the few long ones that every goal may have, tell nothing.
fn is_telling(word: &str) -> bool {
    const COMMON: [&str; 24] = [
        "about", "answer", "find", "from", "give", "goal", "have", "into", "list", "make", "more",
        "plan", "short", "tell", "task", "that", "them", "then", "this", "what", "when", "with",
        "write", "your",
    ];
    word.chars().count() >= 4 && !COMMON.contains(&word)
}

fn list(agents: &[&Agent]) -> String {
    let lines: Vec<_> = agents
        .iter()
        .map(|agent| format!("- {}: {}", agent.config.name, agent.config.description))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{agents::Roster, config::OrchestratorConfig};

    fn bytes(messages: &[ChatMessage]) -> usize {
        messages.iter().map(|message| message.text.len()).sum()
    }

    #[test]
    fn every_prompt_fits_the_window() {
        let config = OrchestratorConfig::default();
        let long = "word and word ".repeat(2_000);
        let situation = Situation { goal: &long, known: &long, task: "Another task" };
        let call =
            EarlierCall { tool: "clock".to_owned(), decision: long.clone(), outcome: long.clone() };
        let calls = vec![call; 3];
        let roster = Roster::new(&config.agents);
        let agents = roster.allowed(&[]).unwrap();
        let results = vec![(long.clone(), long.clone()); 3];
        for attempt in 1..=3 {
            let budget = Budget::new(config.context_tokens, config.max_answer_tokens, attempt);
            let window = 4096 * BYTES_PER_TOKEN / 2_usize.pow(attempt - 1) + 1_000;
            for prompt in [
                plan(&long, &agents, 3, budget),
                route(&long, &agents, budget),
                decide(&long, situation, &calls, &[], budget),
                answer(&long, situation, &calls, budget),
                conclude(&long, &results, budget),
            ] {
                assert!(bytes(&prompt) < window, "{attempt}: {}", bytes(&prompt));
            }
        }
    }

    #[test]
    fn a_single_task_is_said_once() {
        let situation = Situation { goal: "Go", known: "", task: "Go" };
        let prompt = answer("Be brief.", situation, &[], Budget::new(4096, 300, 1));
        let texts: Vec<_> = prompt.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(texts, ["Be brief.", "Task: Go"]);
    }

    #[test]
    fn the_project_concerns_every_task() {
        let known = "## Project brief\n[1] projectbrief.md: A café in Porto\n## Open runs\n\
                     [2] 2026-05-01 orchestrator: works on: paint\n## Facts\n\
                     [3] 2026-05-01: Trams are yellow\n[4] 2026-05-01: Tea is green";
        let expected = "## Project brief\n[1] projectbrief.md: A café in Porto\n## Facts\n\
                        [3] 2026-05-01: Trams are yellow";
        assert_eq!(relevant(known, "Count the trams"), expected);
    }

    #[test]
    fn only_what_has_to_do_with_the_task_is_told() {
        let known = "[1] 2026-05-01 agent: Trams in Lisbon are yellow\n\
                     [2] 2026-05-01 agent: Plan of a bicycle tour";
        let situation = Situation { goal: "Plan Lisbon", known, task: "List its trams" };
        let call = EarlierCall {
            tool: "clock".to_owned(),
            decision: String::new(),
            outcome: "It is Monday".to_owned(),
        };
        let prompt = answer("Be brief.", situation, &[call], Budget::new(4096, 300, 1));
        let expected = "Known:\n[1] 2026-05-01 agent: Trams in Lisbon are yellow\n\n\
                        Goal: Plan Lisbon\nResult of clock: It is Monday\nTask: List its trams";
        assert_eq!(prompt[1].text, expected);
    }
}
