//! The section `inference_gateway` of config.yaml.

mod backend;
mod share;

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, thread, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use alina_service::{Check, Section};

use crate::{chat::Sampling, models::Stay, schedule::Limits};

pub use self::backend::{OllamaConfig, OpenAiConfig, RouteConfig, ServerModel, TimeoutsConfig};
pub use self::share::{AgentConfig, ShareConfig};

/// Models and how they are shared.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InferenceConfig {
    /// The folder that the models' paths are relative to; itself relative to config.yaml.
    pub model_dir: String,
    /// Loads the chat model `default` in the background at the start; otherwise the first request
    /// does.
    pub preload: bool,
    /// CPU threads of the embedded engine, 0 to 512; 0 means every CPU this process may use.
    pub threads: u16,
    /// Chats that decode at once, over all models and back ends, 1 to 64; absent means
    /// `machine.parallel_agents`.
    pub max_running: Option<u16>,
    /// Chats that may wait for a place, 0 to 10,000; more are refused.
    pub max_waiting: u32,
    /// The most memory that kept beginnings of prompts may take, in MiB for each model, 0 to
    /// 1,048,576.
    pub prefix_cache_mb: u32,
    /// How long answers to chats at temperature 0 are kept in Redis, to answer the same request by
    /// the same at once, in seconds, 0 to 31,536,000; 0 keeps none.
    pub response_cache_seconds: u64,
    /// The memory of all loaded models together, in MiB, 64 to 16,777,216; absent means 4/5 of
    /// `services.inference_gateway.memory_mb`.
    pub memory_mb: Option<u64>,
    /// What each agent may have that is not listed in `agents`.
    pub agent_defaults: ShareConfig,
    /// What these agents may have; what is absent is as in `agent_defaults`.
    pub agents: Vec<AgentConfig>,
    /// The models, by name.
    pub models: Vec<ModelConfig>,
    /// Ollama servers; their models are addressed "<name>/<model>".
    pub ollama: Vec<OllamaConfig>,
    /// Servers that speak OpenAI's interface; their models are addressed "<name>/<model>".
    pub openai: Vec<OpenAiConfig>,
    /// How long servers may take.
    pub timeouts: TimeoutsConfig,
    /// Names that stand for several models.
    pub routes: Vec<RouteConfig>,
    /// For programs that speak OpenAI's or Ollama's interface.
    pub http: HttpConfig,
}

/// OpenAI's and Ollama's interfaces.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// IP address and port; null for neither interface.
    #[schemars(with = "Option<String>")]
    pub listen: Option<SocketAddr>,
    /// The longest body of a request, 1,024 to 268,435,456.
    pub max_body_bytes: usize,
    /// A file with one `agent: key` a line; when set, requests need one of the keys as a bearer
    /// token and count as the agent's. Read anew when it changes. Null for the tokens of
    /// `security.token_file`, if there are any.
    pub key_file: Option<PathBuf>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 7621))),
            max_body_bytes: 32 << 20,
            key_file: None,
        }
    }
}

/// One model.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// What requests call it.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// A GGUF file; or, for vectors, a folder with model.safetensors, tokenizer.json and
    /// config.json.
    #[serde(default)]
    pub path: Option<String>,
    /// A model of an Ollama server, instead of `path`.
    #[serde(default)]
    pub ollama: Option<ServerModel>,
    /// A model of a server that speaks OpenAI's interface, instead of `path`.
    #[serde(default)]
    pub openai: Option<ServerModel>,
    /// Of the GGUF file or of model.safetensors, in lowercase hexadecimal; checked before loading.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Of the same file; checked before loading.
    #[serde(default)]
    pub size_bytes: Option<u64>,
    /// Tokens of prompt and answer together, 64 to 1,048,576.
    #[serde(default = "context_length")]
    pub context_length: u32,
    /// The longest answer when a request does not say.
    #[serde(default = "max_tokens")]
    pub max_tokens: u32,
    /// How the next token is chosen when a request does not say.
    #[serde(default)]
    pub sampling: Sampling,
    /// It stays in memory once it is loaded, whatever else needs room; loaded at the start when
    /// `preload` is set.
    #[serde(default)]
    pub pinned: bool,
    /// How long it stays in memory when no request needs it, in minutes, 0 to 525,600; null for
    /// ever, as long as no other model needs the room.
    #[serde(default = "keep_alive_minutes")]
    pub keep_alive_minutes: Option<f64>,
    /// Other names. `default` is the model of chats that name none, `embed` that of embeddings.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Conversations.
    Chat,
    /// Vectors.
    Embedding,
}

fn context_length() -> u32 {
    4096
}

fn max_tokens() -> u32 {
    512
}

fn keep_alive_minutes() -> Option<f64> {
    Some(30.0)
}

impl ModelConfig {
    /// A model in `path`, with the defaults for all else.
    #[must_use]
    pub fn found(name: String, kind: Kind, path: String) -> Self {
        Self {
            name,
            kind,
            path: Some(path),
            ollama: None,
            openai: None,
            sha256: None,
            size_bytes: None,
            context_length: context_length(),
            max_tokens: max_tokens(),
            sampling: Sampling::default(),
            pinned: false,
            keep_alive_minutes: keep_alive_minutes(),
            aliases: Vec::new(),
        }
    }

    /// How long it stays in memory.
    #[must_use]
    pub fn stay(&self) -> Stay {
        let keep_alive =
            self.keep_alive_minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
        Stay { pinned: self.pinned, keep_alive }
    }
}

impl Default for InferenceConfig {
    fn default() -> Self {
        Self {
            model_dir: ".alina/models".to_owned(),
            preload: true,
            threads: 0,
            max_running: None,
            max_waiting: 64,
            prefix_cache_mb: 256,
            response_cache_seconds: 0,
            memory_mb: None,
            agent_defaults: ShareConfig::default(),
            agents: Vec::new(),
            models: Vec::new(),
            ollama: Vec::new(),
            openai: Vec::new(),
            timeouts: TimeoutsConfig::default(),
            routes: Vec::new(),
            http: HttpConfig::default(),
        }
    }
}

impl InferenceConfig {
    /// How many threads the engine gets.
    #[must_use]
    pub fn threads(&self) -> usize {
        match self.threads {
            // Honours the CPU set and quota of the process.
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => usize::from(threads),
        }
    }
}

impl InferenceConfig {
    /// What loaded models may take, in bytes, of a service that may take `ceiling_mb`.
    #[must_use]
    pub fn memory_bytes(&self, ceiling_mb: u64) -> u64 {
        // The rest is for requests, and for what the estimates leave out.
        let memory_mb = self.memory_mb.unwrap_or(ceiling_mb / 5 * 4);
        memory_mb.saturating_mul(1 << 20)
    }

    /// What the scheduler begins with; `shared` are the machine's places.
    #[must_use]
    pub fn limits(&self, shared: u32) -> Limits {
        let shared = u16::try_from(shared).unwrap_or(u16::MAX);
        let default = self.agent_defaults.limits();
        let mut agents = share::limits(&self.agents, &self.agent_defaults);
        agents.retain(|_, limits| *limits != default);
        Limits {
            max_running: usize::from(self.max_running.unwrap_or(shared).clamp(1, 64)),
            max_waiting: usize::try_from(self.max_waiting).unwrap_or(usize::MAX),
            default,
            agents,
        }
    }
}

impl Section for InferenceConfig {
    fn check(&self, check: &mut Check) {
        check.that(!self.model_dir.is_empty(), "model_dir", "must not be empty");
        check.that(self.threads <= 512, "threads", "must be 0 to 512");
        let running = self.max_running.is_none_or(|running| (1..=64).contains(&running));
        check.that(running, "max_running", "must be 1 to 64, or absent");
        check.that(self.max_waiting <= 10_000, "max_waiting", "must be 0 to 10,000");
        check.that(self.prefix_cache_mb <= 1_048_576, "prefix_cache_mb", "must be 0 to 1,048,576");
        let seconds = self.response_cache_seconds <= 31_536_000;
        check.that(seconds, "response_cache_seconds", "must be 0 to 31,536,000");
        let memory = self.memory_mb.is_none_or(|mb| (64..=16_777_216).contains(&mb));
        check.that(memory, "memory_mb", "must be 64 to 16,777,216, or absent");
        share::check(check, &self.agent_defaults, &self.agents);
        let bytes = (1 << 10..=256 << 20).contains(&self.http.max_body_bytes);
        check.that(bytes, "http.max_body_bytes", "must be 1,024 to 268,435,456");
        let file = self.http.key_file.as_ref().is_none_or(|file| !file.as_os_str().is_empty());
        check.that(file, "http.key_file", "must be the path of a file, or null");
        let mut names = BTreeSet::new();
        for (at, model) in self.models.iter().enumerate() {
            model.check(check, &format!("models[{at}]"), self);
            for (field, name) in std::iter::once(("name".to_owned(), &model.name)).chain(
                model.aliases.iter().enumerate().map(|(at, name)| (format!("aliases[{at}]"), name)),
            ) {
                let path = format!("models[{at}].{field}");
                check.that(
                    is_name(name),
                    &path,
                    "must be 1 to 128 letters, digits, or any of -._:",
                );
                check.that(names.insert(name), &path, format!("`{name}` is already taken"));
            }
        }
        backend::check(check, self, &mut names);
    }
}

impl ModelConfig {
    fn check(&self, check: &mut Check, path: &str, config: &InferenceConfig) {
        let at = |field: &str| format!("{path}.{field}");
        let places = [self.path.is_some(), self.ollama.is_some(), self.openai.is_some()];
        let one = places.into_iter().filter(|there| *there).count() == 1;
        check.that(one, path, "must have one of `path`, `ollama` and `openai`");
        let named = self.path.as_ref().is_none_or(|path| !path.is_empty());
        check.that(named, at("path"), "must not be empty");
        let ollama: Vec<&String> = config.ollama.iter().map(|server| &server.name).collect();
        let openai: Vec<&String> = config.openai.iter().map(|server| &server.name).collect();
        for (key, model, servers) in
            [("ollama", &self.ollama, ollama), ("openai", &self.openai, openai)]
        {
            let Some(model) = model else { continue };
            let known = servers.contains(&&model.server);
            let says = format!("must be the `name` of an entry of `{key}`");
            check.that(known, at(&format!("{key}.server")), says);
            check.that(!model.model.is_empty(), at(&format!("{key}.model")), "must not be empty");
        }
        let hash = self.sha256.as_ref().is_none_or(|hash| {
            hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        check.that(hash, at("sha256"), "must be 64 lowercase hexadecimal digits");
        let context = (64..=1_048_576).contains(&self.context_length);
        check.that(context, at("context_length"), "must be 64 to 1,048,576");
        let tokens = (1..self.context_length).contains(&self.max_tokens);
        check.that(tokens, at("max_tokens"), "must be 1 to less than context_length");
        let keep = self.keep_alive_minutes.is_none_or(|keep| (0.0..=525_600.0).contains(&keep));
        check.that(keep, at("keep_alive_minutes"), "must be 0 to 525,600, or null");
        let here = self.ollama.is_none() || !self.pinned;
        check.that(here, at("pinned"), "must be absent: its Ollama server decides that");
        for (field, holds, allowed) in self.sampling.rules() {
            check.that(holds, at(&format!("sampling.{field}")), allowed);
        }
    }
}

/// Whether requests may call a model that.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(super) fn problems(section: Value) -> String {
        let config: InferenceConfig = serde_json::from_value(section).unwrap();
        let mut check = Check::new();
        config.check(&mut check);
        let problems = check.into_problems();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_sound_section_has_no_problems() {
        let section = json!({
            "models": [
                { "name": "a", "kind": "chat", "path": "a.gguf", "aliases": ["default"] },
                { "name": "b", "kind": "chat", "ollama": { "server": "ollama", "model": "qwen3" } },
            ],
            "ollama": [{ "name": "ollama", "url": "http://127.0.0.1:11434" }],
        });
        assert_eq!(problems(section), "");
    }

    #[test]
    fn every_fault_is_named_with_what_is_allowed() {
        let section = json!({
            "max_running": 0,
            "memory_mb": 63,
            "agent_defaults": { "weight": 0 },
            "agents": [
                { "name": "a", "max_waiting": 10_001 },
                { "name": "a", "tokens_per_hour": 0 },
                { "name": "", "seconds_per_hour": 0.5 },
            ],
            "models": [
                { "name": "a", "kind": "chat", "path": "a.gguf", "sha256": "XYZ",
                  "keep_alive_minutes": -1, "sampling": { "temperature": 3.0 } },
                { "name": "b/c", "kind": "chat", "aliases": ["a"], "pinned": true,
                  "ollama": { "server": "away", "model": "" } },
            ],
            "ollama": [{ "name": "embedded", "url": "ftp://x" }],
            "http": { "max_body_bytes": 7, "key_file": "" },
        });
        let problems = problems(section);
        for expected in [
            "max_running: must be 1 to 64",
            "memory_mb: must be 64 to",
            "models[0].keep_alive_minutes: must be 0 to",
            "models[1].pinned: must be absent",
            "agent_defaults.weight: must be 0.001 to 1,000",
            "agents[0].max_waiting: must be 1 to 10,000",
            "agents[1].name: `a` is already taken",
            "agents[1].tokens_per_hour: must be at least 1",
            "agents[2].name: must be 1 to 128 bytes",
            "agents[2].seconds_per_hour: must be at least 1",
            "models[0].sha256: must be 64 lowercase",
            "models[0].sampling.temperature: must be 0 to 2",
            "models[1].name: must be 1 to 128 letters",
            "models[1].aliases[0]: `a` is already taken",
            "models[1].ollama.server: must be the `name`",
            "models[1].ollama.model: must not be empty",
            "ollama[0].name: must be 1 to 128",
            "ollama[0].url: must be like http://",
            "http.max_body_bytes: must be 1,024",
            "http.key_file: must be the path",
        ] {
            assert!(problems.contains(expected), "{expected} is missing of:\n{problems}");
        }
    }
}
