//! What the clock does: facts begin and cease to be true without anybody writing. Reads calculate it;
//! here it is noted for whoever watches.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Store, belief::note_staleness, changes::Changes, now};
use crate::{error::MemoryError, knowledge::Namespace};

/// Looked at again, for what was still being written.
const AGAIN: TimeDelta = TimeDelta::seconds(5);

impl Store {
    /// Notes what became stale or holds again since the last time because facts began or ceased.
    pub async fn note_clock(&self) -> Result<(), MemoryError> {
        let at = now();
        let due: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM namespaces WHERE EXISTS (
               SELECT FROM items
                WHERE namespace = name AND kind = 2 AND valid_to > clocked_to AND valid_to <= $1)
             OR EXISTS (
               SELECT FROM items
                WHERE namespace = name AND kind = 2 AND valid_from > clocked_to AND valid_from <= $1
                  AND valid_from > recorded_at)
              ORDER BY name",
        )
        .bind(at)
        .fetch_all(&self.pool)
        .await?;
        for name in &due {
            self.note_clock_of(&Namespace(name.clone()), at).await?;
        }
        // Rarely, for it writes to every namespace's row; and waiting for none of them.
        sqlx::query(
            "UPDATE namespaces SET clocked_to = $1
              WHERE name IN (
                SELECT name FROM namespaces
                 WHERE clocked_to < $1 - interval '1 minute' AND name <> ALL($2)
                   FOR UPDATE SKIP LOCKED)",
        )
        .bind(at - AGAIN)
        .bind(&due)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn note_clock_of(
        &self,
        namespace: &Namespace,
        at: DateTime<Utc>,
    ) -> Result<(), MemoryError> {
        let mut transaction = self.begin_believing(namespace).await?;
        let changed: Vec<Uuid> = sqlx::query_scalar(
            "SELECT items.id FROM items JOIN namespaces ON name = namespace
              WHERE namespace = $1 AND kind = 2
                AND ((valid_to > clocked_to AND valid_to <= $2)
                     OR (valid_from > clocked_to AND valid_from <= $2 AND valid_from > recorded_at))",
        )
        .bind(&namespace.0)
        .bind(at)
        .fetch_all(&mut *transaction)
        .await?;
        let mut changes = Changes::default();
        note_staleness(&mut transaction, &changed, &[], at, &mut changes).await?;
        sqlx::query("UPDATE namespaces SET clocked_to = $2 WHERE name = $1 AND clocked_to < $2")
            .bind(&namespace.0)
            .bind(at - AGAIN)
            .execute(&mut *transaction)
            .await?;
        if !changes.is_empty() {
            changes.finish(&mut transaction, namespace, at).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}
