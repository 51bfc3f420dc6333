//! Deleting for good.
//!
//! What is asked for is found (`targets`), with all that is derived from it; then rows go, and with
//! them vectors, versions and grounds; what else tells of them goes, too (`traces`): counts of words,
//! names of actors, digests of requests, the content of the log's entries. What the deleted facts had
//! ended goes on.

mod targets;
mod traces;

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use self::targets::Found;
use super::{
    Store, actions,
    belief::{Spot, note_staleness, settle},
    changes::Changes,
    now,
};
use crate::{
    error::MemoryError,
    knowledge::{
        Kind, Namespace,
        belief::ChangeKind,
        log::{FORGOTTEN, NewAction},
    },
};

/// What is to be deleted.
#[derive(Debug, Clone)]
pub enum Target {
    /// A fact or an episode.
    Item(Uuid),
    /// An entity, by name or alias.
    Entity(String),
    /// What an actor said or did.
    Actor(String),
    /// What belongs to a session.
    Session(String),
    /// A document of the memory bank, by path.
    Document(String),
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// What is to be deleted.
    pub target: Target,
    /// And what names it.
    pub mentions: bool,
    /// Who asks.
    pub requested_by: String,
    /// Only count.
    pub dry_run: bool,
}

/// A copy outside.
#[derive(Debug, Clone)]
pub struct Export {
    /// When it was made.
    pub at: DateTime<Utc>,
    /// How much of what was deleted it holds.
    pub items: i64,
}

/// What was deleted.
#[derive(Debug, Clone, Default)]
pub struct Forgotten {
    /// By [`Kind::number`], from 1.
    pub items: [u64; 4],
    /// Entries of the log.
    pub tombstones: u64,
    /// Vectors of the items.
    pub vectors: u64,
    /// Copies outside.
    pub exports: Vec<Export>,
    /// Ids of items, and paths of documents, that still name what was deleted.
    pub remaining: Vec<String>,
}

impl Store {
    /// Deletes what is asked for and all that is derived from it, in one transaction.
    ///
    /// # Errors
    /// When there is no such item, entity or document.
    pub async fn forget(
        &self,
        namespace: &Namespace,
        wish: &Wish,
    ) -> Result<Forgotten, MemoryError> {
        let mut transaction = self.begin_believing(namespace).await?;
        let at = now();
        let found = targets::find(&mut transaction, namespace, wish).await?;
        let mut changes = Changes::default();
        let mut forgotten = Forgotten {
            vectors: traces::vectors(&mut transaction, &found.items).await?,
            exports: traces::exports(&mut transaction, &found.items).await?,
            tombstones: found.actions.len() as u64,
            ..Forgotten::default()
        };
        traces::uncount(&mut transaction, namespace, &found.items).await?;
        let spots = spots(&mut transaction, &found.items).await?;
        let gone = delete(&mut transaction, namespace, &found).await?;
        for (id, kind) in &gone {
            forgotten.items[kind.number() as usize - 1] += 1;
            changes.note(ChangeKind::Forgotten, *id, *kind);
        }
        let ids: Vec<Uuid> = gone.iter().map(|(id, _)| *id).collect();
        traces::actors(&mut transaction, namespace).await?;
        traces::keys(&mut transaction, namespace, &ids, &found.actions).await?;
        go_on(&mut transaction, spots, at, &mut changes).await?;
        if !gone.is_empty() || !found.actions.is_empty() {
            bury(&mut transaction, namespace, wish, &found, &forgotten).await?;
        }
        if let Some(pattern) = &found.pattern {
            forgotten.remaining = traces::mentions(&mut transaction, namespace, pattern).await?;
        }
        if wish.dry_run {
            transaction.rollback().await?;
        } else {
            changes.finish(&mut transaction, namespace, at).await?;
            transaction.commit().await?;
        }
        Ok(forgotten)
    }
}

/// Where the facts among `ids` stand: what they had ended there goes on without them.
async fn spots(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Spot>, MemoryError> {
    let rows = sqlx::query(
        "SELECT subject_id, predicate, min(valid_from), max(valid_from)
           FROM facts JOIN items USING (id) WHERE id = ANY($1)
          GROUP BY subject_id, predicate ORDER BY subject_id, predicate",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Spot {
                subject: row.try_get(0)?,
                predicate: row.try_get(1)?,
                from: row.try_get(2)?,
                to: row.try_get(3)?,
            })
        })
        .collect()
}

/// Lets what the deleted facts had ended go on, and what rests on that hold again.
async fn go_on(
    connection: &mut PgConnection,
    spots: Vec<Spot>,
    at: DateTime<Utc>,
    changes: &mut Changes,
) -> Result<(), MemoryError> {
    let mut revised = Vec::new();
    for spot in spots {
        revised.extend(settle(connection, &spot, at).await?);
    }
    for id in &revised {
        changes.note(ChangeKind::Revised, *id, Kind::Fact);
    }
    if !revised.is_empty() {
        note_staleness(connection, &revised, &[], at, changes).await?;
    }
    Ok(())
}

/// Deletes the rows, and entities that nothing is known of without them; tells what is gone.
async fn delete(
    connection: &mut PgConnection,
    namespace: &Namespace,
    found: &Found,
) -> Result<Vec<(Uuid, Kind)>, MemoryError> {
    let touched: Vec<Uuid> = sqlx::query_scalar(
        "SELECT DISTINCT entity FROM facts, unnest(ARRAY[subject_id, object_id]) AS entity
          WHERE id = ANY($1) AND entity IS NOT NULL",
    )
    .bind(&found.items)
    .fetch_all(&mut *connection)
    .await?;
    let mut gone = Vec::with_capacity(found.items.len());
    // Facts name the others.
    for kind in [Kind::Fact, Kind::Episode, Kind::Section] {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "DELETE FROM items WHERE id = ANY($1) AND kind = $2 AND namespace = $3 RETURNING id",
        )
        .bind(&found.items)
        .bind(kind.number())
        .bind(&namespace.0)
        .fetch_all(&mut *connection)
        .await?;
        gone.extend(ids.into_iter().map(|id| (id, kind)));
    }
    let bare: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM entities
          WHERE id = ANY($1)
             OR (id = ANY($2) AND aliases = '{}' AND NOT EXISTS (
                   SELECT FROM facts WHERE subject_id = entities.id OR object_id = entities.id)
                 AND NOT EXISTS (
                   SELECT FROM merges WHERE merges.namespace = entities.namespace
                      AND undone_at IS NULL AND (from_id = entities.id OR into_id = entities.id)))",
    )
    .bind(&found.items)
    .bind(touched)
    .fetch_all(&mut *connection)
    .await?;
    let counted: HashSet<&Uuid> = found.items.iter().collect();
    let others: Vec<Uuid> = bare.iter().filter(|id| !counted.contains(id)).copied().collect();
    traces::uncount(connection, namespace, &others).await?;
    sqlx::query("DELETE FROM items WHERE id = ANY($1) AND namespace = $2")
        .bind(&bare)
        .bind(&namespace.0)
        .execute(&mut *connection)
        .await?;
    gone.extend(bare.into_iter().map(|id| (id, Kind::Entity)));
    if let Some(path) = &found.document {
        traces::files(connection, namespace, path).await?;
        sqlx::query("DELETE FROM documents WHERE namespace = $1 AND path = $2")
            .bind(&namespace.0)
            .bind(path)
            .execute(connection)
            .await?;
    }
    Ok(gone)
}

/// Makes tombstones of the log's entries, and an entry that tells of them, without saying what was
/// forgotten.
async fn bury(
    connection: &mut PgConnection,
    namespace: &Namespace,
    wish: &Wish,
    found: &Found,
    forgotten: &Forgotten,
) -> Result<(), MemoryError> {
    let places: Vec<i64> = found.actions.iter().map(|(_, place)| *place).collect();
    let [episodes, facts, entities, sections] = forgotten.items;
    let summary = format!(
        "deleted {episodes} episodes, {facts} facts, {entities} entities, {sections} sections and \
         {} entries of this log",
        places.len()
    );
    let what = NewAction {
        actor: wish.requested_by.clone(),
        action: FORGOTTEN.to_owned(),
        summary,
        details: json!({ "tombstones": places }).to_string(),
        run_id: String::new(),
    };
    let (_, told_at) = actions::append(connection, namespace, what).await?;
    let ids: Vec<i64> = found.actions.iter().map(|(id, _)| *id).collect();
    sqlx::query(
        "UPDATE actions SET actor = '', action = '', summary = '', details = '', run_id = '',
                            salt = NULL, forgotten_by = $2
          WHERE id = ANY($1)",
    )
    .bind(ids)
    .bind(told_at)
    .execute(connection)
    .await?;
    Ok(())
}
