//! Old instructions against new on the same cases: which cases, what the model that writes new
//! instructions is asked, and whether the evidence is enough.

pub mod bootstrap;
pub mod improve;

use crate::score::{Expectation, Score};

/// What the evidence must show before new instructions come into force.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Cases at least.
    pub min_cases: usize,
    /// By how much the mean must be better.
    pub min_gain: f64,
}

/// A case's two scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Under the instructions in force.
    pub old: Score,
    /// Under the new ones.
    pub new: Score,
}

/// What the evidence says.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Whether the new instructions come into force.
    pub promote: bool,
    /// Mean under the old ones.
    pub old: Score,
    /// Mean under the new ones.
    pub new: Score,
    /// Why, in a sentence.
    pub reason: String,
}

/// How an experiment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The new instructions won.
    Promoted,
    /// They did not.
    Kept,
    /// It could not be carried through.
    Failed,
}

impl Outcome {
    /// Its name in the store and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Kept => "kept",
            Self::Failed => "failed",
        }
    }
}

/// Weighs the evidence. The new instructions win when they were tried on enough cases, their mean
/// is better by `min_gain`, and the lower bound of a paired bootstrap over the cases' gains
/// ([`bootstrap`]) is above 0: on few cases, nearly every case must then be better.
#[must_use]
pub fn decide(pairs: &[Pair], policy: Policy, seed: u64) -> Decision {
    let mean =
        |score: fn(&Pair) -> Score| Score::mean(&pairs.iter().map(score).collect::<Vec<_>>());
    let (old, new) = (mean(|pair| pair.old), mean(|pair| pair.new));
    let gain = new.value() - old.value();
    let count = pairs.len();
    let no = |reason: String| Decision { promote: false, old, new, reason };
    if count < policy.min_cases {
        return no(too_few(count, policy.min_cases));
    }
    // Means of equal scores may differ in the last digit.
    if gain + 1e-9 < policy.min_gain {
        let least = policy.min_gain;
        return no(format!("a gain of {gain:+.3} on {count} cases is less than {least:.3}"));
    }
    let gains: Vec<f64> = pairs.iter().map(|pair| pair.new.value() - pair.old.value()).collect();
    let lower = bootstrap::lower_bound(&gains, seed);
    let better = gains.iter().filter(|gain| **gain > 0.0).count();
    let evidence = format!(
        "{gain:+.3} on {count} cases, {better} of them better, lower bound {lower:+.3} at 97.5 %"
    );
    if lower <= 1e-9 {
        return no(format!("it may be chance: {evidence}"));
    }
    Decision { promote: true, old, new, reason: evidence }
}

/// Why so few cases decide nothing.
#[must_use]
pub fn too_few(count: usize, least: usize) -> String {
    format!("{count} cases are too few, {least} are needed: add some, or let the agent work more")
}

/// A case to try instructions on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The task.
    pub input: String,
    /// What the answer must have.
    pub expectation: Expectation,
}

/// Which cases to try: those stored, newest first, and, when they are fewer than `min`, recent
/// inputs without expectations, up to `max` in all. Inputs that the writer of the new instructions
/// is `shown` come last, so that they are not rewarded for knowing them.
#[must_use]
pub fn choose_trials(
    stored: Vec<Trial>,
    recent: Vec<String>,
    shown: &[&str],
    min: usize,
    max: usize,
) -> Vec<Trial> {
    let mut trials = stored;
    trials.truncate(max);
    if trials.len() >= min {
        return trials;
    }
    let (seen, unseen): (Vec<_>, Vec<_>) =
        recent.into_iter().partition(|input| shown.contains(&input.as_str()));
    for input in unseen.into_iter().chain(seen) {
        if trials.len() >= max {
            break;
        }
        if trials.iter().all(|trial| trial.input != input) {
            trials.push(Trial { input, expectation: Expectation::default() });
        }
    }
    trials
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: Policy = Policy { min_cases: 3, min_gain: 0.02 };

    fn pairs(of: &[(f64, f64)]) -> Vec<Pair> {
        of.iter().map(|(old, new)| Pair { old: Score::new(*old), new: Score::new(*new) }).collect()
    }

    fn verdict(of: &[(f64, f64)]) -> (bool, String) {
        let decision = decide(&pairs(of), POLICY, 7);
        (decision.promote, decision.reason)
    }

    #[test]
    fn only_a_clear_win_on_enough_cases_promotes() {
        let (promote, reason) = verdict(&[(0.4, 0.9), (0.5, 0.8), (0.3, 0.9)]);
        assert!(promote, "{reason}");
        assert!(reason.starts_with("+0.467 on 3 cases, 3 of them better"), "{reason}");

        let (promote, reason) = verdict(&[(0.4, 0.9), (0.5, 0.8)]);
        assert!(!promote && reason.starts_with("2 cases are too few, 3 are needed"), "{reason}");

        let (promote, reason) = verdict(&[(0.5, 0.51), (0.5, 0.51), (0.5, 0.51)]);
        assert!(!promote && reason.contains("less than 0.020"), "{reason}");

        let (promote, reason) = verdict(&[(0.9, 0.1), (0.9, 0.2), (0.9, 0.3)]);
        assert!(!promote && reason.contains("-0.700"), "{reason}");

        // A better mean, carried by one case of four.
        let (promote, reason) = verdict(&[(0.1, 1.0), (0.6, 0.5), (0.6, 0.5), (0.6, 0.5)]);
        assert!(!promote && reason.starts_with("it may be chance: +0.150"), "{reason}");
    }

    #[test]
    fn one_loss_among_three_is_no_evidence_and_one_among_eight_may_be() {
        assert!(!verdict(&[(0.5, 0.9), (0.5, 0.9), (0.5, 0.4)]).0);
        let mut many = vec![(0.5, 0.9); 7];
        many.push((0.5, 0.4));
        assert!(verdict(&many).0);
    }

    #[test]
    fn exactly_the_least_gain_is_enough() {
        assert!(verdict(&[(0.5, 0.52), (0.6, 0.62), (0.7, 0.72)]).0);
    }

    proptest! {
        #[test]
        fn a_promotion_is_always_a_gain_on_enough_cases(
            scores in proptest::collection::vec((0.0..1.0_f64, 0.0..1.0_f64), 0..12),
            seed in any::<u64>(),
        ) {
            let decision = decide(&pairs(&scores), POLICY, seed);
            let again = decide(&pairs(&scores), POLICY, seed);
            prop_assert_eq!(&decision, &again);
            if decision.promote {
                prop_assert!(scores.len() >= 3);
                prop_assert!(decision.new.value() - decision.old.value() >= 0.02 - 1e-9);
                // The other way round it loses.
                let swapped: Vec<_> = scores.iter().map(|(old, new)| (*new, *old)).collect();
                prop_assert!(!decide(&pairs(&swapped), POLICY, seed).promote);
            }
        }
    }

    #[test]
    fn recent_inputs_fill_up_when_cases_are_few_and_shown_ones_come_last() {
        let case = |input: &str| Trial { input: input.into(), expectation: Expectation::default() };
        let recent = || ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let inputs = |trials: Vec<Trial>| -> String {
            trials.into_iter().map(|trial| trial.input).collect()
        };
        let enough = vec![case("x"), case("y"), case("z")];
        assert_eq!(inputs(choose_trials(enough.clone(), recent(), &[], 3, 8)), "xyz");
        assert_eq!(inputs(choose_trials(enough, recent(), &[], 2, 2)), "xy");
        let few = vec![case("x"), case("c")];
        assert_eq!(inputs(choose_trials(few, recent(), &["a"], 3, 4)), "xcbd");
        assert_eq!(inputs(choose_trials(vec![], recent(), &["a"], 3, 9)), "bcda");
    }
}
