//! Servers that run models, and names that stand for several models.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use alina_service::Check;

use super::{InferenceConfig, Kind, is_name};
use crate::{remote::Timeouts, route::Choose};

/// An Ollama server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OllamaConfig {
    /// The prefix of its models' names, for example `ollama`.
    pub name: String,
    /// For example <http://127.0.0.1:11434>.
    pub url: String,
    /// Its chats that run at once, 1 to 1,024; more wait here.
    #[serde(default = "max_running")]
    pub max_running: u16,
}

/// A server that speaks OpenAI's interface: llama-server, vLLM and many others.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenAiConfig {
    /// The prefix of its models' names, for example `vllm`.
    pub name: String,
    /// Up to and with `/v1`, for example <http://127.0.0.1:8080/v1>.
    pub url: String,
    /// A file with the key that the server asks for, read anew for each request.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Its chats that run at once, 1 to 1,024; more wait here.
    #[serde(default = "max_running")]
    pub max_running: u16,
    /// It knows `top_k`, `min_p`, `repeat_penalty` and `repetition_penalty`, which are not OpenAI's.
    #[serde(default = "extensions")]
    pub extensions: bool,
}

/// A model of a server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerModel {
    /// The `name` of the server.
    pub server: String,
    /// What the server calls the model.
    pub model: String,
}

/// A name for several models, of which another is asked when one cannot answer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// What requests call it, for example `default`.
    pub name: String,
    /// The `name` of each, all of one kind.
    pub models: Vec<String>,
    /// Which is asked first.
    #[serde(default)]
    pub choose: Choose,
}

/// How long servers may take.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsConfig {
    /// To take a connection, 0.01 to 60.
    pub connect_seconds: f64,
    /// From the request to the first token, 0.01 to 86,400: the server may have to load the model
    /// first and then reads the prompt.
    pub first_token_seconds: f64,
    /// From one token to the next, 0.01 to 3,600.
    pub idle_seconds: f64,
    /// From one look whether a server is well to the next, 0.05 to 3,600.
    pub probe_seconds: f64,
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        Self {
            connect_seconds: 5.0,
            first_token_seconds: 300.0,
            idle_seconds: 60.0,
            probe_seconds: 10.0,
        }
    }
}

impl From<&TimeoutsConfig> for Timeouts {
    fn from(config: &TimeoutsConfig) -> Self {
        Self {
            connect: Duration::from_secs_f64(config.connect_seconds),
            first_token: Duration::from_secs_f64(config.first_token_seconds),
            idle: Duration::from_secs_f64(config.idle_seconds),
        }
    }
}

fn max_running() -> u16 {
    8
}

fn extensions() -> bool {
    true
}

/// Checks `ollama`, `openai`, `timeouts` and `routes`; `names` are those of models.
pub(super) fn check<'a>(
    check: &mut Check,
    config: &'a InferenceConfig,
    names: &mut BTreeSet<&'a String>,
) {
    let mut servers = BTreeSet::new();
    for (at, server) in config.ollama.iter().enumerate() {
        let path = format!("ollama[{at}]");
        check_server(check, &path, &server.name, server.max_running, &mut servers);
        let valid = reqwest::Url::parse(&server.url)
            .is_ok_and(|url| url.scheme() == "http" && url.has_host());
        check.that(valid, format!("{path}.url"), "must be like http://127.0.0.1:11434");
    }
    for (at, server) in config.openai.iter().enumerate() {
        let path = format!("openai[{at}]");
        check_server(check, &path, &server.name, server.max_running, &mut servers);
        let valid = reqwest::Url::parse(&server.url).is_ok_and(|url| {
            let v1 = url.path().trim_end_matches('/').ends_with("/v1");
            url.scheme() == "http" && url.has_host() && v1 && url.query().is_none()
        });
        check.that(valid, format!("{path}.url"), "must be like http://127.0.0.1:8080/v1");
        let file = server.key_file.as_ref().is_none_or(|file| !file.as_os_str().is_empty());
        check.that(file, format!("{path}.key_file"), "must be the path of a file, or null");
    }
    let timeouts = &config.timeouts;
    for (key, seconds, least, most) in [
        ("connect_seconds", timeouts.connect_seconds, 0.01, 60.0),
        ("first_token_seconds", timeouts.first_token_seconds, 0.01, 86_400.0),
        ("idle_seconds", timeouts.idle_seconds, 0.01, 3_600.0),
        ("probe_seconds", timeouts.probe_seconds, 0.05, 3_600.0),
    ] {
        let within = (least..=most).contains(&seconds);
        check.that(within, format!("timeouts.{key}"), format!("must be {least} to {most}"));
    }
    for (at, route) in config.routes.iter().enumerate() {
        check_route(check, &format!("routes[{at}]"), route, config);
        let path = format!("routes[{at}].name");
        check.that(is_name(&route.name), &path, "must be 1 to 128 letters, digits, or any of -._:");
        let free = names.insert(&route.name);
        check.that(free, &path, format!("`{}` is already taken", route.name));
    }
}

fn check_server<'a>(
    check: &mut Check,
    path: &str,
    name: &'a String,
    max_running: u16,
    servers: &mut BTreeSet<&'a String>,
) {
    check.that(
        is_name(name) && name != "embedded",
        format!("{path}.name"),
        "must be 1 to 128 letters, digits, or any of -._: and not `embedded`",
    );
    let free = servers.insert(name);
    check.that(free, format!("{path}.name"), format!("`{name}` is already taken"));
    let running = (1..=1_024).contains(&max_running);
    check.that(running, format!("{path}.max_running"), "must be 1 to 1,024");
}

fn check_route(check: &mut Check, path: &str, route: &RouteConfig, config: &InferenceConfig) {
    let models = format!("{path}.models");
    check.that(!route.models.is_empty(), &models, "must name at least one model");
    let mut kinds: Option<Kind> = None;
    let mut seen = BTreeSet::new();
    for (at, name) in route.models.iter().enumerate() {
        let path = format!("{models}[{at}]");
        let Some(model) = config.models.iter().find(|model| model.name == *name) else {
            check.that(false, path, format!("`{name}` must be the `name` of an entry of `models`"));
            continue;
        };
        check.that(seen.insert(name), &path, format!("`{name}` is there already"));
        let alike = *kinds.get_or_insert(model.kind) == model.kind;
        check.that(alike, path, "must be of the same kind as the first");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::problems;

    #[test]
    fn sound_servers_and_routes_have_no_problems() {
        let section = json!({
            "models": [
                { "name": "a", "kind": "chat", "path": "a.gguf" },
                { "name": "b", "kind": "chat", "openai": { "server": "vllm", "model": "x/y" } },
            ],
            "openai": [{ "name": "vllm", "url": "http://127.0.0.1:8000/v1/", "key_file": "key" }],
            "routes": [{ "name": "default", "models": ["b", "a"], "choose": "least_loaded" }],
            "timeouts": { "idle_seconds": 0.5 },
        });
        assert_eq!(problems(section), "");
    }

    #[test]
    fn their_faults_are_named() {
        let section = json!({
            "models": [
                { "name": "a", "kind": "chat", "path": "a.gguf", "aliases": ["fast"] },
                { "name": "b", "kind": "embedding", "openai": { "server": "away", "model": "" } },
                { "name": "c", "kind": "chat", "path": "c", "openai": { "server": "y", "model": "y" } },
            ],
            "ollama": [{ "name": "x", "url": "http://127.0.0.1:11434", "max_running": 0 }],
            "openai": [{ "name": "x", "url": "http://127.0.0.1:8000", "key_file": "" }],
            "routes": [
                { "name": "fast", "models": [] },
                { "name": "a/b", "models": ["a", "b", "a", "nobody"] },
            ],
            "timeouts": { "connect_seconds": 0, "idle_seconds": 1e9 },
        });
        let problems = problems(section);
        for expected in [
            "models[1].openai.server: must be the `name` of an entry of `openai`",
            "models[1].openai.model: must not be empty",
            "models[2]: must have one of `path`, `ollama` and `openai`",
            "models[2].openai.server: must be the `name`",
            "ollama[0].max_running: must be 1 to 1,024",
            "openai[0].name: `x` is already taken",
            "openai[0].url: must be like http://127.0.0.1:8080/v1",
            "openai[0].key_file: must be the path",
            "routes[0].name: `fast` is already taken",
            "routes[0].models: must name at least one",
            "routes[1].name: must be 1 to 128 letters",
            "routes[1].models[1]: must be of the same kind",
            "routes[1].models[2]: `a` is there already",
            "routes[1].models[3]: `nobody` must be the `name`",
            "timeouts.connect_seconds: must be 0.01 to 60",
            "timeouts.idle_seconds: must be 0.01 to 3600",
        ] {
            assert!(problems.contains(expected), "{expected} is missing of:\n{problems}");
        }
    }
}
