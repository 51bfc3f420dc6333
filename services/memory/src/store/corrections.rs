//! Taking back, taking that back, and correcting when something was true.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{
    Store,
    belief::{Spot, keep_version, note_staleness, settle},
    changes::Changes,
    now,
};
use crate::{
    error::MemoryError,
    knowledge::{
        Kind, Namespace,
        belief::{ChangeKind, Consequences},
    },
};

/// What is being corrected.
struct Corrected {
    kind: Kind,
    retracted: bool,
}

impl Store {
    /// Takes a fact or an episode back. Tells whether it was believed, and what followed.
    pub async fn retract(
        &self,
        namespace: &Namespace,
        id: Uuid,
        reason: &str,
    ) -> Result<(bool, Consequences), MemoryError> {
        let mut transaction = self.begin_believing(namespace).await?;
        let corrected = corrected(&mut transaction, id).await?;
        if corrected.retracted {
            return Ok((false, Consequences::default()));
        }
        let at = now();
        let changes = caught_up(&mut transaction, id, at).await?;
        sqlx::query("UPDATE items SET retracted_at = $2, reason = $3 WHERE id = $1")
            .bind(id)
            .bind(at)
            .bind(reason)
            .execute(&mut *transaction)
            .await?;
        let change = (ChangeKind::Retracted, id, corrected.kind);
        let consequences = follow(&mut transaction, namespace, change, at, changes).await?;
        transaction.commit().await?;
        Ok((true, consequences))
    }

    /// Takes a retraction back. Tells whether there was one, and what followed.
    pub async fn restore(
        &self,
        namespace: &Namespace,
        id: Uuid,
    ) -> Result<(bool, Consequences), MemoryError> {
        let mut transaction = self.begin_believing(namespace).await?;
        let corrected = corrected(&mut transaction, id).await?;
        if !corrected.retracted {
            return Ok((false, Consequences::default()));
        }
        let at = now();
        let changes = caught_up(&mut transaction, id, at).await?;
        keep_version(&mut transaction, id, at).await?;
        sqlx::query(
            "UPDATE items SET retracted_at = NULL, reason = '', revised_at = $2 WHERE id = $1",
        )
        .bind(id)
        .bind(at)
        .execute(&mut *transaction)
        .await?;
        let change = (ChangeKind::Restored, id, corrected.kind);
        let consequences = follow(&mut transaction, namespace, change, at, changes).await?;
        transaction.commit().await?;
        Ok((true, consequences))
    }

    /// Corrects when a fact was true; gives since when and until when it is now.
    ///
    /// # Errors
    /// When it is retracted, or would end before it begins.
    pub async fn revise(
        &self,
        namespace: &Namespace,
        id: Uuid,
        valid_from: Option<DateTime<Utc>>,
        valid_to: Option<DateTime<Utc>>,
    ) -> Result<(DateTime<Utc>, Option<DateTime<Utc>>, Consequences), MemoryError> {
        let mut transaction = self.begin_believing(namespace).await?;
        let missing = || MemoryError::NoItem { what: "fact", id: id.to_string() };
        let corrected = corrected(&mut transaction, id).await?;
        if corrected.kind != Kind::Fact {
            return Err(missing());
        }
        if corrected.retracted {
            return Err(MemoryError::Retracted(id.to_string()));
        }
        let at = now();
        let before = Spot::of(&mut transaction, id).await?;
        let before = before.ok_or_else(missing)?;
        let from = valid_from.unwrap_or(before.from);
        if valid_to.is_some_and(|to| to < from) {
            return Err(MemoryError::EndsBeforeItBegins(from));
        }
        let mut changes = caught_up(&mut transaction, id, at).await?;
        keep_version(&mut transaction, id, at).await?;
        sqlx::query(
            "WITH stated AS (UPDATE facts SET stated_to = $3 WHERE id = $1)
             UPDATE items SET valid_from = $2, valid_to = $3, revised_at = $4 WHERE id = $1",
        )
        .bind(id)
        .bind(from)
        .bind(valid_to)
        .bind(at)
        .execute(&mut *transaction)
        .await?;
        changes.note(ChangeKind::Revised, id, Kind::Fact);
        // What ended where it began goes on; what goes on where it begins now ends.
        let spot = Spot { from: before.from.min(from), to: before.from.max(from), ..before };
        let mut revised = settle(&mut transaction, &spot, at).await?;
        revised.retain(|other| *other != id);
        let changed = [vec![id], revised.clone()].concat();
        let consequences =
            note_staleness(&mut transaction, &changed, &[], at, &mut changes).await?;
        note_revised(&revised, &mut changes);
        let row = sqlx::query("SELECT valid_from, valid_to FROM items WHERE id = $1")
            .bind(id)
            .fetch_one(&mut *transaction)
            .await?;
        let validity = (row.try_get("valid_from")?, row.try_get("valid_to")?);
        changes.finish(&mut transaction, namespace, at).await?;
        transaction.commit().await?;
        Ok((validity.0, validity.1, Consequences { revised, ..consequences }))
    }
}

async fn corrected(connection: &mut PgConnection, id: Uuid) -> Result<Corrected, MemoryError> {
    let missing = || MemoryError::NoItem { what: "fact or episode", id: id.to_string() };
    let row = sqlx::query("SELECT kind, retracted_at IS NOT NULL FROM items WHERE id = $1")
        .bind(id)
        .fetch_optional(connection)
        .await?;
    let row = row.ok_or_else(missing)?;
    let kind = Kind::of(row.try_get(0)?).filter(|kind| matches!(kind, Kind::Fact | Kind::Episode));
    Ok(Corrected { kind: kind.ok_or_else(missing)?, retracted: row.try_get(1)? })
}

/// Notes what became stale or holds again by the clock of that which rests on `id`: it does not follow
/// from what comes now.
async fn caught_up(
    connection: &mut PgConnection,
    id: Uuid,
    at: DateTime<Utc>,
) -> Result<Changes, MemoryError> {
    let mut changes = Changes::default();
    note_staleness(connection, &[id], &[], at, &mut changes).await?;
    Ok(changes)
}

/// What follows from a change to one item.
async fn follow(
    connection: &mut PgConnection,
    namespace: &Namespace,
    (change, id, kind): (ChangeKind, Uuid, Kind),
    at: DateTime<Utc>,
    mut changes: Changes,
) -> Result<Consequences, MemoryError> {
    changes.note(change, id, kind);
    let mut revised = match Spot::of(connection, id).await? {
        Some(spot) => settle(connection, &spot, at).await?,
        None => Vec::new(),
    };
    revised.retain(|other| *other != id);
    note_revised(&revised, &mut changes);
    let changed = [vec![id], revised.clone()].concat();
    let consequences = note_staleness(connection, &changed, &[], at, &mut changes).await?;
    changes.finish(connection, namespace, at).await?;
    Ok(Consequences { revised, ..consequences })
}

fn note_revised(revised: &[Uuid], changes: &mut Changes) {
    for id in revised {
        changes.note(ChangeKind::Revised, *id, Kind::Fact);
    }
}
