//! What the clients know: what was acknowledged to them.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use uuid::Uuid;

pub(super) const NAMESPACES: [&str; 2] = ["default", "other"];

/// An item that was written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) namespace: &'static str,
    pub(super) id: Uuid,
    pub(super) text: String,
}

/// A functional fact that was written; another one rests on it.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// Seconds at which it became true.
    pub(super) from: i64,
    pub(super) object: String,
}

/// Something forgotten, with what was derived from it.
#[derive(Debug, Clone)]
pub(super) struct Forgotten {
    pub(super) ids: Vec<Uuid>,
    pub(super) text: String,
}

/// A place of a chain and the hash it had.
pub(super) type Head = (u64, String);

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) stop: AtomicBool,
    /// Calls.
    acknowledged: AtomicUsize,
    /// Answers to requests that had been done before, though nobody was told.
    pub(super) repeated: AtomicUsize,
    /// Calls that failed.
    pub(super) failed: AtomicUsize,
    pub(super) searches: AtomicUsize,
    pub(super) changes: AtomicU64,
    pub(super) episodes: Mutex<Vec<Written>>,
    pub(super) facts: Mutex<Vec<Written>>,
    /// By namespace and gauge.
    pub(super) gauges: Mutex<BTreeMap<(&'static str, String), Vec<Shown>>>,
    /// Whether a fact is retracted.
    pub(super) corrected: Mutex<BTreeMap<(&'static str, Uuid), bool>>,
    pub(super) forgotten: Mutex<Vec<Forgotten>>,
    /// Summaries by namespace.
    pub(super) actions: Mutex<BTreeMap<&'static str, Vec<String>>>,
    pub(super) heads: Mutex<BTreeMap<&'static str, Vec<Head>>>,
}

impl Ledger {
    pub(super) fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// So many calls more.
    pub(super) fn acknowledge(&self, calls: usize) {
        self.acknowledged.fetch_add(calls, Ordering::Relaxed);
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Ids of what is acknowledged and stays.
    pub(super) fn items(&self) -> Vec<Uuid> {
        let (episodes, facts) = (self.episodes.lock().unwrap(), self.facts.lock().unwrap());
        episodes.iter().chain(facts.iter()).map(|written| written.id).collect()
    }
}

impl Display for Ledger {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let actions: usize = self.actions.lock().unwrap().values().map(Vec::len).sum();
        let (episodes, facts) = (self.episodes.lock().unwrap(), self.facts.lock().unwrap());
        let (corrected, forgotten) =
            (self.corrected.lock().unwrap().len(), self.forgotten.lock().unwrap().len());
        write!(
            to,
            "acknowledged: {} episodes, {} facts, {actions} actions, {corrected} retracted or \
             restored, {forgotten} forgotten; {} requests were found done when sent again; {} calls \
             failed, {} changes watched, {} searches",
            episodes.len(),
            facts.len(),
            count(&self.repeated),
            count(&self.failed),
            self.changes.load(Ordering::Relaxed),
            count(&self.searches),
        )
    }
}
