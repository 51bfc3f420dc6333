//! How sure is a mean gain?
//!
//! A paired percentile bootstrap: the cases' gains are drawn anew with replacement many times, and
//! the mean that only 2.5 % of the draws fall below is the lower bound (Efron & Tibshirani, "An
//! Introduction to the Bootstrap", 1993, chapter 13; for paired comparisons of generated text:
//! Koehn, "Statistical Significance Tests for Machine Translation Evaluation", EMNLP 2004). Chosen
//! over the sign test because it weighs by how much a case is better, and because a sign test over
//! fewer than six cases cannot reach 2.5 % at all. On very few cases the percentile bound is no
//! exact level; what it asks for is plain, though: on three, that each is better.

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// Draws: enough that the bound moves by no more than the third digit between seeds.
const DRAWS: usize = 10_000;
/// Draws whose mean may lie below the bound: 2.5 %.
const BELOW: usize = DRAWS / 40;

/// The bound below which the mean gain lies with 2.5 % of the draws; 0 for no gains. The same
/// gains and seed give the same bound, on every machine.
#[must_use]
pub fn lower_bound(gains: &[f64], seed: u64) -> f64 {
    if gains.is_empty() {
        return 0.0;
    }
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    #[expect(clippy::cast_precision_loss, reason = "cases are counted in tens")]
    let count = gains.len() as f64;
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let draws = gains.iter().map(|_| gains[random.random_range(0..gains.len())]);
            draws.sum::<f64>() / count
        })
        .collect();
    means.sort_by(f64::total_cmp);
    means[BELOW]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_bounds() {
        assert_eq!(lower_bound(&[], 1), 0.0);
        assert_eq!(lower_bound(&[0.25; 4], 1), 0.25);
        // Of three, all draws hit the least in 1 of 27 cases, more than 2.5 %: it is the bound.
        assert!((lower_bound(&[0.1, 0.5, 0.9], 3) - 0.1).abs() < 1e-12);
        // Standard normal quantiles of 200 draws: the mean of ±1 has a standard error of 0.07.
        let gains: Vec<f64> = (0..200).map(|n| if n % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert!((lower_bound(&gains, 5) + 1.96 * 0.0707).abs() < 0.02);
    }

    proptest! {
        #[test]
        fn the_bound_lies_between_the_least_gain_and_the_mean(
            gains in proptest::collection::vec(-1.0..1.0_f64, 1..10), seed in any::<u64>(),
        ) {
            let bound = lower_bound(&gains, seed);
            let least = gains.iter().copied().fold(f64::INFINITY, f64::min);
            let mean = gains.iter().sum::<f64>() / gains.len() as f64;
            prop_assert!(least - 1e-9 <= bound && bound <= mean + 1e-2, "{bound} {mean}");
        }
    }
}
