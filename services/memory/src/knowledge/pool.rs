//! What may answer a question, before it is ranked: some hundreds of items with what was measured
//! of each, and which of them were said right after each other.

use std::collections::HashMap;

use uuid::Uuid;

use super::Item;

/// Of a question at most so many terms are looked for.
pub const MOST_TERMS: usize = 24;

/// Terms of the question that an item has: bit n stands for term n.
pub type Terms = u32;

/// An item with what was measured of it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What.
    pub item: Item,
    /// The terms of the question that occur in it.
    pub terms: Terms,
    /// How many different words it has.
    pub length: u32,
    /// The cosine of its vector and the question's; nothing while it has none.
    pub meaning: Option<f64>,
    /// The rankings that hold it, with its place in them; none when it only stands beside one that
    /// was found.
    pub places: Vec<(&'static str, u32)>,
    /// Whether facts were learned from it.
    pub taught: bool,
    /// How the graph links it to what the question names.
    pub link: Option<Link>,
}

/// How the graph links an item to what a question names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// 1 for what is said of it, 2 for what is said of what it is linked to.
    pub hops: u32,
    /// The entity's name.
    pub entity: String,
}

/// What may answer a question.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    /// In no order.
    pub candidates: Vec<Candidate>,
    /// Episodes that followed each other in a session: a pair for each two neighbours.
    pub neighbours: Vec<(Uuid, Uuid)>,
}

/// Where in a pool the episodes before and after a candidate are.
#[derive(Debug, Clone)]
pub struct Beside {
    before: Vec<Option<usize>>,
    after: Vec<Option<usize>>,
}

impl Pool {
    /// Who stands beside whom.
    #[must_use]
    pub fn beside(&self) -> Beside {
        let ids = self.candidates.iter().enumerate();
        let at: HashMap<Uuid, usize> = ids.map(|(at, one)| (one.item.id, at)).collect();
        let count = self.candidates.len();
        let mut beside = Beside { before: vec![None; count], after: vec![None; count] };
        for (first, second) in &self.neighbours {
            if let (Some(first), Some(second)) = (at.get(first), at.get(second)) {
                beside.after[*first] = Some(*second);
                beside.before[*second] = Some(*first);
            }
        }
        beside
    }
}

impl Beside {
    /// The candidate itself, and up to so many before and after it.
    #[must_use]
    pub fn around(&self, at: usize, before: usize, after: usize) -> Vec<usize> {
        let back = std::iter::successors(Some(at), |at| self.before[*at]).take(before + 1);
        let on = std::iter::successors(Some(at), |at| self.after[*at]).take(after + 1).skip(1);
        back.chain(on).collect()
    }
}
