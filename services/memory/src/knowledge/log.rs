//! The log of actions as a chain of hashes: what is written in it cannot be changed, exchanged,
//! moved or left out without the hashes telling, and yet an entry's content can be deleted.
//!
//! Each entry has a digest, SHA-256 over a random salt and its fields, and a hash, SHA-256 over the
//! hash before and the digest. Numbers are 8 bytes, big-endian; a field is its length as such a
//! number and its UTF-8. A tombstone keeps digest and hash; without the salt nobody can try out what
//! the digest stood for. Another entry says that it was deleted, so that nothing can be hidden by
//! making it a tombstone.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Namespace;

/// A SHA-256.
pub type Hash = [u8; 32];

/// Before the first entry.
pub const START: Hash = [0; 32];

/// The action that tells of deletions: its details have the places of tombstones, as `tombstones`.
pub const FORGOTTEN: &str = "memory.forgotten";

/// Something done, not yet written.
#[derive(Debug, Clone, Default)]
pub struct NewAction {
    /// Who.
    pub actor: String,
    /// What, for example "run.finished".
    pub action: String,
    /// One line for a person.
    pub summary: String,
    /// A JSON object; empty for none.
    pub details: String,
    /// The run it belongs to; empty for none.
    pub run_id: String,
}

/// An entry's digest.
#[must_use]
pub fn digest(
    salt: &[u8],
    namespace: &Namespace,
    position: i64,
    at: DateTime<Utc>,
    what: &NewAction,
) -> Hash {
    let mut digest = Sha256::new();
    digest.update(salt);
    field(&mut digest, &namespace.0);
    digest.update(position.to_be_bytes());
    digest.update(at.timestamp_micros().to_be_bytes());
    for text in [&what.actor, &what.action, &what.summary, &what.details, &what.run_id] {
        field(&mut digest, text);
    }
    digest.finalize().into()
}

fn field(digest: &mut Sha256, text: &str) {
    digest.update((text.len() as u64).to_be_bytes());
    digest.update(text.as_bytes());
}

/// An entry's hash.
#[must_use]
pub fn link(previous: &Hash, digest: &[u8]) -> Hash {
    Sha256::new().chain_update(previous).chain_update(digest).finalize().into()
}

/// An entry as it is stored.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place, from 1.
    pub position: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// What; empty in a tombstone.
    pub what: NewAction,
    /// Absent in a tombstone.
    pub salt: Option<Vec<u8>>,
    /// As it was written.
    pub digest: Vec<u8>,
    /// As it was written.
    pub hash: Vec<u8>,
    /// The place of the entry that tells of its deletion.
    pub forgotten_by: Option<i64>,
}

/// Calculates a chain again, entry by entry.
#[derive(Debug)]
pub struct Verifier {
    namespace: Namespace,
    head: Hash,
    length: i64,
    known: Option<(i64, Vec<u8>)>,
    tombstones: Vec<(i64, i64)>,
    told: HashMap<i64, HashSet<i64>>,
    broken: Option<(i64, String)>,
}

/// What was found.
#[derive(Debug)]
pub struct Verified {
    /// How many entries there are.
    pub length: i64,
    /// The last one's hash.
    pub head: Hash,
    /// How many are tombstones.
    pub tombstones: usize,
    /// The first that is wrong, and what is wrong with it.
    pub broken: Option<(i64, String)>,
}

impl Verifier {
    /// Of a namespace; `known` is a place and the hash it had.
    #[must_use]
    pub fn new(namespace: Namespace, known: Option<(i64, Vec<u8>)>) -> Self {
        Self {
            namespace,
            head: START,
            length: 0,
            known,
            tombstones: Vec::new(),
            told: HashMap::new(),
            broken: None,
        }
    }

    /// The next entry, by place.
    pub fn add(&mut self, entry: &Entry) {
        let expected = self.length + 1;
        if entry.position != expected {
            self.wrong(expected, "the entry is missing");
        }
        match (&entry.salt, entry.forgotten_by) {
            (Some(salt), None) => {
                let digest = digest(salt, &self.namespace, entry.position, entry.at, &entry.what);
                if digest[..] != entry.digest[..] {
                    self.wrong(entry.position, "the content is not what was written");
                }
                if entry.what.action == FORGOTTEN {
                    self.told.insert(entry.position, listed(&entry.what.details));
                }
            }
            (None, Some(by)) => self.tombstones.push((entry.position, by)),
            _ => self.wrong(entry.position, "it is half a tombstone"),
        }
        let hash = link(&self.head, &entry.digest);
        if hash[..] != entry.hash[..] {
            self.wrong(entry.position, "the hash does not follow from the one before");
        }
        if let Some((place, known)) = &self.known
            && *place == entry.position
            && hash[..] != known[..]
        {
            self.wrong(entry.position, "the hash is not the one known from earlier");
        }
        self.head = hash;
        self.length = entry.position;
    }

    /// After the last entry; the chain's own note of its length and head is `noted`.
    #[must_use]
    pub fn finish(mut self, noted: (i64, &[u8])) -> Verified {
        if noted.0 != self.length || noted.1 != &self.head[..] {
            self.wrong(self.length.min(noted.0) + 1, "the last entries are missing");
        }
        if self.known.as_ref().is_some_and(|(place, _)| *place > self.length) {
            self.wrong(self.length + 1, "the last entries are missing");
        }
        let untold = self
            .tombstones
            .iter()
            .find(|(place, by)| !self.told.get(by).is_some_and(|told| told.contains(place)));
        if let Some((place, _)) = untold.copied() {
            self.wrong(place, "it is a tombstone that no entry tells of");
        }
        Verified {
            length: self.length,
            head: self.head,
            tombstones: self.tombstones.len(),
            broken: self.broken,
        }
    }

    fn wrong(&mut self, place: i64, problem: &str) {
        if self.broken.as_ref().is_none_or(|(first, _)| place < *first) {
            self.broken = Some((place, problem.to_owned()));
        }
    }
}

/// The places that an entry tells of.
fn listed(details: &str) -> HashSet<i64> {
    let details: Value = serde_json::from_str(details).unwrap_or_default();
    let places = details.get("tombstones").and_then(Value::as_array);
    places.into_iter().flatten().filter_map(Value::as_i64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace() -> Namespace {
        Namespace("default".to_owned())
    }

    fn chain(details: &[&str]) -> Vec<Entry> {
        let mut head = START;
        let mut entries = Vec::new();
        for (position, details) in (1..).zip(details) {
            let action = if details.is_empty() { "run.finished" } else { FORGOTTEN };
            let what = NewAction {
                actor: "agent".to_owned(),
                action: action.to_owned(),
                details: (*details).to_owned(),
                ..NewAction::default()
            };
            let at = DateTime::UNIX_EPOCH;
            let digest = digest(b"salt", &namespace(), position, at, &what);
            head = link(&head, &digest);
            entries.push(Entry {
                position,
                at,
                what,
                salt: Some(b"salt".to_vec()),
                digest: digest.to_vec(),
                hash: head.to_vec(),
                forgotten_by: None,
            });
        }
        entries
    }

    fn verify(entries: &[Entry], noted: &Entry, known: Option<(i64, Vec<u8>)>) -> Verified {
        let mut verifier = Verifier::new(namespace(), known);
        entries.iter().for_each(|entry| verifier.add(entry));
        verifier.finish((noted.position, &noted.hash))
    }

    fn problem(entries: &[Entry], noted: &Entry) -> Option<(i64, String)> {
        verify(entries, noted, None).broken
    }

    fn bury(entry: &mut Entry, by: i64) {
        (entry.what, entry.salt, entry.forgotten_by) = (NewAction::default(), None, Some(by));
    }

    #[test]
    fn every_change_is_told() {
        let whole = chain(&["", "", ""]);
        let last = whole[2].clone();
        assert_eq!(problem(&whole, &last), None);
        let mut changed = whole.clone();
        changed[1].what.summary = "something else".to_owned();
        assert_eq!(problem(&changed, &last).unwrap().0, 2);
        let mut rewritten = whole.clone();
        rewritten[1].what.summary = "something else".to_owned();
        let at = rewritten[1].at;
        rewritten[1].digest =
            digest(b"salt", &namespace(), 2, at, &rewritten[1].what.clone()).to_vec();
        assert_eq!(problem(&rewritten, &last).unwrap().0, 2);
        let missing = [whole[0].clone(), whole[2].clone()];
        assert_eq!(problem(&missing, &last), Some((2, "the entry is missing".to_owned())));
        assert_eq!(problem(&whole[..2], &last).unwrap().1, "the last entries are missing");
        let swapped = [whole[1].clone(), whole[0].clone(), whole[2].clone()];
        assert!(problem(&swapped, &last).is_some());
    }

    #[test]
    fn a_chain_written_anew_does_not_fit_what_is_known() {
        let whole = chain(&["", ""]);
        let last = whole[1].clone();
        assert!(verify(&whole, &last, Some((2, last.hash.clone()))).broken.is_none());
        assert_eq!(verify(&whole, &last, Some((1, vec![7; 32]))).broken.unwrap().0, 1);
        assert_eq!(verify(&whole, &last, Some((3, vec![7; 32]))).broken.unwrap().0, 3);
    }

    #[test]
    fn tombstones_are_told_of_or_found_out() {
        let mut whole = chain(&["", "", r#"{"tombstones":[1]}"#]);
        let last = whole[2].clone();
        bury(&mut whole[0], 3);
        let verified = verify(&whole, &last, None);
        assert_eq!((verified.broken, verified.tombstones), (None, 1));
        bury(&mut whole[1], 3);
        assert_eq!(problem(&whole, &last).unwrap().0, 2);
    }
}
