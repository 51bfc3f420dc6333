//! Keeps the markdown files of a folder and the documents of a namespace in step.
//!
//! A look (`pass`) compares files and documents and, for each that differ, does what
//! `knowledge::bank::step` says: a transaction of the store, or a change of the file (`replace`).
//! Looks follow what the system tells of the folder (`watch`), edits of agents, and the clock. What
//! a person writes into a file that was replaced just then is put back (`late`). Stopped at any
//! moment, the next look finds how to go on.

mod folder;
mod late;
mod pass;
mod replace;
mod watch;

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc, oneshot, watch as latest},
    time::Instant,
};

use self::{folder::Stamp, late::Kept};
use crate::{
    config::BankConfig, error::MemoryError, knowledge::Namespace, metrics::Metrics, store::Store,
};

/// Looks wait for one another, asked for or not; more are refused.
const MOST_ASKED: usize = 64;

/// How often a look is repeated before whoever asked for it is answered, though files are written on.
const MOST_LOOKS: u32 = 100;

/// One change of a file is told several times: the first waits for the others.
const TOGETHER: Duration = Duration::from_millis(10);

/// How long after a failure of the store the next look is.
const PAUSE: Duration = Duration::from_secs(1);

/// Somebody waits until files and documents are in step.
#[derive(Debug)]
pub(crate) struct Ask {
    /// Take it as deleted what is not there any more.
    pub(crate) accept_deletions: bool,
    /// Where to answer.
    pub(crate) answer: oneshot::Sender<()>,
}

/// What the last look found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    /// Files, or the folder with an empty path, that cannot be kept in step, and why.
    pub(crate) problems: Vec<(String, String)>,
}

/// What others see of the keeper.
#[derive(Debug, Clone)]
pub(crate) struct Bank {
    namespace: Namespace,
    folder: String,
    changed: Arc<Notify>,
    status: latest::Receiver<Status>,
    asks: mpsc::Sender<Ask>,
}

impl Bank {
    /// With the keeper that does the work; nothing watches while the folder has no name.
    pub(crate) fn new(
        config: &BankConfig,
        store: Store,
        metrics: Metrics,
        written: Arc<Notify>,
    ) -> (Self, Option<Keeper>) {
        let (tell, status) = latest::channel(Status::default());
        let (asks, asked) = mpsc::channel(MOST_ASKED);
        let (namespace, changed) = (Namespace(config.namespace.clone()), Arc::new(Notify::new()));
        let folder = config.folder.clone();
        let keeper = (!folder.is_empty()).then(|| Keeper {
            store,
            metrics,
            namespace: namespace.clone(),
            folder: PathBuf::from(&folder),
            settle: Duration::from_millis(config.settle_ms),
            scan: Duration::from_secs(config.scan_seconds),
            written,
            changed: Arc::clone(&changed),
            tell,
            asked,
            entered: None,
            seen: HashMap::new(),
            steady: HashMap::new(),
            missing: HashMap::new(),
            kept: Vec::new(),
            problems: Vec::new(),
            busy: false,
        });
        (Self { namespace, folder, changed, status, asks }, keeper)
    }

    /// The folder kept in step with `namespace`; nothing for none.
    pub(crate) fn folder_of(&self, namespace: &Namespace) -> &str {
        if *namespace == self.namespace { &self.folder } else { "" }
    }

    /// What the last look found, for `namespace`.
    pub(crate) fn problems(&self, namespace: &Namespace) -> Vec<(String, String)> {
        let none = self.folder_of(namespace).is_empty();
        if none { Vec::new() } else { self.status.borrow().problems.clone() }
    }

    /// A document changed here.
    pub(crate) fn changed(&self, namespace: &Namespace) {
        if *namespace == self.namespace {
            self.changed.notify_one();
        }
    }

    /// Waits until files and documents are in step.
    pub(crate) async fn sync(
        &self,
        namespace: &Namespace,
        accept_deletions: bool,
    ) -> Result<(), MemoryError> {
        if self.folder_of(namespace).is_empty() {
            return Err(MemoryError::NotWatched);
        }
        let (answer, answered) = oneshot::channel();
        let ask = Ask { accept_deletions, answer };
        // Whoever is not answered finds out by what he reads then.
        if self.asks.send(ask).await.is_ok() {
            let _ = answered.await;
        }
        Ok(())
    }
}

/// A file as it was when its text was read.
#[derive(Debug, Clone)]
struct Seen {
    stamp: Stamp,
    digest: Vec<u8>,
}

/// Keeps a folder in step.
#[derive(Debug)]
pub(crate) struct Keeper {
    store: Store,
    metrics: Metrics,
    namespace: Namespace,
    folder: PathBuf,
    settle: Duration,
    scan: Duration,
    /// There are sections without vectors.
    written: Arc<Notify>,
    /// Agents edited.
    changed: Arc<Notify>,
    tell: latest::Sender<Status>,
    asked: mpsc::Receiver<Ask>,
    /// The folder that is watched.
    entered: Option<(PathBuf, (u64, u64))>,
    seen: HashMap<String, Seen>,
    /// Files from a time to come: since when they are as they are.
    steady: HashMap<String, (Stamp, Instant)>,
    /// Files that are not there any more, since when.
    missing: HashMap<String, Instant>,
    kept: Vec<Kept>,
    problems: Vec<(String, String)>,
    /// Something has to be looked at again soon.
    busy: bool,
}

impl Keeper {
    /// Works until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut watch = watch::Watch::new();
        let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
        let (mut looks, mut accept_deletions) = (0, false);
        loop {
            let looked = self.look(&mut watch, accept_deletions).await;
            let pause = self.pause(&looked);
            let over = !self.busy || looked.is_err() || looks >= MOST_LOOKS;
            if over {
                for answer in waiting.drain(..) {
                    // Nobody waits any more.
                    let _ = answer.send(());
                }
                (looks, accept_deletions) = (0, false);
            }
            looks += 1;
            let ask = tokio::select! {
                ask = self.asked.recv() => ask,
                () = self.changed.notified() => None,
                () = watch.event() => {
                    tokio::time::sleep(TOGETHER).await;
                    None
                }
                () = tokio::time::sleep(pause) => None,
            };
            if let Some(ask) = ask {
                looks = 0;
                accept_deletions |= ask.accept_deletions;
                waiting.push(ask.answer);
            }
        }
    }

    fn pause(&self, looked: &Result<(), MemoryError>) -> Duration {
        match looked {
            Err(_) => PAUSE,
            Ok(()) if self.busy => self.settle / 2,
            Ok(()) if !self.kept.is_empty() => late::GRACE / 4,
            Ok(()) => self.scan,
        }
    }

    /// A look, and what it found is told.
    async fn look(
        &mut self,
        watch: &mut watch::Watch,
        accept_deletions: bool,
    ) -> Result<(), MemoryError> {
        self.problems.clear();
        self.busy = false;
        let looked = self.pass(watch, accept_deletions).await;
        match &looked {
            Ok(()) => {}
            Err(error @ MemoryError::StoreUnavailable(_)) => {
                tracing::debug!(%error, "files wait for the store");
            }
            Err(error) => tracing::warn!(%error, "files wait for the store"),
        }
        let before = self.tell.borrow().problems.clone();
        for (path, problem) in self.problems.iter().filter(|problem| !before.contains(problem)) {
            tracing::warn!(path, problem, "a file is not kept in step");
        }
        self.metrics.bank_problems.set(self.problems.len().try_into().unwrap_or(i64::MAX));
        self.tell.send_replace(Status { problems: self.problems.clone() });
        looked
    }
}
