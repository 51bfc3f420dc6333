//! The section `monitor` of config.yaml.

use std::{collections::BTreeSet, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use alina_service::{Check, Section};

use crate::alerts::{Metric, Operator, Rule, Scope, Severity};

/// The most rules.
const MAX_RULES: usize = 100;

/// Collection and alert rules.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MonitorConfig {
    /// Seconds between two collections, 0.2 to 300.
    pub interval_seconds: f64,
    /// Seconds a service has to send its metrics, 0.1 to 60.
    pub scrape_timeout_seconds: f64,
    /// A path on the file system whose free space is watched.
    pub disk_path: PathBuf,
    /// What raises an alert; at most 100.
    pub rules: Vec<Rule>,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self {
            interval_seconds: 5.0,
            scrape_timeout_seconds: 2.0,
            disk_path: PathBuf::from("."),
            rules: default_rules(),
        }
    }
}

/// The rules in force when config.yaml names none.
fn default_rules() -> Vec<Rule> {
    use {Metric as M, Operator as O, Scope as S, Severity as V};
    [
        ("service_down", S::Service, M::Up, O::Less, 1.0, 15, V::Critical),
        ("memory_slow", S::Memory, M::LatencyP99Ms, O::Greater, 2_000.0, 60, V::Warning),
        ("failing_requests", S::Service, M::ErrorRatio, O::Greater, 0.05, 60, V::Warning),
        ("memory_low", S::Machine, M::MemoryAvailableRatio, O::Less, 0.05, 60, V::Critical),
        ("cpu_pressure", S::Machine, M::CpuPressure, O::Greater, 0.9, 300, V::Warning),
        ("disk_low", S::Machine, M::DiskAvailableRatio, O::Less, 0.05, 60, V::Critical),
    ]
    .map(|(name, scope, metric, op, threshold, for_seconds, severity)| Rule {
        name: name.to_owned(),
        scope,
        metric,
        op,
        threshold,
        for_seconds,
        severity,
    })
    .into()
}

impl Section for MonitorConfig {
    fn check(&self, check: &mut Check) {
        let interval = self.interval_seconds;
        check.that((0.2..=300.0).contains(&interval), "interval_seconds", "must be 0.2 to 300");
        check.that(
            (0.1..=60.0).contains(&self.scrape_timeout_seconds),
            "scrape_timeout_seconds",
            "must be 0.1 to 60",
        );
        check.that(!self.disk_path.as_os_str().is_empty(), "disk_path", "must be a path");
        check.that(self.rules.len() <= MAX_RULES, "rules", "must be at most 100");
        let mut names = BTreeSet::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let at = |field: &str| format!("rules[{index}].{field}");
            check.that(
                is_name(&rule.name),
                at("name"),
                "must be 1 to 64 lower-case letters, digits and underscores",
            );
            check.that(names.insert(&rule.name), at("name"), "must be unique");
            check.that(
                rule.metric.fits(rule.scope),
                at("metric"),
                format!("must be one of {}", metrics_of(rule.scope)),
            );
            check.that(rule.threshold.is_finite(), at("threshold"), "must be a finite number");
            check.that(rule.for_seconds <= 86_400, at("for_seconds"), "must be 0 to 86400");
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

fn metrics_of(scope: Scope) -> String {
    let names: Vec<_> = Metric::ALL
        .iter()
        .filter(|metric| metric.fits(scope))
        .map(|metric| metric.name())
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed_and_are_what_config_yaml_shows() {
        let default = MonitorConfig::default();
        let mut check = Check::new();
        default.check(&mut check);
        assert_eq!(check.into_problems(), vec![]);

        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config.yaml");
        let file: serde_json::Value =
            serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let shown: MonitorConfig = serde_json::from_value(file["monitor"].clone()).unwrap();
        assert_eq!(shown, default);
    }

    #[test]
    fn every_impossible_value_is_named() {
        let mut config = MonitorConfig { interval_seconds: 0.0, ..MonitorConfig::default() };
        config.rules[1].name = config.rules[0].name.clone();
        config.rules[2].name = "Fails!".into();
        config.rules[3].metric = Metric::Up;
        config.rules[4].threshold = f64::NAN;
        let mut check = Check::new();
        config.check(&mut check);
        let problems = check.into_problems();
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "interval_seconds",
                "rules[1].name",
                "rules[2].name",
                "rules[3].metric",
                "rules[4].threshold"
            ]
        );
        assert!(problems[3].message.contains("memory_available_ratio"), "{}", problems[3]);
    }

    #[test]
    fn an_unknown_metric_is_refused_with_those_there_are() {
        let rule = serde_json::json!({
            "name": "x", "scope": "memory", "metric": "latency", "op": ">", "threshold": 1,
            "severity": "warning",
        });
        let error = serde_json::from_value::<Rule>(rule).unwrap_err().to_string();
        assert!(error.contains("`latency`") && error.contains("`latency_p99_ms`"), "{error}");
    }
}
