//! What can go wrong, and what to do about it.

use crate::exchange::Refusal;

/// A request cannot be served.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TradingError {
    /// The exchange refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The client order id stands for another order.
    #[error("client_order_id `{0}` was used for another order: use a new one")]
    KeyReused(String),
    /// PostgreSQL does not answer.
    #[error("PostgreSQL does not answer ({0}); try again with the same client_order_id")]
    StoreUnavailable(String),
    /// PostgreSQL refused: a fault in this service.
    #[error("PostgreSQL refused: {0}")]
    Store(String),
    /// Too many orders at once.
    #[error("too many requests wait already; try again")]
    Busy,
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
}

impl From<sqlx::Error> for TradingError {
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
