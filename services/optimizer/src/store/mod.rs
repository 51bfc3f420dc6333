//! SQL, and only SQL, behind one function for each question.

mod cases;
mod experiments;
mod scores;
mod switches;
mod versions;

use std::time::Duration;

use sqlx::PgPool;

use crate::error::Error;

pub use cases::{Case, NewCase};
pub use experiments::Experiment;
pub use scores::{AgentScore, NewScore, StoredScore};
pub use switches::{Cause, Switch};
pub use versions::Version;

/// The longest one question may take, with getting a connection: a store that is slower than that
/// counts as away.
const PATIENCE: Duration = Duration::from_secs(5);

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// Over connections that see this service's schema.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

async fn within<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        Err(Error::StoreUnavailable(format!("no answer within {} s", PATIENCE.as_secs())))
    })
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::Io(_)
            | E::Tls(_)
            | E::Protocol(_)
            | E::PoolTimedOut
            | E::PoolClosed
            | E::WorkerCrashed => Self::StoreUnavailable(error.to_string()),
            E::Database(refusal) if refusal.code().is_some_and(|code| passes(&code)) => {
                Self::StoreUnavailable(refusal.message().to_owned())
            }
            _ => Self::Store(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Store(format!("a stored value is not what this version writes: {error}"))
    }
}

/// SQLSTATEs that say "not now": connection failures, out of resources (a full disk among them),
/// shutting down or starting up, rolled back in favour of another transaction.
fn passes(code: &str) -> bool {
    ["08", "53", "57P", "40"].iter().any(|class| code.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::passes;

    #[test]
    fn a_store_that_starts_up_is_away_and_one_that_refuses_is_not() {
        for away in ["57P03", "57P01", "53100", "53300", "08006", "40P01"] {
            assert!(passes(away), "{away}");
        }
        for refusal in ["23505", "42P01", "22P05"] {
            assert!(!passes(refusal), "{refusal}");
        }
    }
}
