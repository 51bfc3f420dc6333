//! A map that forgets: its keys come from callers.

use std::{borrow::Borrow, collections::BTreeMap};

/// Keeps the entries touched last, and those in use.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    most: usize,
    clock: u64,
}

impl<K: Ord + Clone, V: Default> Recent<K, V> {
    /// At most `most`, but for those in use.
    pub(super) fn new(most: usize) -> Self {
        Self { entries: BTreeMap::new(), most, clock: 0 }
    }

    /// A new entry takes the place of the one that was touched longest ago and is not `in_use`.
    pub(super) fn touch(&mut self, key: &K, in_use: impl Fn(&V) -> bool) -> &mut V {
        self.clock += 1;
        if !self.entries.contains_key(key) && self.entries.len() >= self.most {
            let idle = self.entries.iter().filter(|(_, (_, value))| !in_use(value));
            let oldest = idle.min_by_key(|(_, (touched, _))| *touched).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.entries.remove(&oldest);
            }
        }
        let (touched, value) = self.entries.entry(key.clone()).or_default();
        *touched = self.clock;
        value
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    pub(super) fn update(&mut self, change: impl Fn(&K, &mut V)) {
        self.entries.iter_mut().for_each(|(key, (_, value))| change(key, value));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_do_not_fill_the_memory() {
        let mut recent: Recent<String, bool> = Recent::new(10);
        *recent.touch(&"busy".to_owned(), |busy| *busy) = true;
        for n in 0..3_000 {
            recent.touch(&n.to_string(), |busy| *busy);
        }
        assert_eq!(recent.iter().count(), 10);
        assert_eq!(recent.get("busy"), Some(&true));
        assert!(recent.get("2999").is_some() && recent.get("2990").is_none());
    }
}
