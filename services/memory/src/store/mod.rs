//! SQL, and only SQL.

mod actions;
mod archive;
mod bank;
mod batch;
mod belief;
mod brief;
mod changes;
mod clock;
mod corrections;
mod entities;
mod explain;
mod exports;
mod extraction;
mod facts;
mod forget;
mod graph;
mod graphml;
mod groups;
mod items;
mod merges;
mod new_facts;
mod remember;
mod resolution;
mod search;
mod tenant;
mod timeline;

use chrono::{DateTime, SubsecRound, Utc};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

pub use crate::knowledge::DIMENSIONS;
pub use actions::{Action, ActionFilter};
pub use archive::{Begun, Import, TakenIn};
pub use bank::{
    BankCounts, Conflict, Document, DocumentState, EditWish, Edited, Imported, Listed, Settled,
    Tracked,
};
pub use batch::Outcomes;
pub use belief::Seen;
pub use brief::{Material, Needed};
pub use changes::Change;
pub use entities::{Entity, MOST_ALIASES};
pub use explain::Reason;
pub use extraction::{Concluded, Cost, Extraction, Tier, Waiting};
pub use facts::KnownFact;
pub use forget::{Export, Forgotten, Target, Wish};
pub use graph::{Graph, Near, Route, Walk};
pub use remember::Remembered;
pub use resolution::Suggestion;
pub use search::{Bare, Linked, Look, Scope, Terms, weight};
pub use timeline::{Period, Place, TimelineEntry};

use crate::{
    error::MemoryError,
    knowledge::{Kind, Namespace},
};

/// The tables.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
}

/// How much is stored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// By [`Kind::number`], from 1.
    pub items: [i64; 4],
    /// In the log.
    pub actions: i64,
    /// Items without a vector yet.
    pub awaiting_vectors: i64,
}

/// Everything that is counted.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Items and the log.
    pub counts: Counts,
    /// The memory bank.
    pub bank: BankCounts,
    /// Facts taken out of what was said.
    pub extraction: Extraction,
}

impl Store {
    /// Over connections that see this service's schema.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The namespace's version, which moves with every write; none before the first.
    pub async fn version(&self, namespace: &Namespace) -> Result<Option<i64>, MemoryError> {
        let version = sqlx::query_scalar("SELECT version FROM namespaces WHERE name = $1");
        Ok(version.bind(&namespace.0).fetch_optional(&self.pool).await?)
    }

    /// The namespace's version, and when a fact last began or ceased to be true by the clock,
    /// seen from `at`: who asks for what is true then gets the same answer as long as both are
    /// the same.
    pub async fn moment(
        &self,
        namespace: &Namespace,
        at: DateTime<Utc>,
    ) -> Result<(Option<i64>, Option<DateTime<Utc>>), MemoryError> {
        let row = sqlx::query("SELECT version, moment FROM moment_of($1, $2)");
        let row = row.bind(&namespace.0).bind(at).fetch_one(&self.pool).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    /// How much the namespace holds, of one state.
    pub async fn stats(&self, namespace: &Namespace) -> Result<Stats, MemoryError> {
        let mut transaction = self.read(namespace).await?;
        Ok(Stats {
            counts: counts(&mut transaction, namespace).await?,
            bank: bank::counts(&mut transaction, namespace).await?,
            extraction: extraction::costs(&mut transaction, namespace).await?,
        })
    }
}

async fn counts(
    connection: &mut PgConnection,
    namespace: &Namespace,
) -> Result<Counts, MemoryError> {
    let rows = sqlx::query(
        "SELECT kind, count(*) FROM items WHERE namespace = $1 AND retracted_at IS NULL GROUP BY kind",
    )
    .bind(&namespace.0)
    .fetch_all(&mut *connection)
    .await?;
    let mut counts = Counts::default();
    for row in rows {
        if let Some(kind) = Kind::of(row.try_get(0)?)
            && let Some(count) = counts.items.get_mut(kind.number() as usize - 1)
        {
            *count = row.try_get(1)?;
        }
    }
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM actions WHERE namespace = $1),
                    (SELECT count(*) FROM items
                      WHERE namespace = $1 AND embedding IS NULL AND NOT embedding_refused)",
    )
    .bind(&namespace.0)
    .fetch_one(connection)
    .await?;
    counts.actions = row.try_get(0)?;
    counts.awaiting_vectors = row.try_get(1)?;
    Ok(counts)
}

/// A key with what it stands for.
#[derive(Debug, Clone)]
pub struct Key {
    key: String,
    content: Vec<u8>,
}

impl Key {
    /// `key` for a request whose bytes are `content`; nothing for an empty key.
    #[must_use]
    pub fn new(operation: &str, key: &str, content: &[u8]) -> Option<Self> {
        let content = Sha256::digest(content).to_vec();
        (!key.is_empty()).then(|| Self { key: format!("{operation}:{key}"), content })
    }

    /// As the caller gave it.
    #[must_use]
    pub fn given(&self) -> &str {
        self.key.split_once(':').map_or("", |(_, key)| key)
    }

    /// The answer stored with the key, if it was used before; otherwise `answer` is. Whoever uses
    /// the same key at the same time waits for this transaction.
    async fn claim(
        &self,
        connection: &mut PgConnection,
        namespace: &Namespace,
        answer: &serde_json::Value,
    ) -> Result<Option<serde_json::Value>, MemoryError> {
        let claimed = sqlx::query(
            "INSERT INTO idempotency_keys (namespace, key, content, answer)
             VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(&namespace.0)
        .bind(&self.key)
        .bind(&self.content)
        .bind(answer)
        .execute(&mut *connection)
        .await?;
        if claimed.rows_affected() == 1 {
            return Ok(None);
        }
        let row = sqlx::query(
            "SELECT content, answer FROM idempotency_keys WHERE namespace = $1 AND key = $2",
        )
        .bind(&namespace.0)
        .bind(&self.key)
        .fetch_one(connection)
        .await?;
        if row.try_get::<Vec<u8>, _>(0)? != self.content {
            return Err(MemoryError::KeyReused(self.given().to_owned()));
        }
        Ok(Some(row.try_get(1)?))
    }

    /// Stores another answer with the key.
    async fn keep(
        &self,
        connection: &mut PgConnection,
        namespace: &Namespace,
        answer: &serde_json::Value,
    ) -> Result<(), MemoryError> {
        sqlx::query("UPDATE idempotency_keys SET answer = $3 WHERE namespace = $1 AND key = $2")
            .bind(&namespace.0)
            .bind(&self.key)
            .bind(answer)
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// Voids what caches hold of the namespace.
async fn touch(connection: &mut PgConnection, namespace: &Namespace) -> Result<(), MemoryError> {
    changes::Changes::default().finish(connection, namespace, now()).await
}

/// A new id; ids sort by time.
fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// To the microsecond, as the store keeps it.
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
