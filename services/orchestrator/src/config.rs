//! The `orchestrator` section of config.yaml.

use std::{collections::HashSet, path::PathBuf};

use alina_service::{Check, Section};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::tools;

/// Agents and their runs.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OrchestratorConfig {
    /// Runs worked on at once; the others wait in a queue.
    pub max_active_runs: u32,
    /// Runs that may wait; more are refused.
    pub max_queued_runs: u32,
    /// How long a run may take, waiting for services and PostgreSQL included.
    pub run_deadline_minutes: u64,
    /// The most tasks a goal is split into.
    pub max_tasks: u32,
    /// The most model calls an agent makes for one task.
    pub max_turns: u32,
    /// How often a step is tried before it fails; time while a service is away does not count.
    pub max_attempts: u32,
    /// The longest one model call may take, its wait for a place included.
    pub model_timeout_seconds: u64,
    /// The context window of the models in tokens; prompts are cut to fit it.
    pub context_tokens: u32,
    /// The most tokens of memory that a prompt is given.
    pub recall_tokens: u32,
    /// The longest answer of a model in tokens.
    pub max_answer_tokens: u32,
    /// The model that plans, routes and puts the answer together.
    pub model: String,
    /// Folders of text and markdown files that the tool `search_documents` searches; one that does
    /// not exist is empty.
    pub documents: Vec<PathBuf>,
    /// Who works on tasks; the planner chooses by name and description.
    pub agents: Vec<AgentConfig>,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// Lower-case letters, digits, `-` and `_`, beginning with a letter.
    pub name: String,
    /// What it is good at, in a few words: the planner and the router choose by this.
    pub description: String,
    /// What it is told before each task.
    pub instructions: String,
    /// The tools it may use: calculator, clock, memory_remember, memory_search, search_documents.
    #[serde(default)]
    pub tools: Vec<String>,
    /// A model or alias of the inference-gateway.
    #[serde(default = "default_model")]
    pub model: String,
}

fn default_model() -> String {
    "default".to_owned()
}

impl Default for OrchestratorConfig {
    fn default() -> Self {
        Self {
            max_active_runs: 8,
            max_queued_runs: 256,
            run_deadline_minutes: 60,
            max_tasks: 3,
            max_turns: 4,
            max_attempts: 3,
            model_timeout_seconds: 300,
            context_tokens: 4096,
            recall_tokens: 384,
            max_answer_tokens: 320,
            model: default_model(),
            documents: vec![PathBuf::from(".alina/documents")],
            agents: default_agents(),
        }
    }
}

/// The agents of a fresh config.yaml.
fn default_agents() -> Vec<AgentConfig> {
    let agent = |name: &str, description: &str, instructions: &str, tools: &[&str]| AgentConfig {
        name: name.to_owned(),
        description: description.to_owned(),
        instructions: instructions.to_owned(),
        tools: tools.iter().map(|&tool| tool.to_owned()).collect(),
        model: default_model(),
    };
    vec![
        agent(
            "researcher",
            "finds facts in memory and documents",
            "You are a researcher. Give the facts that the task needs, in a few short sentences. \
             Use what is known. Do not invent sources.",
            &["memory_search", "search_documents"],
        ),
        agent(
            "planner",
            "makes plans, schedules and lists",
            "You are a planner. Answer the task with a short list of concrete steps or items, \
             in a sensible order.",
            &["clock"],
        ),
        agent(
            "analyst",
            "calculates and compares numbers",
            "You are an analyst. Answer the task with numbers where there are any, and say in \
             one sentence what they mean.",
            &["calculator", "clock"],
        ),
        agent(
            "writer",
            "writes and improves texts",
            "You are a writer. Write what the task asks for, clearly and briefly, in plain \
             language.",
            &["memory_search"],
        ),
    ]
}

impl Section for OrchestratorConfig {
    fn check(&self, check: &mut Check) {
        let ranges = [
            ("max_active_runs", u64::from(self.max_active_runs), 1, 256),
            ("max_queued_runs", u64::from(self.max_queued_runs), 1, 100_000),
            ("run_deadline_minutes", self.run_deadline_minutes, 1, 10_080),
            ("max_tasks", u64::from(self.max_tasks), 1, 8),
            ("max_turns", u64::from(self.max_turns), 1, 16),
            ("max_attempts", u64::from(self.max_attempts), 1, 10),
            ("model_timeout_seconds", self.model_timeout_seconds, 1, 3_600),
            ("context_tokens", u64::from(self.context_tokens), 1_024, 1_048_576),
            ("recall_tokens", u64::from(self.recall_tokens), 32, 32_768),
            ("max_answer_tokens", u64::from(self.max_answer_tokens), 16, 32_768),
        ];
        for (path, value, least, most) in ranges {
            let allowed = format!("must be {least} to {most}");
            check.that((least..=most).contains(&value), path, allowed);
        }
        let asked = u64::from(self.recall_tokens) + u64::from(self.max_answer_tokens);
        check.that(
            asked * 2 <= u64::from(self.context_tokens),
            "context_tokens",
            "must be at least twice recall_tokens and max_answer_tokens together",
        );
        check.that(!self.model.is_empty(), "model", "must name a model or alias");
        check.that(!self.agents.is_empty(), "agents", "must have at least one agent");
        check.that(self.agents.len() <= 32, "agents", "must have at most 32 agents");
        let mut names = HashSet::new();
        for (index, agent) in self.agents.iter().enumerate() {
            agent.check(&format!("agents[{index}]"), check);
            let path = format!("agents[{index}].name");
            check.that(names.insert(&agent.name), path, "must be unique among the agents");
        }
    }
}

impl AgentConfig {
    fn check(&self, path: &str, check: &mut Check) {
        check.that(
            is_name(&self.name),
            format!("{path}.name"),
            "must be 1 to 32 lower-case letters, digits, - and _, beginning with a letter",
        );
        check.that(
            (1..=200).contains(&self.description.len()),
            format!("{path}.description"),
            "must be 1 to 200 bytes",
        );
        check.that(
            (1..=16_384).contains(&self.instructions.len()),
            format!("{path}.instructions"),
            "must be 1 to 16,384 bytes",
        );
        check.that(!self.model.is_empty(), format!("{path}.model"), "must name a model or alias");
        for (index, tool) in self.tools.iter().enumerate() {
            check.that(
                tools::NAMES.contains(&tool.as_str()),
                format!("{path}.tools[{index}]"),
                format!("`{tool}` is no tool; there are {}", tools::NAMES.join(", ")),
            );
            check.that(
                !self.tools.iter().take(index).any(|earlier| earlier == tool),
                format!("{path}.tools[{index}]"),
                format!("`{tool}` is named twice"),
            );
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 32
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && name.bytes().all(|byte| allowed(byte) || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(config: &OrchestratorConfig) -> Vec<String> {
        let mut check = Check::new();
        config.check(&mut check);
        check.into_problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_defaults_are_those_of_config_yaml() {
        #[derive(Deserialize)]
        struct File {
            orchestrator: OrchestratorConfig,
        }
        let file = std::fs::read_to_string("../../config.yaml").unwrap();
        let file: File = serde_saphyr::from_str(&file).unwrap();
        assert_eq!(file.orchestrator, OrchestratorConfig::default());
        assert_eq!(problems(&file.orchestrator), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_tool_is_named_with_those_that_exist() {
        let mut config = OrchestratorConfig::default();
        config.agents[1].tools.push("telescope".to_owned());
        let [problem] = &problems(&config)[..] else { panic!("{:?}", problems(&config)) };
        assert!(problem.starts_with("agents[1].tools[1]: `telescope` is no tool; there are "));
        assert!(problem.contains("calculator") && problem.contains("clock"));
    }

    #[test]
    fn every_problem_is_named() {
        let mut config = OrchestratorConfig { max_turns: 0, ..OrchestratorConfig::default() };
        config.agents[0].name = "Re searcher".to_owned();
        config.agents[2].name = "writer".to_owned();
        config.agents[3].instructions.clear();
        let problems = problems(&config);
        for path in ["max_turns", "agents[0].name", "agents[3].name", "agents[3].instructions"] {
            assert!(problems.iter().any(|problem| problem.starts_with(path)), "{path}");
        }
        assert_eq!(problems.len(), 4, "{problems:?}");
    }
}
