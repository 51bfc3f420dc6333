//! What can go wrong, and what to do about it.

/// A request cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// PostgreSQL does not answer.
    #[error("PostgreSQL does not answer ({0}); nothing was written, try again")]
    StoreUnavailable(String),
    /// PostgreSQL refused: a fault in this service.
    #[error("PostgreSQL refused: {0}")]
    Store(String),
    /// The key stands for something else.
    #[error("idempotency_key `{0}` was used for other content: use a new key")]
    KeyReused(String),
    /// No such entity.
    #[error("no entity `{0}` is known")]
    NoEntity(String),
    /// What was stored with a key cannot be read any more.
    #[error("the answer stored for a key cannot be read: {0}")]
    StoredAnswer(#[from] serde_json::Error),
}

impl From<sqlx::Error> for MemoryError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{Io, PoolClosed, PoolTimedOut, Protocol, WorkerCrashed};
        // 57P01 to 57P05: the server is stopping, starting or was killed; 53300: no connection left.
        let away = match &error {
            Io(_) | PoolTimedOut | PoolClosed | WorkerCrashed | Protocol(_) => true,
            sqlx::Error::Database(refusal) => {
                refusal.code().is_some_and(|code| code.starts_with("57P0") || code == "53300")
            }
            _ => false,
        };
        if away {
            Self::StoreUnavailable(error.to_string())
        } else {
            Self::Store(error.to_string())
        }
    }
}
