//! Which entity a name stands for, and which entities may be one.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{Store, now};
use crate::{
    error::MemoryError,
    knowledge::{
        Namespace,
        resolution::{ALIKE, Candidate, NEAR, certain, is_part},
    },
};

/// So many names are compared.
const CANDIDATES: i64 = 16;
/// New entities looked at in one go.
const AT_ONCE: i64 = 16;
/// Longer names are not compared by trigrams.
const LONGEST: usize = 128;

/// A pair of entities that may be one.
#[derive(Debug, Clone)]
pub struct Suggestion {
    /// One of them: id, name, type.
    pub one: (Uuid, String, String),
    /// The other.
    pub other: (Uuid, String, String),
    /// How alike the names are, from 0 to 1.
    pub trigram: f64,
    /// How near in meaning, from 0 to 1; 0 when unknown.
    pub meaning: f64,
    /// Whether one name is a part of the other.
    pub part: bool,
}

/// The known name (in lower case) that a name stands for beyond doubt, though it is spelt otherwise.
pub(super) async fn resolved(
    connection: &mut PgConnection,
    namespace: &Namespace,
    name: &str,
) -> Result<Option<String>, MemoryError> {
    if name.len() > LONGEST {
        return Ok(None);
    }
    let rows = sqlx::query(
        "SELECT root_of($1, entity_id) AS id, called,
                similarity(called, lower($2))::float8 AS trigram
           FROM names WHERE namespace = $1 AND called % lower($2)
          ORDER BY trigram DESC, called LIMIT $3",
    )
    .bind(&namespace.0)
    .bind(name)
    .bind(CANDIDATES)
    .fetch_all(connection)
    .await?;
    let mut ids: Vec<Uuid> = Vec::new();
    let mut candidates = Vec::with_capacity(rows.len());
    for row in &rows {
        let id: Uuid = row.try_get("id")?;
        let entity = ids.iter().position(|known| *known == id).unwrap_or_else(|| {
            ids.push(id);
            ids.len() - 1
        });
        let (name, trigram) = (row.try_get("called")?, row.try_get("trigram")?);
        candidates.push(Candidate { name, trigram, entity });
    }
    let entity = certain(name, &candidates);
    let likest = candidates.into_iter().find(|candidate| Some(candidate.entity) == entity);
    Ok(likest.map(|candidate| candidate.name))
}

impl Store {
    /// Looks for entities that new ones may be one with, and keeps the pairs; tells how many new ones
    /// there were. Those whose name has no vector yet wait for it, but not for long.
    pub async fn suggest_merges(&self) -> Result<usize, MemoryError> {
        let rows = sqlx::query(
            "SELECT namespace, entity_id, name FROM unresolved u, LATERAL (
                 SELECT name FROM items i
                   JOIN entities e ON e.namespace = u.namespace AND e.id = entity_id
                  WHERE i.namespace = u.namespace AND i.id = entity_id
                    AND (embedding IS NOT NULL OR embedding_refused
                         OR recorded_at < now() - interval '1 minute')
                 OFFSET 0) AS entity
              ORDER BY namespace, entity_id LIMIT $1",
        )
        .bind(AT_ONCE)
        .fetch_all(&self.pool)
        .await?;
        for row in &rows {
            let namespace = Namespace(row.try_get("namespace")?);
            let (id, name) = (row.try_get("entity_id")?, row.try_get("name")?);
            self.suggest_for(&namespace, id, name).await?;
        }
        Ok(rows.len())
    }

    async fn suggest_for(
        &self,
        namespace: &Namespace,
        id: Uuid,
        name: String,
    ) -> Result<(), MemoryError> {
        let mut transaction = self.begin_behind(namespace).await?;
        let alike = alike(&mut transaction, namespace, id, &name).await?;
        let at = now();
        for (other, called, trigram, meaning) in alike {
            let part = is_part(&name, &called);
            let worth = trigram >= ALIKE || meaning >= NEAR || part;
            if worth {
                keep(&mut transaction, namespace, (id, other), (trigram, meaning, part), at)
                    .await?;
            }
        }
        sqlx::query("DELETE FROM unresolved WHERE namespace = $1 AND entity_id = $2")
            .bind(&namespace.0)
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Pairs that may be one and were never merged, the likeliest first.
    pub async fn merge_suggestions(
        &self,
        namespace: &Namespace,
        limit: i64,
    ) -> Result<Vec<Suggestion>, MemoryError> {
        let mut transaction = self.read(namespace).await?;
        let rows = sqlx::query(
            "SELECT one_id, other_id, one.name AS one, other.name AS other, one.type AS one_type,
                    other.type AS other_type, trigram::float8, meaning::float8, part
               FROM merge_suggestions s
               JOIN entities one ON one.namespace = $1 AND one.id = one_id
               JOIN entities other ON other.namespace = $1 AND other.id = other_id
              WHERE s.namespace = $1
                AND (one.type = other.type OR one.type = '' OR other.type = '')
                AND root_of($1, one_id) <> root_of($1, other_id)
                AND NOT EXISTS (SELECT FROM merges m WHERE m.namespace = $1
                   AND ((from_id = one_id AND into_id = other_id)
                        OR (from_id = other_id AND into_id = one_id)))
              ORDER BY greatest(trigram, meaning, CASE WHEN part THEN 0.75 ELSE 0 END) DESC,
                       one_id, other_id
              LIMIT $2",
        )
        .bind(&namespace.0)
        .bind(limit)
        .fetch_all(&mut *transaction)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Suggestion {
                    one: (row.try_get("one_id")?, row.try_get("one")?, row.try_get("one_type")?),
                    other: (
                        row.try_get("other_id")?,
                        row.try_get("other")?,
                        row.try_get("other_type")?,
                    ),
                    trigram: row.try_get("trigram")?,
                    meaning: row.try_get("meaning")?,
                    part: row.try_get("part")?,
                })
            })
            .collect()
    }
}

type Alike = Vec<(Uuid, String, f64, f64)>;

/// Entities called alike, or near in meaning.
async fn alike(
    connection: &mut PgConnection,
    namespace: &Namespace,
    id: Uuid,
    name: &str,
) -> Result<Alike, MemoryError> {
    // The index of vectors has items of all kinds: it is not searched to the end for entities.
    sqlx::query("SELECT set_config('hnsw.max_scan_tuples', '2000', true)")
        .execute(&mut *connection)
        .await?;
    let rows = sqlx::query(
        "WITH own AS MATERIALIZED (SELECT embedding FROM items WHERE namespace = $1 AND id = $2),
         named AS MATERIALIZED (
           SELECT entity_id AS id FROM names
            WHERE namespace = $1 AND called % lower($3) AND entity_id <> $2
            ORDER BY similarity(called, lower($3)) DESC LIMIT $4),
         near AS MATERIALIZED (
           SELECT id FROM items
            WHERE namespace = $1 AND kind = 3 AND embedding IS NOT NULL
              AND (SELECT embedding FROM own) IS NOT NULL
            ORDER BY embedding <=> (SELECT embedding FROM own) LIMIT 8)
         SELECT e.id, e.name, similarity(lower(e.name), lower($3))::float8 AS trigram,
                coalesce(1 - (i.embedding <=> own.embedding), 0)::float8 AS meaning
           FROM (SELECT id FROM named UNION SELECT id FROM near) AS other
           JOIN entities e ON e.namespace = $1 AND e.id = other.id
           JOIN items i ON i.namespace = $1 AND i.id = other.id, own
          WHERE e.id <> $2",
    )
    .bind(&namespace.0)
    .bind(id)
    .bind(name.get(..name.len().min(LONGEST)).unwrap_or(""))
    .bind(CANDIDATES)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok((
                row.try_get("id")?,
                row.try_get("name")?,
                row.try_get("trigram")?,
                row.try_get("meaning")?,
            ))
        })
        .collect()
}

async fn keep(
    connection: &mut PgConnection,
    namespace: &Namespace,
    (one, other): (Uuid, Uuid),
    (trigram, meaning, part): (f64, f64, bool),
    at: DateTime<Utc>,
) -> Result<(), MemoryError> {
    sqlx::query(
        "INSERT INTO merge_suggestions
           (namespace, one_id, other_id, trigram, meaning, part, found_at)
         VALUES ($1, least($2, $3), greatest($2, $3), $4, $5, $6, $7)
         ON CONFLICT (namespace, one_id, other_id) DO UPDATE
           SET trigram = $4, meaning = $5, part = $6",
    )
    .bind(&namespace.0)
    .bind(one)
    .bind(other)
    .bind(trigram)
    .bind(meaning)
    .bind(part)
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}
