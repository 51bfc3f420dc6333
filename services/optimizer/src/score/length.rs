//! Is a text neither too short nor too long?

use super::{Function, Score, Verdict, words};

/// 1 within the bounds (in words, 0 for none), falling in proportion outside of them.
pub(super) fn verdict(text: &str, min: u32, max: u32) -> Option<Verdict> {
    if min == 0 && max == 0 {
        return None;
    }
    let count = words(text).count();
    let (min, max) = (min as usize, max as usize);
    let (score, reason) = if count < min {
        (Score::share(count, min), format!("{count} words, {min} at least were asked for"))
    } else if max > 0 && count > max {
        (Score::share(max, count), format!("{count} words, {max} at most were asked for"))
    } else {
        (Score::ONE, format!("{count} words are within the bounds"))
    };
    Some(Verdict::new(Function::Length, score, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_falls_with_the_distance_from_the_bounds() {
        let score = |text: &str, min, max| verdict(text, min, max).unwrap().score.value();
        assert_eq!(score("one two", 4, 0), 0.5);
        assert_eq!(score("one two three four", 0, 2), 0.5);
        assert_eq!(score("one two three", 3, 3), 1.0);
        assert_eq!(score("", 1, 0), 0.0);
        assert_eq!(verdict("any", 0, 0), None);
    }
}
