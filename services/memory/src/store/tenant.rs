//! Transactions that see one namespace: the policies of row-level security bind them.

use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};

use super::Store;
use crate::{error::MemoryError, knowledge::Namespace};

/// Begins to write.
const WRITING: &str = "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan";
/// Lets a commit not wait for the disk. What is lost in a crash is all that came after some moment:
/// never a part of a transaction, and nothing before what somebody waited for.
const BEHIND: &str = "SET LOCAL synchronous_commit = off";

impl Store {
    /// A transaction that writes. Its statements are always the same ones: planning them for their
    /// parameters takes longer than they do.
    pub(super) async fn begin(
        &self,
        namespace: &Namespace,
    ) -> Result<Transaction<'static, Postgres>, MemoryError> {
        self.entered(WRITING, namespace).await
    }

    /// A transaction that changes what the namespace believes: one at a time, so that whoever changes
    /// a ground sees everything that rests on it.
    pub(super) async fn begin_believing(
        &self,
        namespace: &Namespace,
    ) -> Result<Transaction<'static, Postgres>, MemoryError> {
        let lock = format!(
            "{WRITING}; SELECT pg_advisory_xact_lock(hashtextextended('beliefs:{}', 0))",
            quoted(namespace)
        );
        self.entered(&lock, namespace).await
    }

    /// A transaction that writes what is made again if it is lost: its commit does not wait for the
    /// disk. Nobody may have been told of it.
    pub(super) async fn begin_behind(
        &self,
        namespace: &Namespace,
    ) -> Result<Transaction<'static, Postgres>, MemoryError> {
        self.entered(&format!("{WRITING}; {BEHIND}"), namespace).await
    }

    /// The same over all namespaces.
    pub(super) async fn begin_behind_all(
        &self,
    ) -> Result<Transaction<'static, Postgres>, MemoryError> {
        Ok(self.pool.begin_with(AssertSqlSafe(format!("{WRITING}; {BEHIND}"))).await?)
    }

    /// A transaction that reads: all its queries see the same state.
    pub(super) async fn read(
        &self,
        namespace: &Namespace,
    ) -> Result<Transaction<'static, Postgres>, MemoryError> {
        self.entered("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", namespace).await
    }

    /// Begins and enters in one round trip.
    async fn entered(
        &self,
        begin: &str,
        namespace: &Namespace,
    ) -> Result<Transaction<'static, Postgres>, MemoryError> {
        let begin = format!(
            "{begin}; SET LOCAL alina.namespace = '{}'; SET LOCAL ROLE alina_memory_tenant",
            quoted(namespace)
        );
        Ok(self.pool.begin_with(AssertSqlSafe(begin)).await?)
    }
}

/// Within quotes. Names of namespaces are letters, digits and a few signs; a quote would stand for
/// itself.
fn quoted(Namespace(name): &Namespace) -> String {
    name.replace('\'', "''")
}

/// Until the transaction ends.
pub(super) async fn enter(
    connection: &mut PgConnection,
    namespace: &Namespace,
) -> Result<(), MemoryError> {
    sqlx::query(
        "SELECT set_config('alina.namespace', $1, true),
                set_config('role', 'alina_memory_tenant', true)",
    )
    .bind(&namespace.0)
    .execute(connection)
    .await?;
    Ok(())
}
