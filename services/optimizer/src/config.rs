//! The section `optimizer` of config.yaml.

use schemars::JsonSchema;
use serde::Deserialize;

use alina_service::{Check, Section};

use crate::score::{Function, Weights};

/// Scores, thresholds and the schedule.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Minutes between two rounds, 0.01 to 10080; 0: rounds only on demand. The first comes about
    /// ten minutes after the start, or an interval if that is shorter.
    pub interval_minutes: f64,
    /// An agent whose rolling score is under this is improved, 0 to 1.
    pub threshold: f64,
    /// The last outputs that a rolling score is the mean of, 1 to 1000.
    pub window: u32,
    /// Outputs by the instructions in force before an agent is judged by them, 1 to `window`.
    pub min_outputs: u32,
    /// Cases that old and new instructions are compared on at least, 2 to `max_cases`.
    pub min_cases: u32,
    /// Cases at most, up to 50: each costs two answers and, with `judge`, two judgements.
    pub max_cases: u32,
    /// By how much the new instructions' mean must be better, 0 to 1.
    pub min_gain: f64,
    /// Whether a model judges outputs, too.
    pub judge: bool,
    /// The model that judges and that writes new instructions.
    pub model: String,
    /// The longest one model call may take, its wait for a place included; 1 to 3600.
    pub model_timeout_seconds: u32,
    /// The longest answer to a case, 16 to 8192 tokens.
    pub max_answer_tokens: u32,
    /// The most outputs one round scores, 1 to 10000; the next round takes up there.
    pub max_outputs_per_round: u32,
    /// What each scoring function counts in the weighted mean.
    pub weights: Weights,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            interval_minutes: 60.0,
            threshold: 0.7,
            window: 20,
            min_outputs: 5,
            min_cases: 3,
            max_cases: 8,
            min_gain: 0.02,
            judge: true,
            model: "default".to_owned(),
            model_timeout_seconds: 120,
            max_answer_tokens: 320,
            max_outputs_per_round: 200,
            weights: Weights::default(),
        }
    }
}

impl Section for OptimizerConfig {
    fn check(&self, check: &mut Check) {
        let interval = self.interval_minutes;
        check.that(
            interval == 0.0 || (0.01..=10_080.0).contains(&interval),
            "interval_minutes",
            "must be 0.01 to 10080, or 0 for no schedule",
        );
        check.that((0.0..=1.0).contains(&self.threshold), "threshold", "must be 0 to 1");
        check.that((1..=1_000).contains(&self.window), "window", "must be 1 to 1000");
        check.that(
            (1..=self.window).contains(&self.min_outputs),
            "min_outputs",
            format!("must be 1 to window, which is {}", self.window),
        );
        check.that((2..=50).contains(&self.max_cases), "max_cases", "must be 2 to 50");
        check.that(
            (2..=self.max_cases).contains(&self.min_cases),
            "min_cases",
            format!("must be 2 to max_cases, which is {}", self.max_cases),
        );
        check.that((0.0..=1.0).contains(&self.min_gain), "min_gain", "must be 0 to 1");
        check.that(
            (1..=256).contains(&self.model.len()),
            "model",
            "must be a model or an alias of inference_gateway",
        );
        check.that(
            (1..=3_600).contains(&self.model_timeout_seconds),
            "model_timeout_seconds",
            "must be 1 to 3600",
        );
        check.that(
            (16..=8_192).contains(&self.max_answer_tokens),
            "max_answer_tokens",
            "must be 16 to 8192",
        );
        check.that(
            (1..=10_000).contains(&self.max_outputs_per_round),
            "max_outputs_per_round",
            "must be 1 to 10000",
        );
        for function in Function::ALL {
            let weight = self.weights.of(function);
            check.that(
                (0.0..=100.0).contains(&weight),
                format!("weights.{}", function.name()),
                "must be 0 to 100",
            );
        }
        check.that(
            self.weights.repetition > 0.0,
            "weights.repetition",
            "must be over 0: it alone scores every text",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed_and_are_what_config_yaml_shows() {
        let default = OptimizerConfig::default();
        let mut check = Check::new();
        default.check(&mut check);
        assert_eq!(check.into_problems(), vec![]);

        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config.yaml");
        let file: serde_json::Value =
            serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let shown: OptimizerConfig = serde_json::from_value(file["optimizer"].clone()).unwrap();
        assert_eq!(shown, default);
    }

    #[test]
    fn every_impossible_value_is_named() {
        let config = OptimizerConfig {
            interval_minutes: -1.0,
            threshold: 1.5,
            window: 4,
            min_cases: 9,
            min_gain: f64::NAN,
            model: String::new(),
            weights: Weights { repetition: 0.0, judge: -1.0, ..Weights::default() },
            ..OptimizerConfig::default()
        };
        let mut check = Check::new();
        config.check(&mut check);
        let problems = check.into_problems();
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "interval_minutes",
                "threshold",
                "min_outputs",
                "min_cases",
                "min_gain",
                "model",
                "weights.judge",
                "weights.repetition"
            ]
        );
        assert_eq!(problems[2].message, "must be 1 to window, which is 4");
    }
}
