//! Entities: their names, and what is known of them.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{
    Store,
    changes::Changes,
    facts::{KnownFact, known_facts},
    groups::Groups,
    items::insert_items,
    new_id, now,
};
use crate::{
    error::MemoryError,
    knowledge::{
        Item, Kind, Namespace,
        belief::{ChangeKind, LATEST, View},
    },
};

/// An entity has at most so many.
pub const MOST_ALIASES: usize = 64;
/// So many facts are given of an entity.
const MOST_FACTS: i64 = 500;

/// An entity with what is known of it; with what is merged into it, if something is.
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
    /// Its id and those of what is merged into it.
    pub(super) ids: Vec<Uuid>,
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
        let groups = Groups::known_at(&mut transaction, namespace, view.known()).await?;
        let entity = described(&mut transaction, namespace, name, &groups).await?;
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT f.id FROM facts f JOIN histories h ON h.item_id = f.id
              WHERE (subject_id = ANY($1) OR object_id = ANY($1)) AND since <= $2 AND until > $2
                AND ($3 OR (valid_from <= $4 AND (valid_to IS NULL OR valid_to > $4)))
              ORDER BY valid_from DESC, f.id DESC LIMIT $5",
        )
        .bind(&entity.ids)
        .bind(view.known())
        .bind(ended)
        .bind(view.as_of)
        .bind(MOST_FACTS)
        .fetch_all(&mut *transaction)
        .await?;
        let facts = known_facts(&mut transaction, &groups, &ids, view).await?;
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
        let mut transaction = self.begin_believing(namespace).await?;
        let at = now();
        let mut changes = Changes::default();
        let id = found_or_made(&mut transaction, namespace, name, kind, at, &mut changes).await?;
        let groups = Groups::known_at(&mut transaction, namespace, LATEST).await?;
        if !kind.is_empty() {
            sqlx::query("UPDATE entities SET type = $3 WHERE namespace = $1 AND id = ANY($2)")
                .bind(&namespace.0)
                .bind([id, groups.root(id)])
                .bind(kind)
                .execute(&mut *transaction)
                .await?;
        }
        for alias in aliases {
            call(&mut transaction, namespace, id, alias, &groups).await?;
        }
        let own: i32 = sqlx::query_scalar(
            "SELECT cardinality(aliases) FROM entities WHERE namespace = $1 AND id = $2",
        )
        .bind(&namespace.0)
        .bind(id)
        .fetch_one(&mut *transaction)
        .await?;
        if usize::try_from(own).unwrap_or(usize::MAX) > MOST_ALIASES {
            return Err(MemoryError::TooManyAliases(MOST_ALIASES));
        }
        let entity = described(&mut transaction, namespace, name, &groups).await?;
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
    groups: &Groups,
) -> Result<(), MemoryError> {
    match by_name(connection, namespace, alias).await? {
        Some(known) if groups.root(known) == groups.root(id) => return Ok(()),
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

/// The entity that was given a name or alias, whatever it is merged into.
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

/// An entity, without what is known of it. The names of what is merged into it are names of it.
pub(super) async fn described(
    connection: &mut PgConnection,
    namespace: &Namespace,
    name: &str,
    groups: &Groups,
) -> Result<Entity, MemoryError> {
    let missing = || MemoryError::NoEntity(name.to_owned());
    let named = by_name(connection, namespace, name).await?.ok_or_else(missing)?;
    let id = groups.root(named);
    let ids = groups.members(&[id]);
    let rows = sqlx::query(
        "SELECT id, name, type, aliases FROM entities WHERE namespace = $1 AND id = ANY($2)
          ORDER BY id <> $3, id",
    )
    .bind(&namespace.0)
    .bind(&ids)
    .bind(id)
    .fetch_all(connection)
    .await?;
    let (first, merged) = rows.split_first().ok_or_else(missing)?;
    let mut entity = Entity {
        id,
        name: first.try_get("name")?,
        kind: first.try_get("type")?,
        aliases: first.try_get("aliases")?,
        facts: Vec::new(),
        ids,
    };
    for row in merged {
        entity.aliases.push(row.try_get("name")?);
        entity.aliases.extend(row.try_get::<Vec<String>, _>("aliases")?);
        if entity.kind.is_empty() {
            entity.kind = row.try_get("type")?;
        }
    }
    Ok(entity)
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
    let id = new_id();
    let item = Item {
        id,
        kind: Kind::Entity,
        text: name.to_owned(),
        source: String::new(),
        actor: String::new(),
        session: String::new(),
        valid_from: at,
        valid_to: None,
        recorded_at: at,
    };
    insert_items(connection, namespace, vec![item]).await?;
    sqlx::query(
        "WITH made AS (INSERT INTO entities (id, namespace, name, type) VALUES ($1, $2, $3, $4)
                       RETURNING id)
         , fresh AS (INSERT INTO unresolved SELECT $2, id FROM made)
         INSERT INTO names SELECT $2, lower($3), id FROM made",
    )
    .bind(id)
    .bind(&namespace.0)
    .bind(name)
    .bind(kind)
    .execute(connection)
    .await?;
    changes.note(ChangeKind::Recorded, id, Kind::Entity);
    Ok(id)
}
