//! The suite on this machine, without containers: PostgreSQL, Redis and the six services as child
//! processes of one supervisor, started again when they end, stopped in order.
//!
//! `alina up` starts the supervisor in the background (`background`); it runs the children
//! (`supervisor`, `child`), keeps their logs (`log`) and writes down how they are (`state`).

mod background;
mod child;
mod layout;
mod log;
mod orphans;
mod secrets;
mod state;
mod supervisor;

use std::path::PathBuf;

pub use background::{down, is_running, up};
pub use layout::Layout;
pub use secrets::make_secret;
pub use state::{ChildState, State};
pub use supervisor::supervise;

/// The suite cannot be started or stopped; each variant says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] alina_service::ConfigError),
    /// A database cannot be run.
    #[error(transparent)]
    Local(#[from] alina_local::LocalError),
    /// A folder cannot be used.
    #[error("{path}: {cause}; is the disk full or the folder not writable?", path = .path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A port is in use.
    #[error("{address} ({key} in config.yaml) is taken by {holder}")]
    PortTaken {
        /// Which.
        address: std::net::SocketAddr,
        /// The key that names it.
        key: String,
        /// Who has it.
        holder: String,
    },
    /// A program is missing.
    #[error("{path} is missing: build it with ./deploy/bootstrap build", path = .path.display())]
    Program {
        /// Which.
        path: PathBuf,
    },
    /// It did not get healthy.
    #[error("{name} did not get healthy; its log ({log}) ends:\n{tail}", log = .log.display())]
    Unhealthy {
        /// Which.
        name: String,
        /// Its log.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// The supervisor does not end.
    #[error("the supervisor (process {pid}) did not end; kill it with: kill -9 {pid}")]
    Stuck {
        /// Its process.
        pid: u32,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl SuiteError {
    pub(crate) fn path(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Path { path, cause }
    }
}
