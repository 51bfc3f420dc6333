//! Items' vectors.

use pgvector::Vector;
use sqlx::Row;
use uuid::Uuid;

use crate::{
    error::MemoryError,
    knowledge::Namespace,
    store::{Store, touch},
};

impl Store {
    /// Up to `limit` items without a vector, oldest first, with the text to embed: what somebody
    /// said stands behind who said it.
    pub async fn without_vector(&self, limit: i64) -> Result<Vec<(Uuid, String)>, MemoryError> {
        let rows = sqlx::query(
            "SELECT id, CASE WHEN kind = 1 AND actor <> '' THEN actor || ': ' || text ELSE text END
               FROM items WHERE embedding IS NULL AND NOT embedding_refused
              ORDER BY recorded_at LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// How many items, over all namespaces, wait for their vector.
    pub async fn awaiting_vectors(&self) -> Result<i64, MemoryError> {
        let count = sqlx::query_scalar(
            "SELECT count(*) FROM items WHERE embedding IS NULL AND NOT embedding_refused",
        );
        Ok(count.fetch_one(&self.pool).await?)
    }

    /// Stores items' vectors. Items that others are changing get theirs another time: to wait for one
    /// while holding another could be to wait in a circle.
    pub async fn set_vectors(&self, vectors: Vec<(Uuid, Vec<f32>)>) -> Result<(), MemoryError> {
        let (ids, vectors): (Vec<Uuid>, Vec<Vector>) =
            vectors.into_iter().map(|(id, vector)| (id, Vector::from(vector))).unzip();
        let mut transaction = self.pool.begin().await?;
        let namespaces: Vec<String> = sqlx::query_scalar(
            "WITH free AS (
               SELECT id FROM items WHERE id = ANY($1) FOR NO KEY UPDATE SKIP LOCKED),
             changed AS (
               UPDATE items SET embedding = v.embedding
                 FROM unnest($1::uuid[], $2::vector[]) AS v(id, embedding) JOIN free USING (id)
                WHERE items.id = v.id RETURNING namespace)
             SELECT DISTINCT namespace FROM changed ORDER BY namespace",
        )
        .bind(ids)
        .bind(vectors)
        .fetch_all(&mut *transaction)
        .await?;
        for namespace in namespaces {
            touch(&mut transaction, &Namespace(namespace)).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Notes that the embedding model refuses an item's text: it is found by its words only.
    pub async fn refuse_vector(&self, id: Uuid) -> Result<(), MemoryError> {
        sqlx::query("UPDATE items SET embedding_refused = true WHERE id = $1")
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
