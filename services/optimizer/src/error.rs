//! What can go wrong here, and what to do about it.

use crate::peers::PeerError;

/// A failure of the optimizer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Neither the orchestrator nor the store knows it.
    #[error("no agent `{name}`; there are {known}")]
    UnknownAgent {
        /// As asked for.
        name: String,
        /// Those there are.
        known: String,
    },
    /// The agent never had it.
    #[error("agent `{agent}` has no {wanted}; it has {known}")]
    VersionNotFound {
        /// Whose.
        agent: String,
        /// For example "version `v7`".
        wanted: String,
        /// Those there are.
        known: String,
    },
    /// One optimisation of an agent at a time.
    #[error("agent `{0}` is being optimised already; try again when that has ended")]
    OptimizationRunning(String),
    /// The idempotency key belongs to another case.
    #[error("the idempotency key was used for another case; choose a new one")]
    KeyReused,
    /// The agent's cases are at their bound.
    #[error("agent `{agent}` has {bound} cases, which is the bound")]
    TooManyCases {
        /// Whose.
        agent: String,
        /// How many there may be.
        bound: i64,
    },
    /// PostgreSQL does not answer.
    #[error("PostgreSQL does not answer ({0}); nothing was changed")]
    StoreUnavailable(String),
    /// PostgreSQL refuses, or holds what this version does not understand.
    #[error("the store failed: {0}")]
    Store(String),
    /// Another service refuses or is away.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// A model's text is of no use.
    #[error("the model gave {0}")]
    BadReply(&'static str),
}

impl Error {
    /// Whether the same work, done later, may succeed.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::StoreUnavailable(_) => true,
            Self::Peer(error) => error.is_away(),
            _ => false,
        }
    }

    /// Whether the store is to blame.
    #[must_use]
    pub fn is_store(&self) -> bool {
        matches!(self, Self::StoreUnavailable(_) | Self::Store(_))
    }
}
