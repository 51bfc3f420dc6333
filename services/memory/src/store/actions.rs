//! The log of actions.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use serde_json::Value;
use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{Key, Store, now};
use crate::{
    error::MemoryError,
    knowledge::{
        Namespace,
        log::{Entry, Hash, NewAction, START, Verified, Verifier, digest, link},
    },
};

/// An entry of the log with its number.
#[derive(Debug)]
pub struct Action {
    /// Its number: later ones are greater.
    pub id: i64,
    /// What it says.
    pub entry: Entry,
}

/// Which entries are asked for; empty strings match all.
#[derive(Debug, Clone)]
pub struct ActionFilter<'f> {
    /// Of this run.
    pub run_id: &'f str,
    /// By this actor.
    pub actor: &'f str,
    /// Before this number.
    pub before: i64,
    /// In the log at this time.
    pub known_at: Option<DateTime<Utc>>,
    /// How many.
    pub limit: i64,
}

impl Store {
    /// Appends to the log; gives the entry's number.
    pub async fn log_action(
        &self,
        namespace: &Namespace,
        key: Option<&Key>,
        action: NewAction,
    ) -> Result<i64, MemoryError> {
        let mut transaction = self.begin(namespace).await?;
        if let Some(key) = key
            && let Some(answer) = key.claim(&mut transaction, namespace, &Value::Null).await?
        {
            return Ok(serde_json::from_value(answer)?);
        }
        let (id, _) = append(&mut transaction, namespace, action).await?;
        if let Some(key) = key {
            key.keep(&mut transaction, namespace, &id.into()).await?;
        }
        transaction.commit().await?;
        Ok(id)
    }

    /// Entries, newest first.
    pub async fn actions(
        &self,
        namespace: &Namespace,
        filter: ActionFilter<'_>,
    ) -> Result<Vec<Action>, MemoryError> {
        let mut transaction = self.read(namespace).await?;
        let rows = sqlx::query(
            "SELECT * FROM actions
              WHERE namespace = $1 AND ($2 = '' OR run_id = $2) AND ($3 = '' OR actor = $3)
                AND id < $4 AND ($5::timestamptz IS NULL OR at <= $5)
              ORDER BY id DESC LIMIT $6",
        )
        .bind(&namespace.0)
        .bind(filter.run_id)
        .bind(filter.actor)
        .bind(filter.before)
        .bind(filter.known_at)
        .bind(filter.limit)
        .fetch_all(&mut *transaction)
        .await?;
        rows.iter().map(|row| Ok(Action { id: row.try_get("id")?, entry: entry(row)? })).collect()
    }

    /// Calculates the chain again; `known` is a place and the hash it had.
    pub async fn verify(
        &self,
        namespace: &Namespace,
        known: Option<(i64, Vec<u8>)>,
    ) -> Result<Verified, MemoryError> {
        let mut transaction = self.read(namespace).await?;
        let noted = sqlx::query("SELECT length, head FROM chains WHERE namespace = $1")
            .bind(&namespace.0)
            .fetch_optional(&mut *transaction)
            .await?;
        let (length, head) = match noted {
            Some(row) => (row.try_get("length")?, row.try_get("head")?),
            None => (0, START.to_vec()),
        };
        let mut verifier = Verifier::new(namespace.clone(), known);
        let all = sqlx::query("SELECT * FROM actions WHERE namespace = $1 ORDER BY position");
        let mut rows = all.bind(&namespace.0).fetch(&mut *transaction);
        while let Some(row) = rows.try_next().await? {
            verifier.add(&entry(&row)?);
        }
        Ok(verifier.finish((length, &head)))
    }
}

/// Adds an entry to the chain; gives its number and place. Others of the namespace wait until the
/// transaction ends.
pub(super) async fn append(
    connection: &mut PgConnection,
    namespace: &Namespace,
    what: NewAction,
) -> Result<(i64, i64), MemoryError> {
    let row = sqlx::query(
        "INSERT INTO chains VALUES ($1, 0, $2)
         ON CONFLICT (namespace) DO UPDATE SET length = chains.length RETURNING length, head",
    )
    .bind(&namespace.0)
    .bind(&START[..])
    .fetch_one(&mut *connection)
    .await?;
    let position = row.try_get::<i64, _>("length")? + 1;
    let head: Vec<u8> = row.try_get("head")?;
    // The column holds only hashes this service wrote.
    let head = Hash::try_from(head.as_slice()).unwrap_or(START);
    let (at, salt) = (now(), rand::random::<[u8; 16]>());
    let digest = digest(&salt, namespace, position, at, &what);
    let hash = link(&head, &digest);
    let id = sqlx::query_scalar(
        "WITH next AS (UPDATE chains SET length = $2, head = $10 WHERE namespace = $1)
         INSERT INTO actions (namespace, position, at, actor, action, summary, details, run_id, salt,
                              digest, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $11, $10) RETURNING id",
    )
    .bind(&namespace.0)
    .bind(position)
    .bind(at)
    .bind(what.actor)
    .bind(what.action)
    .bind(what.summary)
    .bind(what.details)
    .bind(what.run_id)
    .bind(&salt[..])
    .bind(&hash[..])
    .bind(&digest[..])
    .fetch_one(connection)
    .await?;
    Ok((id, position))
}

pub(super) fn entry(row: &PgRow) -> Result<Entry, MemoryError> {
    Ok(Entry {
        position: row.try_get("position")?,
        at: row.try_get("at")?,
        what: NewAction {
            actor: row.try_get("actor")?,
            action: row.try_get("action")?,
            summary: row.try_get("summary")?,
            details: row.try_get("details")?,
            run_id: row.try_get("run_id")?,
        },
        salt: row.try_get("salt")?,
        digest: row.try_get("digest")?,
        hash: row.try_get("hash")?,
        forgotten_by: row.try_get("forgotten_by")?,
    })
}
