//! Does a text repeat itself?
//!
//! The measure is the share of distinct word 4-grams, which is 1 − seq-rep-4 of Welleck et al.,
//! "Neural Text Generation with Unlikelihood Training", ICLR 2020 (arXiv:1908.04319, section 6.1),
//! and distinct-n of Li et al., "A Diversity-Promoting Objective Function for Neural Conversation
//! Models", NAACL 2016 (arXiv:1510.03055), at n = 4. Looping, the usual failure of small models,
//! drives it to 0; ordinary prose stays close to 1.

use std::collections::HashSet;

use super::{Function, Score, Verdict, words};

/// Words that are compared as one.
const N: usize = 4;

/// Applies to every text; one without words is of no use and scores 0.
pub(super) fn verdict(text: &str) -> Verdict {
    let text = text.to_lowercase();
    let words: Vec<&str> = words(&text).collect();
    if words.is_empty() {
        return Verdict::new(Function::Repetition, Score::ZERO, "it has no words");
    }
    // A text shorter than that is one gram: it cannot repeat itself.
    let grams: Vec<&[&str]> = words.windows(N.min(words.len())).collect();
    let distinct = grams.iter().collect::<HashSet<_>>().len();
    let score = Score::share(distinct, grams.len());
    let reason = if distinct == grams.len() {
        "it does not repeat itself".to_owned()
    } else {
        format!("{distinct} of {} runs of {N} words are distinct", grams.len())
    };
    Verdict::new(Function::Repetition, score, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_score_low_and_prose_high() {
        let score = |text: &str| verdict(text).score.value();
        assert!(score(&"the same again ".repeat(50)) < 0.03);
        assert_eq!(score("A short, plain sentence that says what is to be said."), 1.0);
        assert_eq!(score("yes"), 1.0);
        assert_eq!(score(" \n "), 0.0);
        assert_eq!(score("No no no no NO"), 0.5);
        let verdict = verdict("a b c d a b c d");
        assert_eq!(verdict.reason, "4 of 5 runs of 4 words are distinct");
    }
}
