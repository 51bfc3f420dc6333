//! Scores of texts: functions that each give a verdict between 0 and 1 with a reason, and their
//! weighted mean.

pub mod judge;
pub mod similarity;

mod content;
mod expectation;
mod length;
mod repetition;
mod schema;

#[cfg(test)]
mod properties;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use expectation::{Expectation, MAX_TEXT_BYTES, Wrong};

/// Between 0 (useless) and 1 (as it should be).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Score(f64);

impl Score {
    /// The worst.
    pub const ZERO: Self = Self(0.0);
    /// The best.
    pub const ONE: Self = Self(1.0);

    /// What lies outside of 0 to 1 is moved to its nearer end; what is no number is 0.
    #[must_use]
    pub fn new(value: f64) -> Self {
        if value.is_nan() { Self::ZERO } else { Self(value.clamp(0.0, 1.0)) }
    }

    /// Parts that are right, out of all; 1 when there are none.
    #[must_use]
    pub fn share(right: usize, all: usize) -> Self {
        if all == 0 {
            return Self::ONE;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of words are far below 2^52")]
        Self::new(right as f64 / all as f64)
    }

    /// As a number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }

    /// The mean; 0 of nothing.
    #[must_use]
    pub fn mean(scores: &[Self]) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "scores are counted in thousands at most")]
        let count = scores.len() as f64;
        Self::new(scores.iter().map(|score| score.0).sum::<f64>() / count)
    }
}

/// What judges a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// It parses as JSON and satisfies a schema.
    Schema,
    /// Strings that must occur do.
    Required,
    /// Strings that must not occur do not.
    Forbidden,
    /// It is neither too short nor too long.
    Length,
    /// It does not repeat itself.
    Repetition,
    /// It means the same as a reference.
    Similarity,
    /// A model's judgement.
    Judge,
}

impl Function {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Schema,
        Self::Required,
        Self::Forbidden,
        Self::Length,
        Self::Repetition,
        Self::Similarity,
        Self::Judge,
    ];

    /// Its name in the contract and in config.yaml.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Required => "required",
            Self::Forbidden => "forbidden",
            Self::Length => "length",
            Self::Repetition => "repetition",
            Self::Similarity => "similarity",
            Self::Judge => "judge",
        }
    }
}

/// What each function counts; those that do not apply to a text do not count at all.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// Of "schema".
    pub schema: f64,
    /// Of "required".
    pub required: f64,
    /// Of "forbidden".
    pub forbidden: f64,
    /// Of "length".
    pub length: f64,
    /// Of "repetition", which applies to every text; over 0.
    pub repetition: f64,
    /// Of "similarity".
    pub similarity: f64,
    /// Of "judge".
    pub judge: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            schema: 2.0,
            required: 2.0,
            forbidden: 2.0,
            length: 1.0,
            repetition: 1.0,
            similarity: 2.0,
            judge: 2.0,
        }
    }
}

impl Weights {
    /// The weight of one function.
    #[must_use]
    pub fn of(&self, function: Function) -> f64 {
        match function {
            Function::Schema => self.schema,
            Function::Required => self.required,
            Function::Forbidden => self.forbidden,
            Function::Length => self.length,
            Function::Repetition => self.repetition,
            Function::Similarity => self.similarity,
            Function::Judge => self.judge,
        }
    }
}

/// What one function says of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Which.
    pub function: Function,
    /// Its score.
    pub score: Score,
    /// Why, in a sentence.
    pub reason: String,
}

impl Verdict {
    fn new(function: Function, score: Score, reason: impl Into<String>) -> Self {
        Self { function, score, reason: reason.into() }
    }
}

/// A verdict and what it counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weighted {
    /// Which function.
    pub function: Function,
    /// Its score.
    pub score: Score,
    /// What it counts.
    pub weight: f64,
    /// Why, in a sentence.
    pub reason: String,
}

/// A text's score and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Scorecard {
    /// The weighted mean.
    pub score: Score,
    /// Its parts.
    pub functions: Vec<Weighted>,
}

impl Scorecard {
    /// The weighted mean of the verdicts; 0 when nothing counts.
    #[must_use]
    pub fn new(verdicts: Vec<Verdict>, weights: &Weights) -> Self {
        let weighted = verdicts.into_iter().map(|verdict| Weighted {
            function: verdict.function,
            score: verdict.score,
            weight: weights.of(verdict.function),
            reason: verdict.reason,
        });
        let functions: Vec<_> = weighted.collect();
        let all: f64 = functions.iter().map(|one| one.weight).sum();
        let sum: f64 = functions.iter().map(|one| one.weight * one.score.value()).sum();
        Self { score: Score::new(sum / all), functions }
    }

    /// What cost the most, worst first, each as "function: reason"; nothing when all is perfect.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        complaints(&self.functions)
    }
}

/// What cost the most of a score's parts, worst first, each as "function: reason".
#[must_use]
pub fn complaints(functions: &[Weighted]) -> Vec<String> {
    let cost = |one: &Weighted| one.weight * (1.0 - one.score.value());
    let mut costly: Vec<_> = functions.iter().filter(|one| cost(one) > 0.0).collect();
    costly.sort_by(|one, other| cost(other).total_cmp(&cost(one)));
    costly.iter().map(|one| format!("{}: {}", one.function.name(), one.reason)).collect()
}

/// The verdicts of every function that applies and needs no model.
#[must_use]
pub fn without_models(text: &str, expectation: &Expectation) -> Vec<Verdict> {
    let verdicts = [
        schema::verdict(text, &expectation.json_schema),
        content::required(text, &expectation.required),
        content::forbidden(text, &expectation.forbidden),
        length::verdict(text, expectation.min_words, expectation.max_words),
        Some(repetition::verdict(text)),
    ];
    verdicts.into_iter().flatten().collect()
}

/// Its words, as lengths are counted in.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_weighted_and_counts_only_what_applies() {
        let expectation = Expectation {
            required: vec!["Lisbon".into(), "tram".into()],
            min_words: 2,
            ..Expectation::default()
        };
        let verdicts = without_models("Lisbon is yellow", &expectation);
        let weights = Weights { required: 3.0, length: 1.0, repetition: 2.0, ..Weights::default() };
        let card = Scorecard::new(verdicts, &weights);
        let names: Vec<_> = card.functions.iter().map(|one| one.function.name()).collect();
        assert_eq!(names, ["required", "length", "repetition"]);
        assert!((card.score.value() - (3.0 * 0.5 + 1.0 + 2.0) / 6.0).abs() < 1e-12);
        assert_eq!(card.complaints(), ["required: 1 of 2 occur; missing: “tram”"]);
    }

    #[test]
    fn nothing_that_counts_gives_zero_and_not_nonsense() {
        assert_eq!(Scorecard::new(vec![], &Weights::default()).score, Score::ZERO);
        assert_eq!(Score::mean(&[]), Score::ZERO);
        assert_eq!(Score::new(f64::INFINITY), Score::ONE);
    }
}
