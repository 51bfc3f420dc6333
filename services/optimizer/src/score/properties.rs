//! What holds of every text.

use proptest::prelude::*;

use super::{Expectation, Score, Scorecard, Weights, content, length, repetition, without_models};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        proptest::collection::vec(prop_oneof!["[a-d]", "\\PC{0,6}"], 0..60)
            .prop_map(|words| words.join(" ")),
    ]
}

fn expectation() -> impl Strategy<Value = Expectation> {
    let strings = || proptest::collection::vec("\\PC{1,5}", 0..4);
    let schema = prop_oneof![Just(String::new()), Just(r#"{"type":"object"}"#.to_owned()), text()];
    (schema, strings(), strings(), 0..50_u32, 0..50_u32).prop_map(
        |(json_schema, required, forbidden, min_words, max_words)| Expectation {
            json_schema,
            required,
            forbidden,
            min_words,
            max_words,
            reference: String::new(),
        },
    )
}

fn weights() -> impl Strategy<Value = Weights> {
    (0.0..100.0, 0.0..100.0, 0.0..100.0, 0.0..100.0, 0.001..100.0).prop_map(
        |(schema, required, forbidden, length, repetition)| Weights {
            schema,
            required,
            forbidden,
            length,
            repetition,
            ..Weights::default()
        },
    )
}

fn repeats(text: &str) -> Score {
    repetition::verdict(text).score
}

proptest! {
    #[test]
    fn every_score_is_within_bounds_and_has_a_reason(
        text in text(), expectation in expectation(), weights in weights(),
    ) {
        let card = Scorecard::new(without_models(&text, &expectation), &weights);
        prop_assert!((0.0..=1.0).contains(&card.score.value()));
        let lowest = card.functions.iter().map(|one| one.score.value()).fold(1.0, f64::min);
        let highest = card.functions.iter().map(|one| one.score.value()).fold(0.0, f64::max);
        prop_assert!(lowest - 1e-9 <= card.score.value() && card.score.value() <= highest + 1e-9);
        for one in &card.functions {
            prop_assert!((0.0..=1.0).contains(&one.score.value()) && !one.reason.is_empty());
        }
    }

    /// One more word either makes a run of words that was there before, which costs, or a new one,
    /// which does not.
    #[test]
    fn one_more_word_costs_exactly_when_it_repeats(
        words in proptest::collection::vec("[a-c]", 4..40), next in "[a-c]",
    ) {
        let before = repeats(&words.join(" "));
        let last: Vec<_> = words[words.len() - 3..].iter().chain([&next]).collect();
        let is_old = words.windows(4).any(|run| run.iter().eq(last.iter().copied()));
        let after = repeats(&format!("{} {next}", words.join(" ")));
        if is_old {
            prop_assert!(after < before, "{after:?} {before:?}");
        } else {
            prop_assert!(after >= before, "{after:?} {before:?}");
        }
    }

    #[test]
    fn the_longer_a_text_loops_the_worse(
        words in proptest::collection::vec("[a-z]{1,3}", 3..20), times in 2..6_usize,
    ) {
        let text = words.join(" ") + " ";
        prop_assert!(repeats(&text.repeat(times + 1)) < repeats(&text.repeat(times)));
    }

    #[test]
    fn more_of_what_is_required_never_costs(
        text in text(), required in proptest::collection::vec("[a-z]{1,4}", 1..5),
    ) {
        let before = content::required(&text, &required).unwrap().score;
        let more = format!("{text} {}", required[0]);
        prop_assert!(content::required(&more, &required).unwrap().score >= before);
        prop_assert!(content::forbidden(&more, &required).unwrap().score
            <= content::forbidden(&text, &required).unwrap().score);
    }

    #[test]
    fn a_text_nearer_to_its_bound_scores_better(words in 0..40_u32, min in 1..40_u32) {
        let score = |count: u32| {
            length::verdict(&"w ".repeat(count as usize), min, 0).unwrap().score
        };
        prop_assert!(score(words + 1) >= score(words));
        prop_assert!((score(words) == Score::ONE) == (words >= min));
    }
}
