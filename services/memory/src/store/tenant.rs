//! Transactions that see one namespace: the policies of row-level security bind them.

use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};

use super::Store;
use crate::{error::MemoryError, knowledge::Namespace};

impl Store {
    /// A transaction that writes. Its statements are always the same ones: planning them for their
    /// parameters takes longer than they do.
    pub(super) async fn begin(
        &self,
        namespace: &Namespace,
    ) -> Result<Transaction<'static, Postgres>, MemoryError> {
        self.entered("BEGIN; SET LOCAL plan_cache_mode = force_generic_plan", namespace).await
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
        Namespace(name): &Namespace,
    ) -> Result<Transaction<'static, Postgres>, MemoryError> {
        // Names of namespaces are letters, digits and a few signs; a quote would stand for itself.
        let name = name.replace('\'', "''");
        let begin = format!(
            "{begin}; SET LOCAL alina.namespace = '{name}'; SET LOCAL ROLE alina_memory_tenant"
        );
        Ok(self.pool.begin_with(AssertSqlSafe(begin)).await?)
    }
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

/// Lets one transaction at a time change what the namespace believes: whoever changes a ground sees
/// everything that rests on it. Held until the transaction ends.
pub(super) async fn lock_beliefs(
    connection: &mut PgConnection,
    namespace: &Namespace,
) -> Result<(), MemoryError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('beliefs:' || $1, 0))")
        .bind(&namespace.0)
        .execute(connection)
        .await?;
    Ok(())
}
