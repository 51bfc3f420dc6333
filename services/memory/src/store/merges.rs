//! Merging entities that are one, and undoing that.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{
    Store, actions,
    belief::{Spot, note_staleness, settle},
    changes::Changes,
    entities::by_name,
    groups::Groups,
    new_id, now,
};
use crate::{
    error::MemoryError,
    knowledge::{
        Kind, Namespace,
        belief::{ChangeKind, Consequences, LATEST},
        log::NewAction,
    },
};

impl Store {
    /// Lets the entity called `from`, with all merged into it, stand for the same as the one called
    /// `into`. Tells whether it did not before, and what followed.
    ///
    /// # Errors
    /// When nobody is called so.
    pub async fn merge(
        &self,
        namespace: &Namespace,
        (into, from): (&str, &str),
        requested_by: &str,
    ) -> Result<(bool, Consequences), MemoryError> {
        let mut transaction = self.begin_believing(namespace).await?;
        let groups = Groups::known_at(&mut transaction, namespace, LATEST).await?;
        let into = groups.root(known(&mut transaction, namespace, into).await?);
        let from = groups.root(known(&mut transaction, namespace, from).await?);
        if into == from {
            return Ok((false, Consequences::default()));
        }
        let at = now();
        sqlx::query(
            "INSERT INTO merges (namespace, id, from_id, into_id, merged_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&namespace.0)
        .bind(new_id())
        .bind(from)
        .bind(into)
        .bind(at)
        .execute(&mut *transaction)
        .await?;
        let told = Told { action: "memory.merged", from, into, requested_by };
        let touched = groups.members(&[into, from]);
        let consequences = told.follow(&mut transaction, namespace, &touched, at).await?;
        transaction.commit().await?;
        Ok((true, consequences))
    }

    /// Lets the entity called `name` stand for itself again, with all that had been merged into it.
    /// Tells whether it was merged, and what followed.
    ///
    /// # Errors
    /// When nobody is called so.
    pub async fn unmerge(
        &self,
        namespace: &Namespace,
        name: &str,
        requested_by: &str,
    ) -> Result<(bool, Consequences), MemoryError> {
        let mut transaction = self.begin_believing(namespace).await?;
        let from = known(&mut transaction, namespace, name).await?;
        let groups = Groups::known_at(&mut transaction, namespace, LATEST).await?;
        let at = now();
        let into: Option<Uuid> = sqlx::query_scalar(
            "UPDATE merges SET undone_at = greatest($3, merged_at)
              WHERE namespace = $1 AND from_id = $2 AND undone_at IS NULL RETURNING into_id",
        )
        .bind(&namespace.0)
        .bind(from)
        .bind(at)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(into) = into else { return Ok((false, Consequences::default())) };
        let told = Told { action: "memory.unmerged", from, into, requested_by };
        let touched = groups.members(&[from]);
        let consequences = told.follow(&mut transaction, namespace, &touched, at).await?;
        transaction.commit().await?;
        Ok((true, consequences))
    }
}

async fn known(
    connection: &mut PgConnection,
    namespace: &Namespace,
    name: &str,
) -> Result<Uuid, MemoryError> {
    let id = by_name(connection, namespace, name).await?;
    id.ok_or_else(|| MemoryError::NoEntity(name.to_owned()))
}

/// What was done.
struct Told<'a> {
    action: &'static str,
    from: Uuid,
    into: Uuid,
    requested_by: &'a str,
}

impl Told<'_> {
    /// Lets facts about `touched` end each other, or go on, as is right now, and tells of it all.
    async fn follow(
        &self,
        connection: &mut PgConnection,
        namespace: &Namespace,
        touched: &[Uuid],
        at: DateTime<Utc>,
    ) -> Result<Consequences, MemoryError> {
        let mut changes = Changes::default();
        for id in [self.from, self.into] {
            changes.note(ChangeKind::Revised, id, Kind::Entity);
        }
        let mut revised = Vec::new();
        for spot in spots(connection, namespace, touched).await? {
            revised.extend(settle(connection, &spot, at).await?);
        }
        revised.sort_unstable();
        revised.dedup();
        for id in &revised {
            changes.note(ChangeKind::Revised, *id, Kind::Fact);
        }
        let consequences = note_staleness(connection, &revised, &[], at, &mut changes).await?;
        // Names are not for the log: it outlives them.
        let what = NewAction {
            actor: self.requested_by.to_owned(),
            action: self.action.to_owned(),
            summary: format!("the entity {} and the entity {}", self.from, self.into),
            details: String::new(),
            run_id: String::new(),
        };
        actions::append(connection, namespace, what).await?;
        changes.finish(connection, namespace, at).await?;
        Ok(Consequences { revised, ..consequences })
    }
}

/// Where facts about `entities` stand that may end others or be ended. All of time: others' validity
/// changes with what is one.
async fn spots(
    connection: &mut PgConnection,
    namespace: &Namespace,
    entities: &[Uuid],
) -> Result<Vec<Spot>, MemoryError> {
    let rows = sqlx::query(
        "SELECT subject_id, predicate, min(valid_from) AS first, max(valid_from) AS last
           FROM facts JOIN items ON items.id = facts.id
          WHERE facts.namespace = $1 AND items.namespace = $1
            AND (subject_id = ANY($2) OR object_id = ANY($2))
          GROUP BY subject_id, predicate
         HAVING bool_or(functional) OR bool_or(starts_with(predicate, 'no_longer_'))
          ORDER BY subject_id, predicate",
    )
    .bind(&namespace.0)
    .bind(entities)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Spot {
                subject: row.try_get("subject_id")?,
                predicate: row.try_get("predicate")?,
                from: row.try_get("first")?,
                to: row.try_get("last")?,
            })
        })
        .collect()
}
