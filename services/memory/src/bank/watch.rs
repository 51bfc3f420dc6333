//! What the system tells of a folder: that something changed, not what. Where it tells nothing, files
//! are looked at by the clock.

use std::path::{Path, PathBuf};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::sync::mpsc;

/// A folder's watcher.
#[derive(Debug)]
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    path: Option<PathBuf>,
    tell: mpsc::Sender<()>,
    told: mpsc::Receiver<()>,
}

impl Watch {
    pub(super) fn new() -> Self {
        // One is enough: whoever is told looks at everything.
        let (tell, told) = mpsc::channel(1);
        Self { watcher: None, path: None, tell, told }
    }

    /// Watches the folder at `path`, and no other any more.
    pub(super) fn watch(&mut self, path: &Path) {
        self.watcher = None;
        let tell = self.tell.clone();
        let handler = move |event: notify::Result<Event>| {
            let counts = event.is_ok_and(|event| changes(event.kind));
            if counts {
                // Full: somebody is told already.
                let _ = tell.try_send(());
            }
        };
        let watched = notify::recommended_watcher(handler).and_then(|mut watcher| {
            watcher.watch(path, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        match watched {
            Ok(watcher) => (self.watcher, self.path) = (Some(watcher), Some(path.to_owned())),
            Err(error) => tracing::warn!(%error, "the folder is looked at by the clock alone"),
        }
    }

    /// Something changed.
    pub(super) async fn event(&mut self) {
        if self.told.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether something may have changed: the service's own reading of files has not.
fn changes(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}
