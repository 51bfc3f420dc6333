//! Rankings become one: reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009).

use std::collections::HashMap;

use uuid::Uuid;

/// How little first places count over later ones; 60 is the paper's.
const K: f64 = 60.0;

/// A ranking: its name, for example "text", and ids, best first.
pub type Ranking = (&'static str, Vec<Uuid>);

/// An id with the places that rankings gave it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    /// Of the item.
    pub id: Uuid,
    /// Only its order means anything.
    pub score: f64,
    /// The rankings that hold it, with its place in them from 1.
    pub places: Vec<(&'static str, u32)>,
}

/// All that the rankings hold, best first.
#[must_use]
pub fn fuse(rankings: &[Ranking]) -> Vec<Fused> {
    let mut fused: HashMap<Uuid, Fused> = HashMap::new();
    for (name, ids) in rankings {
        for (rank, id) in (1_u32..).zip(ids) {
            let empty = || Fused { id: *id, score: 0.0, places: Vec::new() };
            let entry = fused.entry(*id).or_insert_with(empty);
            entry.score += 1.0 / (K + f64::from(rank));
            entry.places.push((name, rank));
        }
    }
    let mut fused: Vec<Fused> = fused.into_values().collect();
    // Ids sort by time: among equals the later written comes first.
    fused.sort_by(|one, other| {
        other.score.total_cmp(&one.score).then_with(|| other.id.cmp(&one.id))
    });
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_rankings_find_comes_first() {
        let [one, two, three] = [1, 2, 3].map(Uuid::from_u128);
        let fused = fuse(&[("text", vec![one, two]), ("vector", vec![three, two])]);
        assert_eq!(fused.iter().map(|fused| fused.id).collect::<Vec<_>>(), [two, three, one]);
        assert_eq!(fused[0].places, [("text", 2), ("vector", 2)]);
    }
}
