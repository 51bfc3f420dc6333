//! Entities that are one: how reads see what was merged.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::{error::MemoryError, knowledge::Namespace};

/// What was merged at a time. Merges are few beside entities, for each is somebody's decision; all
/// are read at once.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    into: HashMap<Uuid, Uuid>,
    members: HashMap<Uuid, Vec<Uuid>>,
}

impl Groups {
    /// As was known at `known`.
    pub(super) async fn known_at(
        connection: &mut PgConnection,
        namespace: &Namespace,
        known: DateTime<Utc>,
    ) -> Result<Self, MemoryError> {
        let rows = sqlx::query(
            "SELECT from_id, into_id FROM merges
              WHERE namespace = $1 AND merged_at <= $2 AND (undone_at IS NULL OR undone_at > $2)",
        )
        .bind(&namespace.0)
        .bind(known)
        .fetch_all(connection)
        .await?;
        let mut groups = Self::default();
        for row in &rows {
            groups.into.insert(row.try_get(0)?, row.try_get(1)?);
        }
        let merged: Vec<Uuid> = groups.into.keys().copied().collect();
        for id in merged {
            groups.members.entry(groups.root(id)).or_default().push(id);
        }
        Ok(groups)
    }

    /// What an entity stands for.
    pub(super) fn root(&self, id: Uuid) -> Uuid {
        let mut at = id;
        // At no time do merges lead in a circle; more steps than there are merges would.
        for _ in 0..=self.into.len() {
            match self.into.get(&at) {
                Some(next) => at = *next,
                None => break,
            }
        }
        at
    }

    /// All that stand for what one of `ids` stands for, themselves among them.
    pub(super) fn members(&self, ids: &[Uuid]) -> Vec<Uuid> {
        if self.into.is_empty() {
            return ids.to_vec();
        }
        let mut all = Vec::with_capacity(ids.len());
        for id in ids {
            let root = self.root(*id);
            all.push(root);
            all.extend(self.members.get(&root).into_iter().flatten());
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}
