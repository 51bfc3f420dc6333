//! Items' vectors.

use std::collections::BTreeMap;

use pgvector::Vector;
use sqlx::Row;
use uuid::Uuid;

use crate::{
    error::MemoryError,
    knowledge::Namespace,
    store::{Store, touch},
};

/// An item without a vector.
#[derive(Debug, Clone)]
pub struct Bare {
    /// Whose.
    pub namespace: Namespace,
    /// The item's id.
    pub id: Uuid,
    /// What is to be embedded.
    pub text: String,
}

impl Store {
    /// Up to `limit` items without a vector, oldest first, with the text to embed: what somebody
    /// said stands behind who said it.
    pub async fn without_vector(&self, limit: i64) -> Result<Vec<Bare>, MemoryError> {
        let rows = sqlx::query(
            "SELECT namespace, id, CASE WHEN kind = 1 AND actor <> '' THEN actor || ': ' || text ELSE text END
               FROM items WHERE embedding IS NULL AND NOT embedding_refused
              ORDER BY recorded_at LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let namespace = Namespace(row.try_get(0)?);
                Ok(Bare { namespace, id: row.try_get(1)?, text: row.try_get(2)? })
            })
            .collect()
    }

    /// How many items, over all namespaces, wait for their vector.
    pub async fn awaiting_vectors(&self) -> Result<i64, MemoryError> {
        let count = sqlx::query_scalar(
            "SELECT count(*) FROM items WHERE embedding IS NULL AND NOT embedding_refused",
        );
        Ok(count.fetch_one(&self.pool).await?)
    }

    /// Stores items' vectors. Items that others are changing get theirs another time: to wait for one
    /// while holding another could be to wait in a circle. Tells how many were stored.
    pub async fn set_vectors(&self, vectors: Vec<(Bare, Vec<f32>)>) -> Result<u64, MemoryError> {
        let mut by_namespace: BTreeMap<String, (Vec<Uuid>, Vec<Vector>)> = BTreeMap::new();
        for (bare, vector) in vectors {
            let (ids, vectors) = by_namespace.entry(bare.namespace.0).or_default();
            ids.push(bare.id);
            vectors.push(Vector::from(vector));
        }
        let mut stored = 0;
        let mut transaction = self.begin_behind_all().await?;
        for (namespace, (ids, vectors)) in by_namespace {
            let changed = sqlx::query(
                "WITH free AS (
                   SELECT id FROM items WHERE namespace = $1 AND id = ANY($2)
                      FOR NO KEY UPDATE SKIP LOCKED)
                 UPDATE items SET embedding = v.embedding
                   FROM unnest($2::uuid[], $3::vector[]) AS v (id, embedding) JOIN free USING (id)
                  WHERE namespace = $1 AND items.id = v.id",
            )
            .bind(&namespace)
            .bind(ids)
            .bind(vectors)
            .execute(&mut *transaction)
            .await?;
            stored += changed.rows_affected();
            if changed.rows_affected() > 0 {
                touch(&mut transaction, &Namespace(namespace)).await?;
            }
        }
        transaction.commit().await?;
        Ok(stored)
    }

    /// Notes that the embedding model refuses an item's text: it is found by its words only.
    pub async fn refuse_vector(&self, bare: &Bare) -> Result<(), MemoryError> {
        let refuse = "UPDATE items SET embedding_refused = true WHERE namespace = $1 AND id = $2";
        sqlx::query(refuse).bind(&bare.namespace.0).bind(bare.id).execute(&self.pool).await?;
        Ok(())
    }
}
