//! What agents may have.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Deserialize;

use alina_service::Check;

use crate::{
    chat::AgentId,
    schedule::{AgentLimits, Budget, MOST_AGENTS, Weight},
};

/// What an agent may have.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShareConfig {
    /// Its share of tokens beside others that wait, 0.001 to 1,000; absent means 1.
    pub weight: Option<f64>,
    /// Its chats that may wait for a place, 1 to 10,000; absent means `max_waiting`.
    pub max_waiting: Option<u32>,
    /// Tokens of prompts and answers in any hour, at least 1; absent means without limit.
    pub tokens_per_hour: Option<u64>,
    /// Time in places in any hour, summed over chats, at least 1; absent means without limit.
    pub seconds_per_hour: Option<f64>,
}

/// What one agent may have. What is absent is as in `agent_defaults`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// As requests name it; `anonymous` is who names none.
    pub name: String,
    /// See `agent_defaults`.
    #[serde(default)]
    pub weight: Option<f64>,
    /// See `agent_defaults`.
    #[serde(default)]
    pub max_waiting: Option<u32>,
    /// See `agent_defaults`.
    #[serde(default)]
    pub tokens_per_hour: Option<u64>,
    /// See `agent_defaults`.
    #[serde(default)]
    pub seconds_per_hour: Option<f64>,
}

impl AgentConfig {
    fn own(&self) -> ShareConfig {
        ShareConfig {
            weight: self.weight,
            max_waiting: self.max_waiting,
            tokens_per_hour: self.tokens_per_hour,
            seconds_per_hour: self.seconds_per_hour,
        }
    }

    /// With the defaults for what is absent.
    #[must_use]
    pub fn limits(&self, defaults: &ShareConfig) -> AgentLimits {
        let (own, other) = (self.own(), defaults);
        let whole = ShareConfig {
            weight: own.weight.or(other.weight),
            max_waiting: own.max_waiting.or(other.max_waiting),
            tokens_per_hour: own.tokens_per_hour.or(other.tokens_per_hour),
            seconds_per_hour: own.seconds_per_hour.or(other.seconds_per_hour),
        };
        whole.limits()
    }
}

impl ShareConfig {
    /// As the scheduler knows it.
    #[must_use]
    pub fn limits(&self) -> AgentLimits {
        let run_time = self.seconds_per_hour.and_then(|s| Duration::try_from_secs_f64(s).ok());
        AgentLimits {
            weight: self.weight.and_then(Weight::new).unwrap_or_default(),
            max_waiting: self.max_waiting.and_then(|most| usize::try_from(most).ok()),
            hourly: Budget { tokens: self.tokens_per_hour, run_time },
        }
    }

    fn check(&self, check: &mut Check, path: &str) {
        let at = |field: &str| format!("{path}.{field}");
        let weight = self.weight.is_none_or(|weight| Weight::new(weight).is_some());
        check.that(weight, at("weight"), "must be 0.001 to 1,000");
        let waiting = self.max_waiting.is_none_or(|most| (1..=10_000).contains(&most));
        check.that(waiting, at("max_waiting"), "must be 1 to 10,000, or absent");
        let tokens = self.tokens_per_hour.is_none_or(|most| most >= 1);
        check.that(tokens, at("tokens_per_hour"), "must be at least 1, or absent");
        let seconds = self.seconds_per_hour.is_none_or(|most| (1.0..=1e9).contains(&most));
        check.that(seconds, at("seconds_per_hour"), "must be at least 1, or absent");
    }
}

/// By name.
#[must_use]
pub(super) fn limits(
    agents: &[AgentConfig],
    defaults: &ShareConfig,
) -> BTreeMap<AgentId, AgentLimits> {
    agents.iter().map(|agent| (AgentId::new(&agent.name), agent.limits(defaults))).collect()
}

pub(super) fn check(check: &mut Check, defaults: &ShareConfig, agents: &[AgentConfig]) {
    defaults.check(check, "agent_defaults");
    check.that(agents.len() <= MOST_AGENTS, "agents", "must be at most 1,000");
    let mut names = BTreeSet::new();
    for (at, agent) in agents.iter().enumerate() {
        let path = format!("agents[{at}]");
        let name = (1..=128).contains(&agent.name.len());
        let name = name && !agent.name.chars().any(char::is_control);
        let rule = "must be 1 to 128 bytes without control characters";
        check.that(name, format!("{path}.name"), rule);
        let taken = format!("`{}` is already taken", agent.name);
        check.that(names.insert(&agent.name), format!("{path}.name"), taken);
        agent.own().check(check, &path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_does_not_say_is_as_the_defaults() {
        let defaults = ShareConfig { tokens_per_hour: Some(9), ..ShareConfig::default() };
        let agent: AgentConfig =
            serde_json::from_str(r#"{ "name": "a", "weight": 2.5, "seconds_per_hour": 1.5 }"#)
                .unwrap();
        let limits = agent.limits(&defaults);
        assert_eq!((limits.weight.get(), limits.max_waiting), (2.5, None));
        let run_time = Some(Duration::from_millis(1_500));
        assert_eq!(limits.hourly, Budget { tokens: Some(9), run_time });
    }
}
