//! Who took copies of what: deleting cannot reach them, only name them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Store, now};
use crate::{error::MemoryError, knowledge::Namespace};

/// So many exports are remembered of a namespace, the latest.
const MOST_EXPORTS: i64 = 1_000;

impl Store {
    /// Notes an export of everything, which is about to begin; gives its number.
    pub async fn note_whole_export(&self, namespace: &Namespace) -> Result<i64, MemoryError> {
        let mut transaction = self.begin(namespace).await?;
        let id = sqlx::query_scalar(
            "INSERT INTO exports (namespace, at, whole) VALUES ($1, $2, true) RETURNING id",
        );
        let id = id.bind(&namespace.0).bind(now()).fetch_one(&mut *transaction).await?;
        drop_old(&mut transaction, namespace).await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// Notes that an export holds what was written down until now.
    pub async fn export_holds_until_now(
        &self,
        namespace: &Namespace,
        export: i64,
    ) -> Result<(), MemoryError> {
        let mut transaction = self.begin(namespace).await?;
        sqlx::query("UPDATE exports SET at = $3 WHERE namespace = $1 AND id = $2")
            .bind(&namespace.0)
            .bind(export)
            .bind(now())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

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
        drop_old(&mut transaction, namespace).await?;
        transaction.commit().await?;
        Ok(())
    }
}

async fn drop_old(connection: &mut PgConnection, namespace: &Namespace) -> Result<(), MemoryError> {
    sqlx::query(
        "DELETE FROM exports WHERE namespace = $1 AND id <= (
           SELECT id FROM exports WHERE namespace = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)",
    )
    .bind(&namespace.0)
    .bind(MOST_EXPORTS)
    .execute(connection)
    .await?;
    Ok(())
}
