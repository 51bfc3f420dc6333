//! An entity with what is known of it.

use chrono::{DateTime, Utc};
use sqlx::Row;
use uuid::Uuid;

use crate::{error::MemoryError, knowledge::Namespace, store::Store};

/// An entity with what is known of it.
#[derive(Debug)]
pub struct Entity {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// Newest first, those that have ceased to be true included.
    pub facts: Vec<KnownFact>,
}

/// A fact as it is stored.
#[derive(Debug)]
pub struct KnownFact {
    /// Its id.
    pub id: Uuid,
    /// The entity's name.
    pub subject: String,
    /// What is said.
    pub predicate: String,
    /// Of what.
    pub object: String,
    /// When it became true.
    pub valid_from: DateTime<Utc>,
    /// When it ceased.
    pub valid_to: Option<DateTime<Utc>>,
    /// When it was written down.
    pub recorded_at: DateTime<Utc>,
    /// Where it was learned.
    pub episode_id: Option<Uuid>,
}

impl Store {
    /// An entity by name or alias.
    pub async fn entity(
        &self,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Option<Entity>, MemoryError> {
        let row = sqlx::query(
            "SELECT id, name, aliases FROM entities
              WHERE namespace = $1
                AND (lower(name) = lower($2)
                     OR EXISTS (SELECT FROM unnest(aliases) AS alias WHERE lower(alias) = lower($2)))
              ORDER BY lower(name) = lower($2) DESC LIMIT 1",
        )
        .bind(&namespace.0)
        .bind(name)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let id: Uuid = row.try_get("id")?;
        let facts = sqlx::query(
            "SELECT f.id, s.name AS subject, predicate, object, valid_from, valid_to, recorded_at,
                    episode_id
               FROM facts f JOIN items i USING (id) JOIN entities s ON s.id = subject_id
              WHERE (subject_id = $1 OR object_id = $1) AND retracted_at IS NULL
              ORDER BY valid_from DESC, f.id DESC LIMIT 500",
        )
        .bind(id)
        .fetch_all(&self.pool)
        .await?;
        let facts = facts.iter().map(|row| {
            Ok(KnownFact {
                id: row.try_get("id")?,
                subject: row.try_get("subject")?,
                predicate: row.try_get("predicate")?,
                object: row.try_get("object")?,
                valid_from: row.try_get("valid_from")?,
                valid_to: row.try_get("valid_to")?,
                recorded_at: row.try_get("recorded_at")?,
                episode_id: row.try_get("episode_id")?,
            })
        });
        Ok(Some(Entity {
            id,
            name: row.try_get("name")?,
            aliases: row.try_get("aliases")?,
            facts: facts.collect::<Result<_, MemoryError>>()?,
        }))
    }
}
