//! Entities: their names, and what is known of them.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{
    Store,
    changes::Changes,
    facts::{KnownFact, known_facts},
    insert_item, new_id, now,
    tenant::lock_beliefs,
};
use crate::{
    error::MemoryError,
    knowledge::{
        Item, Kind, Namespace,
        belief::{ChangeKind, View},
    },
};

/// An entity has at most so many.
pub const MOST_ALIASES: usize = 64;
/// So many facts are given of an entity.
const MOST_FACTS: i64 = 500;

/// An entity with what is known of it.
#[derive(Debug)]
pub struct Entity {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What it is, for example "person".
    pub kind: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// Newest first.
    pub facts: Vec<KnownFact>,
}

impl Store {
    /// An entity by name or alias, with the facts about it: those true at the view's time, or
    /// with `ended` those that have ceased to be, too.
    pub async fn entity(
        &self,
        namespace: &Namespace,
        name: &str,
        view: &View,
        ended: bool,
    ) -> Result<Entity, MemoryError> {
        let mut transaction = self.read(namespace).await?;
        let entity = described(&mut transaction, namespace, name).await?;
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT f.id FROM facts f JOIN histories h ON h.item_id = f.id
              WHERE (subject_id = $1 OR object_id = $1) AND since <= $2 AND until > $2
                AND ($3 OR (valid_from <= $4 AND (valid_to IS NULL OR valid_to > $4)))
              ORDER BY valid_from DESC, f.id DESC LIMIT $5",
        )
        .bind(entity.id)
        .bind(view.known())
        .bind(ended)
        .bind(view.as_of)
        .bind(MOST_FACTS)
        .fetch_all(&mut *transaction)
        .await?;
        let facts = known_facts(&mut transaction, &ids, view).await?;
        Ok(Entity { facts, ..entity })
    }

    /// Gives an entity a type and more names; makes it when there is none of that name.
    ///
    /// # Errors
    /// When another entity has one of the names, or there would be too many.
    pub async fn describe(
        &self,
        namespace: &Namespace,
        name: &str,
        kind: &str,
        aliases: &[String],
    ) -> Result<Entity, MemoryError> {
        let mut transaction = self.begin(namespace).await?;
        lock_beliefs(&mut transaction, namespace).await?;
        let at = now();
        let mut changes = Changes::default();
        let id = found_or_made(&mut transaction, namespace, name, kind, at, &mut changes).await?;
        if !kind.is_empty() {
            sqlx::query("UPDATE entities SET type = $2 WHERE id = $1")
                .bind(id)
                .bind(kind)
                .execute(&mut *transaction)
                .await?;
        }
        for alias in aliases {
            call(&mut transaction, namespace, id, alias).await?;
        }
        let entity = described(&mut transaction, namespace, name).await?;
        if entity.aliases.len() > MOST_ALIASES {
            return Err(MemoryError::TooManyAliases(MOST_ALIASES));
        }
        changes.note(ChangeKind::Revised, id, Kind::Entity);
        changes.finish(&mut transaction, namespace, at).await?;
        transaction.commit().await?;
        Ok(entity)
    }
}

/// Lets an alias stand for an entity.
async fn call(
    connection: &mut PgConnection,
    namespace: &Namespace,
    id: Uuid,
    alias: &str,
) -> Result<(), MemoryError> {
    match by_name(connection, namespace, alias).await? {
        Some(known) if known == id => return Ok(()),
        Some(_) => return Err(MemoryError::AliasTaken(alias.to_owned())),
        None => {}
    }
    sqlx::query(
        "WITH named AS (INSERT INTO names VALUES ($2, lower($3), $1))
         UPDATE entities SET aliases = aliases || $3 WHERE id = $1",
    )
    .bind(id)
    .bind(&namespace.0)
    .bind(alias)
    .execute(connection)
    .await?;
    Ok(())
}

/// The entity that a name or alias stands for.
pub(super) async fn by_name(
    connection: &mut PgConnection,
    namespace: &Namespace,
    name: &str,
) -> Result<Option<Uuid>, MemoryError> {
    let known = sqlx::query_scalar(
        "SELECT entity_id FROM names WHERE namespace = $1 AND called = lower($2)",
    );
    Ok(known.bind(&namespace.0).bind(name).fetch_optional(connection).await?)
}

/// An entity, without what is known of it.
pub(super) async fn described(
    connection: &mut PgConnection,
    namespace: &Namespace,
    name: &str,
) -> Result<Entity, MemoryError> {
    let row = sqlx::query(
        "SELECT id, name, type, aliases FROM entities JOIN names ON entity_id = id
          WHERE names.namespace = $1 AND called = lower($2)",
    )
    .bind(&namespace.0)
    .bind(name)
    .fetch_optional(connection)
    .await?;
    let row = row.ok_or_else(|| MemoryError::NoEntity(name.to_owned()))?;
    Ok(Entity {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        kind: row.try_get("type")?,
        aliases: row.try_get("aliases")?,
        facts: Vec::new(),
    })
}

/// The entity of that name or alias; made when there is none. It gets a type if it has none.
pub(super) async fn found_or_made(
    connection: &mut PgConnection,
    namespace: &Namespace,
    name: &str,
    kind: &str,
    at: DateTime<Utc>,
    changes: &mut Changes,
) -> Result<Uuid, MemoryError> {
    if let Some(id) = by_name(connection, namespace, name).await? {
        if !kind.is_empty() {
            sqlx::query("UPDATE entities SET type = $2 WHERE id = $1 AND type = ''")
                .bind(id)
                .bind(kind)
                .execute(connection)
                .await?;
        }
        return Ok(id);
    }
    let item = Item {
        id: new_id(),
        kind: Kind::Entity,
        text: name.to_owned(),
        source: String::new(),
        actor: String::new(),
        session: String::new(),
        valid_from: at,
        valid_to: None,
        recorded_at: at,
    };
    insert_item(connection, namespace, &item).await?;
    sqlx::query(
        "WITH made AS (INSERT INTO entities (id, namespace, name, type) VALUES ($1, $2, $3, $4)
                       RETURNING id)
         INSERT INTO names SELECT $2, lower($3), id FROM made",
    )
    .bind(item.id)
    .bind(&namespace.0)
    .bind(name)
    .bind(kind)
    .execute(connection)
    .await?;
    changes.note(ChangeKind::Recorded, item.id, Kind::Entity);
    Ok(item.id)
}
