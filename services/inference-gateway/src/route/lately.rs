//! Where requests with the same beginning went lately.

use std::collections::{BTreeMap, HashMap};

/// Beginnings that are remembered; the least recently used is forgotten first.
const MOST: usize = 4_096;

/// Places by the hash of a beginning.
#[derive(Debug, Default)]
pub struct Lately {
    places: HashMap<u64, (usize, u64)>,
    by_use: BTreeMap<u64, u64>,
    uses: u64,
}

impl Lately {
    /// Where the last one went.
    #[must_use]
    pub fn get(&self, beginning: u64) -> Option<usize> {
        self.places.get(&beginning).map(|(place, _)| *place)
    }

    /// One goes to `place`.
    pub fn put(&mut self, beginning: u64, place: usize) {
        self.uses += 1;
        if let Some((_, used)) = self.places.insert(beginning, (place, self.uses)) {
            self.by_use.remove(&used);
        }
        self.by_use.insert(self.uses, beginning);
        if self.places.len() > MOST
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.places.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_is_forgotten() {
        let mut lately = Lately::default();
        for n in 0..MOST as u64 {
            lately.put(n, 1);
        }
        lately.put(0, 2);
        lately.put(u64::MAX, 3);
        assert_eq!((lately.get(0), lately.get(1), lately.get(2)), (Some(2), None, Some(1)));
        assert_eq!((lately.places.len(), lately.by_use.len()), (MOST, MOST));
    }
}
