//! What a model is given to know: the best of what was found, cited, within a budget of tokens.

use chrono::{DateTime, Utc};

use super::ranking::Found;

/// One line is at most this share of the budget, so that several fit.
const LARGEST_SHARE: u32 = 2;
/// A line cut shorter than this says nothing.
pub(super) const SHORTEST_LINE: u32 = 12;

/// A packed context.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    /// Lines such as "[1] 2026-05-01: …".
    pub text: String,
    /// What "[1]", "[2]" … stand for.
    pub cited: Vec<Found>,
    /// An upper estimate of the text's tokens.
    pub tokens: u32,
}

/// Tokens of `text`, rather too many than too few: vocabularies hold English words in pieces of
/// three letters and more, but digits, signs and other scripts may take one token a byte.
#[must_use]
pub fn tokens(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let plain = bytes.iter().filter(|byte| byte.is_ascii_alphabetic() || **byte == b' ').count();
    let tokens = plain.div_ceil(3) + (bytes.len() - plain);
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// Packs as many of `found` as fit into `budget` tokens, best first.
#[must_use]
pub fn pack(found: Vec<Found>, budget: u32) -> Context {
    let mut context = Context { text: String::new(), cited: Vec::new(), tokens: 0 };
    for found in found {
        let left = budget.saturating_sub(context.tokens);
        let head = head(context.cited.len() + 1, &found.item.actor, found.item.valid_from);
        let room = left.min(budget / LARGEST_SHARE).saturating_sub(tokens(&head) + 1);
        if room < SHORTEST_LINE {
            break;
        }
        let line = format!("{head}{}\n", fitted(&found.item.text, room));
        context.tokens += tokens(&line);
        context.text.push_str(&line);
        context.cited.push(found);
    }
    context
}

/// What a line begins with: its label, when it was and who said it.
pub(super) fn head(number: usize, actor: &str, at: DateTime<Utc>) -> String {
    let day = at.format("%Y-%m-%d");
    match actor {
        "" => format!("[{number}] {day}: "),
        actor => format!("[{number}] {day} {actor}: "),
    }
}

/// As much of `text` as takes at most `room` tokens, on one line, cut at a blank.
pub(super) fn fitted(text: &str, room: u32) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if tokens(&line) <= room {
        return line;
    }
    let mut kept = String::new();
    for word in line.split(' ') {
        let longer = if kept.is_empty() { word.to_owned() } else { format!("{kept} {word}") };
        // "…" takes up to three.
        if tokens(&longer) + 3 > room {
            break;
        }
        kept = longer;
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::knowledge::{Item, Kind};

    fn found(text: &str) -> Found {
        let at = DateTime::from_timestamp(1_777_593_600, 0).unwrap();
        let item = Item {
            id: Uuid::nil(),
            kind: Kind::Episode,
            text: text.to_owned(),
            source: "run:1".to_owned(),
            actor: "user".to_owned(),
            session: String::new(),
            valid_from: at,
            valid_to: None,
            recorded_at: at,
        };
        Found::recent(item)
    }

    #[test]
    fn lines_are_labelled_dated_and_attributed() {
        let context = pack(vec![found("We go\nto Lisbon."), found("Pack light.")], 200);
        let expected = "[1] 2026-05-01 user: We go to Lisbon.\n[2] 2026-05-01 user: Pack light.\n";
        assert_eq!(context.text, expected);
        assert_eq!(context.cited.len(), 2);
    }

    proptest! {
        #[test]
        fn the_budget_is_never_passed(
            texts in prop::collection::vec(".{0,300}", 0..8),
            budget in 32_u32..400,
        ) {
            let context = pack(texts.iter().map(|text| found(text)).collect(), budget);
            prop_assert!(context.tokens <= budget);
            prop_assert!(tokens(&context.text) <= context.tokens);
            prop_assert_eq!(context.text.lines().count(), context.cited.len());
        }
    }
}
