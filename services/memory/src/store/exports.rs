//! Who took copies of what: deleting cannot reach them, only name them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Store, now};
use crate::{error::MemoryError, knowledge::Namespace};

/// So many exports are remembered of a namespace, the latest.
const MOST_EXPORTS: i64 = 1_000;

impl Store {
    /// Notes an export, begun at `since`, of all sections and the items `others`.
    pub async fn note_export(
        &self,
        namespace: &Namespace,
        since: DateTime<Utc>,
        others: &[Uuid],
    ) -> Result<(), MemoryError> {
        let mut transaction = self.begin(namespace).await?;
        // What was replaced meanwhile may be in it.
        sqlx::query(
            "WITH export AS (INSERT INTO exports (namespace, at) VALUES ($1, $2) RETURNING id)
             INSERT INTO exported (export_id, item_id, namespace)
             SELECT export.id, items.id, $1 FROM export, items
              WHERE namespace = $1
                AND (items.id = ANY($4)
                     OR (kind = 4 AND (retracted_at IS NULL OR retracted_at >= $3)))",
        )
        .bind(&namespace.0)
        .bind(now())
        .bind(since)
        .bind(others)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM exports WHERE namespace = $1 AND id <= (
               SELECT id FROM exports WHERE namespace = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)",
        )
        .bind(&namespace.0)
        .bind(MOST_EXPORTS)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}
