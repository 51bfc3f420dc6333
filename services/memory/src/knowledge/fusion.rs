//! Rankings become one: reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009).

use std::collections::HashMap;

use uuid::Uuid;

use super::Item;

/// How little first places count over later ones; 60 is the paper's.
const K: f64 = 60.0;

/// A ranking and its name, for example "text".
pub type Ranking = (&'static str, Vec<Item>);

/// An item with why it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What.
    pub item: Item,
    /// Only its order means anything.
    pub score: f64,
    /// For example "text rank 1".
    pub reasons: Vec<String>,
}

/// The best `limit` of several rankings. Items that say the same are collapsed into the better one;
/// among equals the later recorded comes first.
#[must_use]
pub fn fuse(rankings: Vec<Ranking>, limit: usize) -> Vec<Found> {
    let mut found: HashMap<Uuid, Found> = HashMap::new();
    for (name, items) in rankings {
        for (rank, item) in (1_u32..).zip(items) {
            let entry = found.entry(item.id).or_insert_with(|| Found {
                item,
                score: 0.0,
                reasons: Vec::new(),
            });
            entry.score += 1.0 / (K + f64::from(rank));
            entry.reasons.push(format!("{name} rank {rank}"));
        }
    }
    let mut found: Vec<Found> = found.into_values().collect();
    found.sort_by(|one, other| {
        other
            .score
            .total_cmp(&one.score)
            .then_with(|| other.item.recorded_at.cmp(&one.item.recorded_at))
            .then_with(|| other.item.id.cmp(&one.item.id))
    });
    let mut seen = std::collections::HashSet::new();
    found.retain(|found| seen.insert((found.item.kind, found.item.text.clone())));
    found.truncate(limit);
    found
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::knowledge::Kind;

    fn item(number: u128, text: &str) -> Item {
        Item {
            id: Uuid::from_u128(number),
            kind: Kind::Episode,
            text: text.to_owned(),
            source: String::new(),
            actor: String::new(),
            session: String::new(),
            valid_from: DateTime::<Utc>::UNIX_EPOCH,
            valid_to: None,
            recorded_at: DateTime::<Utc>::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_both_rankings_find_comes_first() {
        let text = vec![item(1, "a"), item(2, "b")];
        let vector = vec![item(3, "c"), item(2, "b")];
        let fused = fuse(vec![("text", text), ("vector", vector)], 2);
        assert_eq!(fused[0].item.id, Uuid::from_u128(2));
        assert_eq!(fused[0].reasons, ["text rank 2", "vector rank 2"]);
        assert_eq!(fused.len(), 2);
    }

    #[test]
    fn the_same_text_is_shown_once() {
        let fused = fuse(vec![("text", vec![item(1, "same"), item(2, "same")])], 10);
        assert_eq!(fused.len(), 1);
    }
}
