//! What changed: noted in the transaction that changes it, for whoever watches.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::Store;
use crate::{
    error::MemoryError,
    knowledge::{Kind, Namespace, belief::ChangeKind},
};

/// How long changes are kept.
const KEPT_DAYS: i64 = 30;

/// A change as it is told.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its number, without gaps in a namespace.
    pub sequence: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// What happened.
    pub kind: ChangeKind,
    /// To what.
    pub id: Uuid,
    /// Which is of this kind.
    pub item_kind: Kind,
}

/// What a transaction changes.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<(ChangeKind, Uuid, Kind)>);

impl Changes {
    pub(super) fn note(&mut self, change: ChangeKind, id: Uuid, kind: Kind) {
        self.0.push((change, id, kind));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Voids what caches hold of the namespace, and writes the changes down. The last part of every
    /// writing transaction: others of the namespace wait for it from here on. Versions are never
    /// behind the time, so that a database that was wiped, or restored to an earlier time, never
    /// comes upon one that caches know by other answers.
    pub(super) async fn finish(
        self,
        connection: &mut PgConnection,
        namespace: &Namespace,
        at: DateTime<Utc>,
    ) -> Result<(), MemoryError> {
        let (mut kinds, mut ids, mut item_kinds) = (Vec::new(), Vec::new(), Vec::new());
        for (kind, id, item_kind) in self.0 {
            kinds.push(kind.number());
            ids.push(id);
            item_kinds.push(item_kind.number());
        }
        sqlx::query(
            "WITH moved AS (
               INSERT INTO namespaces (name, version, last_change)
               VALUES ($1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
                       cardinality($3::uuid[]))
               ON CONFLICT (name) DO UPDATE
                 SET version = greatest(namespaces.version + 1, excluded.version),
                     last_change = namespaces.last_change + excluded.last_change
               RETURNING last_change)
             INSERT INTO changes (namespace, sequence, at, kind, item_id, item_kind)
             SELECT $1, last_change - cardinality($3::uuid[]) + place, $5, kind, id, item_kind
               FROM moved, unnest($2::smallint[], $3::uuid[], $4::smallint[])
                             WITH ORDINALITY AS t (kind, id, item_kind, place)",
        )
        .bind(&namespace.0)
        .bind(kinds)
        .bind(ids)
        .bind(item_kinds)
        .bind(at)
        .execute(connection)
        .await?;
        Ok(())
    }
}

impl Store {
    /// Up to `limit` changes after number `after`, oldest first.
    ///
    /// # Errors
    /// When some of them are not kept any more.
    pub async fn changes_after(
        &self,
        namespace: &Namespace,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Change>, MemoryError> {
        let mut transaction = self.read(namespace).await?;
        let rows = sqlx::query(
            "SELECT sequence, at, kind, item_id, item_kind FROM changes
              WHERE namespace = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
        )
        .bind(&namespace.0)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *transaction)
        .await?;
        let mut changes = Vec::with_capacity(rows.len());
        for row in &rows {
            // The columns hold only numbers this service wrote.
            let kind = ChangeKind::of(row.try_get("kind")?).unwrap_or(ChangeKind::Recorded);
            changes.push(Change {
                sequence: row.try_get("sequence")?,
                at: row.try_get("at")?,
                kind,
                id: row.try_get("item_id")?,
                item_kind: Kind::of(row.try_get("item_kind")?).unwrap_or(Kind::Fact),
            });
        }
        let first = changes.first().map(|change| change.sequence);
        let last: i64 = sqlx::query_scalar(
            "SELECT coalesce(max(last_change), 0) FROM namespaces WHERE name = $1",
        )
        .bind(&namespace.0)
        .fetch_one(&mut *transaction)
        .await?;
        // 0 asks for all that are kept.
        let gap = after > 0 && first.map_or(last > after, |first| first > after + 1);
        if gap || after > last {
            return Err(MemoryError::SequenceGone { asked: after, last });
        }
        Ok(changes)
    }

    /// Drops changes that are older than they are kept; of each namespace only those before all that
    /// are kept, so that there are no gaps between these.
    pub async fn drop_old_changes(&self) -> Result<(), MemoryError> {
        sqlx::query(
            "WITH old AS (
               SELECT namespace, max(sequence) AS last FROM changes WHERE at < $1 GROUP BY namespace)
             DELETE FROM changes USING old
              WHERE changes.namespace = old.namespace AND sequence <= last AND NOT EXISTS (
                SELECT FROM changes AS kept
                 WHERE kept.namespace = old.namespace AND kept.sequence <= last AND kept.at >= $1)",
        )
            .bind(super::now() - TimeDelta::days(KEPT_DAYS))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
