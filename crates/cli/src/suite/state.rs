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
    /// Why the suite could not be started, if so.
    pub failure: Option<String>,
}

impl State {
    /// What the supervisor wrote down; nothing when there is none.
    #[must_use]
    pub fn read(layout: &Layout) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(layout.state_file()).ok()?).ok()
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
        let state = State { children, failure: None };
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
