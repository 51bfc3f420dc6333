//! What the graph links to the entities that a question names.

use sqlx::Row;
use uuid::Uuid;

use super::{Look, Scope};
use crate::{error::MemoryError, knowledge::pool::Link};

/// An item and how it is linked.
#[derive(Debug)]
pub struct Linked {
    /// The item's id.
    pub id: Uuid,
    /// To what, and how nearly.
    pub link: Link,
}

impl Look {
    /// Facts about entities one of whose names is among `names` (in lower case), or is similar to one
    /// of `misspelt`, the episodes these were learned from, and facts about what they link to.
    pub async fn linked(
        &mut self,
        scope: &Scope,
        names: &[String],
        misspelt: &[String],
    ) -> Result<Vec<Linked>, MemoryError> {
        let rows = sqlx::query(
            "WITH called AS MATERIALIZED (
               SELECT entity_id FROM names WHERE namespace = $1 AND called = ANY($2)
               UNION
               SELECT entity_id FROM unnest($4) AS asked, LATERAL (
                 SELECT entity_id FROM names
                  WHERE namespace = $1 AND length(asked) BETWEEN 4 AND 64
                    AND called % asked AND similarity(called, asked) >= 0.5
                    AND NOT EXISTS (SELECT FROM names WHERE namespace = $1 AND called = asked)
                  ORDER BY similarity(called, asked) DESC, entity_id LIMIT 1) AS alike
               LIMIT 8),
             named AS MATERIALIZED (
               SELECT DISTINCT ON (same) same AS id, name
                 FROM called JOIN entities ON entities.namespace = $1 AND entities.id = entity_id,
                      LATERAL same_as($1, entity_id, $5) AS same
                ORDER BY same, name),
             one AS MATERIALIZED (
               SELECT f.id, subject_id, object_id, episode_id, name FROM named, LATERAL (
                 (SELECT * FROM facts WHERE namespace = $1 AND subject_id = named.id LIMIT $3)
                 UNION (SELECT * FROM facts WHERE namespace = $1 AND object_id = named.id LIMIT $3)) AS f
               LIMIT $3),
             ends AS MATERIALIZED (
               SELECT DISTINCT ON (far) far, name
                 FROM one, unnest(ARRAY[subject_id, object_id]) AS far
                WHERE far IS NOT NULL AND far NOT IN (SELECT id FROM named) LIMIT 16),
             two AS (
               SELECT f.id, name FROM ends, LATERAL (
                 (SELECT id FROM facts WHERE namespace = $1 AND subject_id = far LIMIT $3)
                 UNION (SELECT id FROM facts WHERE namespace = $1 AND object_id = far LIMIT $3)) AS f
               LIMIT $3)
             SELECT DISTINCT ON (id) id, name, hops FROM (
               SELECT id, name, 1 AS hops FROM one
               UNION ALL SELECT episode_id, name, 1 FROM one WHERE episode_id IS NOT NULL
               UNION ALL SELECT id, name, 2 FROM two) AS linked
              ORDER BY id, hops, name",
        )
        .bind(&scope.namespace.0)
        .bind(names)
        .bind(scope.limit)
        .bind(misspelt)
        .bind(scope.known_at)
        .fetch_all(&mut *self.transaction)
        .await?;
        let mut linked = Vec::with_capacity(rows.len());
        for row in &rows {
            let hops: i32 = row.try_get("hops")?;
            let link = Link { hops: hops.unsigned_abs(), entity: row.try_get("name")? };
            linked.push(Linked { id: row.try_get("id")?, link });
        }
        // The nearest first; ids sort by time, so that the latest come first among equals.
        linked.sort_by_key(|linked| (linked.link.hops, std::cmp::Reverse(linked.id)));
        Ok(linked)
    }
}
