//! What keeps a database from running.

use std::{io, path::PathBuf};

/// A database cannot be started or stopped; each variant says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A program is nowhere to be found.
    #[error("{program} was found neither under {venv} nor on the system: run ./deploy/bootstrap setup", venv = .venv.display())]
    Missing {
        /// Which.
        program: &'static str,
        /// Where it was sought first.
        venv: PathBuf,
    },
    /// A file or folder is not usable.
    #[error("{path}: {cause}; is the disk full or the folder not writable?", path = .path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The port is in use.
    #[error("port {port} of 127.0.0.1 is taken by another program ({program} needs it)")]
    PortTaken {
        /// Which.
        port: u16,
        /// Who needs it.
        program: &'static str,
    },
    /// It ended, or did not answer in time.
    #[error("{program} did not start: {cause}. Its last words:\n{tail}")]
    NotReady {
        /// Which.
        program: &'static str,
        /// What happened.
        cause: String,
        /// The end of its log.
        tail: String,
    },
    /// The process could not be handled.
    #[error("{program}: {cause}")]
    Process {
        /// Which.
        program: &'static str,
        /// What the system said.
        cause: io::Error,
    },
}

impl LocalError {
    pub(crate) fn path(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Path { path, cause }
    }
}
