//! How the children are, written down for `alina status`.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::Layout;

/// One child.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildState {
    /// `postgres`, `redis` or a service's name.
    pub name: String,
    /// While it runs.
    pub pid: Option<u32>,
    /// When that process was born, in clock ticks since the machine's start.
    #[serde(default)]
    pub born: Option<u64>,
    /// Whether it answered when last asked.
    pub healthy: bool,
    /// How often it was started again.
    pub restarts: u32,
    /// What happened last, for example how it ended.
    pub note: String,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// In the order of their start.
    pub children: Vec<ChildState>,
    /// The process that wrote this.
    #[serde(default)]
    pub supervisor: u32,
    /// Which start of the machine that was.
    #[serde(default)]
    pub boot: String,
    /// Why the suite could not be started, if so.
    pub failure: Option<String>,
}

impl ChildState {
    /// It runs as process `pid` now, or not at all.
    pub(super) fn runs_as(&mut self, pid: Option<u32>) {
        self.pid = pid;
        self.born = pid.and_then(birth);
    }

    pub(super) fn has_ended(&mut self) {
        self.runs_as(None);
        self.healthy = false;
    }
}

/// When a process was born, while it lives.
pub(super) fn birth(pid: u32) -> Option<u64> {
    let process = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?;
    process.stat().ok().filter(|stat| stat.state != 'Z').map(|stat| stat.starttime)
}

/// Differs after each start of the machine.
fn boot() -> String {
    procfs::sys::kernel::random::boot_id().unwrap_or_default()
}

impl State {
    /// What the supervisor wrote down; nothing when there is none.
    #[must_use]
    pub fn read(layout: &Layout) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(layout.state_file()).ok()?).ok()
    }

    /// Whether it was written since the machine started.
    pub(super) fn is_of_this_boot(&self) -> bool {
        self.boot == boot()
    }

    /// Whether every child answers.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.children.is_empty() && self.children.iter().all(|child| child.healthy)
    }
}

/// The supervisor's own copy, written down at each change.
#[derive(Debug, Clone)]
pub(super) struct Board {
    file: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Board {
    pub(super) fn new(layout: &Layout, names: impl IntoIterator<Item = String>) -> Self {
        let child = |name| ChildState { name, ..ChildState::default() };
        let children = names.into_iter().map(child).collect();
        let state = State { children, supervisor: std::process::id(), boot: boot(), failure: None };
        let board = Self { file: layout.state_file(), state: Arc::new(Mutex::new(state)) };
        board.change(|_| ());
        board
    }

    /// Changes one child's entry.
    pub(super) fn child(&self, name: &str, change: impl FnOnce(&mut ChildState)) {
        self.change(|state| {
            if let Some(child) = state.children.iter_mut().find(|child| child.name == name) {
                change(child);
            }
        });
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.clone();
        change(&mut state);
        if *state != before || !self.file.exists() {
            let draft = self.file.with_extension("draft");
            let text = serde_json::to_vec(&*state).unwrap_or_default();
            // `status` shows less when the disk is full; the suite itself goes on.
            let _ = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, &self.file));
        }
    }
}
