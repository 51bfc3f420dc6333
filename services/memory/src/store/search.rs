//! Finding items, and their vectors.

use chrono::{DateTime, Utc};
use pgvector::Vector;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::{COLUMNS, Store, item, now, touch};
use crate::{
    error::MemoryError,
    knowledge::{Item, Kind, Namespace},
};

/// Where to look.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Whose memory.
    pub namespace: Namespace,
    /// What kinds; never empty.
    pub kinds: Vec<Kind>,
    /// Facts that hold at this time.
    pub as_of: DateTime<Utc>,
    /// Left out; empty for none.
    pub exclude_session: String,
    /// How many.
    pub limit: i64,
}

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

/// The part of every search that says where to look; its parameters are $1 to $4.
const SCOPE: &str = "namespace = $1 AND kind = ANY($2) AND retracted_at IS NULL
    AND (kind <> 2 OR (valid_from <= $3 AND (valid_to IS NULL OR valid_to > $3)))
    AND ($4 = '' OR session <> $4)";

impl Store {
    /// Items in which words of `query` occur, best first.
    pub async fn by_text(&self, scope: &Scope, query: &str) -> Result<Vec<Item>, MemoryError> {
        // Any of the words will do; their number and nearness decide the rank. Only constants of
        // this module are put together.
        let sql = format!(
            "WITH words AS (
               SELECT to_tsquery('simple', string_agg(quote_literal(lexeme), ' | ')) AS q
                 FROM unnest(to_tsvector('english', $5)))
             SELECT {COLUMNS} FROM items, words
              WHERE {SCOPE} AND tsv @@ q
              ORDER BY ts_rank_cd(tsv, q, 1) DESC, recorded_at DESC LIMIT $6"
        );
        self.items(&sql, scope, Some(query), None).await
    }

    /// Items whose meaning is nearest to `vector`.
    pub async fn by_vector(
        &self,
        scope: &Scope,
        vector: Vec<f32>,
    ) -> Result<Vec<Item>, MemoryError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM items WHERE {SCOPE} AND embedding IS NOT NULL
              ORDER BY embedding <=> $5 LIMIT $6"
        );
        self.items(&sql, scope, None, Some(Vector::from(vector))).await
    }

    /// The items written down last.
    pub async fn recent(&self, scope: &Scope) -> Result<Vec<Item>, MemoryError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM items WHERE {SCOPE} AND $5 IS NULL
              ORDER BY recorded_at DESC, id DESC LIMIT $6"
        );
        self.items(&sql, scope, None, None).await
    }

    async fn items(
        &self,
        sql: &str,
        scope: &Scope,
        text: Option<&str>,
        vector: Option<Vector>,
    ) -> Result<Vec<Item>, MemoryError> {
        let kinds: Vec<i16> = scope.kinds.iter().map(|kind| kind.number()).collect();
        // Put together from constants of this module; everything else is bound.
        let query = sqlx::query(AssertSqlSafe(sql.to_owned()))
            .bind(&scope.namespace.0)
            .bind(kinds)
            .bind(scope.as_of)
            .bind(&scope.exclude_session);
        let query = match vector {
            Some(vector) => query.bind(vector),
            None => query.bind(text),
        };
        let rows = query.bind(scope.limit).fetch_all(&self.pool).await?;
        rows.iter().map(item).collect()
    }

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

    /// Up to `limit` items without a vector, oldest first.
    pub async fn without_vector(&self, limit: i64) -> Result<Vec<(Uuid, String)>, MemoryError> {
        let rows = sqlx::query(
            "SELECT id, text FROM items WHERE embedding IS NULL AND NOT embedding_refused
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

    /// Stores items' vectors.
    pub async fn set_vectors(&self, vectors: Vec<(Uuid, Vec<f32>)>) -> Result<(), MemoryError> {
        let (ids, vectors): (Vec<Uuid>, Vec<Vector>) =
            vectors.into_iter().map(|(id, vector)| (id, Vector::from(vector))).unzip();
        let mut transaction = self.pool.begin().await?;
        let namespaces: Vec<String> = sqlx::query_scalar(
            "WITH changed AS (
               UPDATE items SET embedding = v.embedding
                 FROM unnest($1::uuid[], $2::vector[]) AS v(id, embedding)
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

impl Scope {
    /// All kinds, now.
    #[must_use]
    pub fn everything(namespace: Namespace, limit: i64) -> Self {
        Self {
            namespace,
            kinds: Kind::ALL.to_vec(),
            as_of: now(),
            exclude_session: String::new(),
            limit,
        }
    }
}
