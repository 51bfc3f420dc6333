//! The journal and everything else in PostgreSQL, behind one function for each question.

mod alerts;
mod events;
mod instructions;
mod leases;
mod outputs;
mod rows;
mod runs;
mod steps;
mod untold;

use std::time::Duration;

use sqlx::{PgConnection, PgPool, Row};

use crate::{
    error::Error,
    run::{OwnerId, RunId},
};

pub(crate) use instructions::Instructions;
pub(crate) use leases::Claim;
pub(crate) use steps::Begun;
pub(crate) use untold::Untold;

/// The longest one question may take, with getting a connection: a store that is slower than
/// that counts as away.
const PATIENCE: Duration = Duration::from_secs(5);

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: PgPool,
}

impl Store {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

async fn within<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        Err(Error::StoreUnavailable(format!("no answer within {} s", PATIENCE.as_secs())))
    })
}

/// Locks the run's row for the rest of the transaction and makes sure that `owner` still holds it.
async fn lock_owned(
    connection: &mut PgConnection,
    run: RunId,
    owner: OwnerId,
) -> Result<(), Error> {
    let held: bool = sqlx::query(
        "select owner is not distinct from $2 and state = 'running' as held
         from runs where id = $1 for update",
    )
    .bind(run.0)
    .bind(owner.0)
    .fetch_optional(connection)
    .await?
    .ok_or(Error::RunNotFound(run))?
    .try_get("held")?;
    if held { Ok(()) } else { Err(Error::LeaseLost(run)) }
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
