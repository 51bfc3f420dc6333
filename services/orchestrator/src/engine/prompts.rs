//! The prompts: short, since small models follow short ones best, and cut to the context window.

use crate::{
    agents::Agent,
    peers::{ChatMessage, Speaker},
    text::{excerpt, one_line},
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
    /// The decision as the model wrote it.
    pub(super) decision: String,
    /// The result, or what went wrong.
    pub(super) outcome: String,
}

pub(super) fn plan(
    goal: &str,
    known: &str,
    agents: &[&Agent],
    max_tasks: u32,
    budget: Budget,
) -> Vec<ChatMessage> {
    let system = format!(
        "Split the goal into at most {max_tasks} short, different tasks. For each task choose the \
         agent that fits best.\nAgents:\n{}\nReply with JSON only.",
        list(agents)
    );
    let mut user = format!("Goal: {}", excerpt(goal, budget.part(2)));
    if !known.is_empty() {
        user = format!("Known:\n{}\n\n{user}", excerpt(known, budget.part(4)));
    }
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
    let mut messages = begin(instructions, situation, calls, budget);
    let tools: Vec<_> =
        tools.iter().map(|tool| format!("- {}: {}", tool.name(), tool.description())).collect();
    messages.push(ChatMessage::new(
        Speaker::User,
        format!(
            "Choose what to do next:\n- answer: you can answer the task now\n{}\nReply with JSON \
             only.",
            tools.join("\n")
        ),
    ));
    messages
}

pub(super) fn answer(
    instructions: &str,
    situation: Situation<'_>,
    calls: &[EarlierCall],
    budget: Budget,
) -> Vec<ChatMessage> {
    let mut messages = begin(instructions, situation, calls, budget);
    if !calls.is_empty() {
        let task = excerpt(situation.task, budget.part(8));
        let text = format!("Now answer the task: {task}");
        messages.push(ChatMessage::new(Speaker::User, text));
    }
    messages
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

/// Instructions, situation and earlier calls: at most three quarters of the budget and the task.
fn begin(
    instructions: &str,
    situation: Situation<'_>,
    calls: &[EarlierCall],
    budget: Budget,
) -> Vec<ChatMessage> {
    let mut user = String::new();
    if !situation.known.is_empty() {
        user.push_str(&format!("Known:\n{}\n\n", excerpt(situation.known, budget.part(8))));
    }
    // For a single task the goal is the task.
    if situation.goal != situation.task {
        user.push_str(&format!("Goal: {}\n", excerpt(situation.goal, budget.part(8))));
    }
    user.push_str(&format!("Task: {}", excerpt(situation.task, budget.part(8))));
    let mut messages = vec![
        ChatMessage::new(Speaker::System, excerpt(instructions, budget.part(4))),
        ChatMessage::new(Speaker::User, user),
    ];
    let share = budget.part(4) / calls.len().max(1);
    for call in calls {
        messages.push(ChatMessage::new(Speaker::Assistant, excerpt(&call.decision, share / 4)));
        messages.push(ChatMessage::new(Speaker::Tool, excerpt(&call.outcome, share / 2)));
    }
    messages
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
        let call = EarlierCall { decision: long.clone(), outcome: long.clone() };
        let calls = vec![call; 3];
        let roster = Roster::new(&config.agents);
        let agents = roster.allowed(&[]).unwrap();
        let results = vec![(long.clone(), long.clone()); 3];
        for attempt in 1..=3 {
            let budget = Budget::new(config.context_tokens, config.max_answer_tokens, attempt);
            let window = 4096 * BYTES_PER_TOKEN / 2_usize.pow(attempt - 1) + 1_000;
            for prompt in [
                plan(&long, &long, &agents, 3, budget),
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
}
