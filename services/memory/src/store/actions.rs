//! The log of actions.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::Row;

use super::{Key, Store, now};
use crate::{error::MemoryError, knowledge::Namespace};

/// Something done, not yet written.
#[derive(Debug, Clone)]
pub struct NewAction {
    /// Who.
    pub actor: String,
    /// What, for example "run.finished".
    pub action: String,
    /// One line for a person.
    pub summary: String,
    /// A JSON object.
    pub details: Option<Value>,
    /// The run it belongs to; empty for none.
    pub run_id: String,
}

/// An entry of the log.
#[derive(Debug)]
pub struct Action {
    /// Its number: later ones are greater.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub what: NewAction,
}

impl Store {
    /// Appends to the log; gives the entry's number.
    pub async fn log_action(
        &self,
        namespace: &Namespace,
        key: Option<&Key>,
        action: NewAction,
    ) -> Result<i64, MemoryError> {
        let mut transaction = self.pool.begin().await?;
        if let Some(key) = key
            && let Some(answer) = key.answer(&mut transaction, namespace).await?
        {
            return Ok(serde_json::from_value(answer)?);
        }
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO actions (namespace, at, actor, action, summary, details, run_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
        )
        .bind(&namespace.0)
        .bind(now())
        .bind(action.actor)
        .bind(action.action)
        .bind(action.summary)
        .bind(action.details)
        .bind(action.run_id)
        .fetch_one(&mut *transaction)
        .await?;
        if let Some(key) = key {
            key.keep(&mut transaction, namespace, &id.into()).await?;
        }
        transaction.commit().await?;
        Ok(id)
    }

    /// Entries before number `before`, newest first; empty strings match all.
    pub async fn actions(
        &self,
        namespace: &Namespace,
        run_id: &str,
        actor: &str,
        before: i64,
        limit: i64,
    ) -> Result<Vec<Action>, MemoryError> {
        let rows = sqlx::query(
            "SELECT id, at, actor, action, summary, details, run_id FROM actions
              WHERE namespace = $1 AND ($2 = '' OR run_id = $2) AND ($3 = '' OR actor = $3)
                AND id < $4
              ORDER BY id DESC LIMIT $5",
        )
        .bind(&namespace.0)
        .bind(run_id)
        .bind(actor)
        .bind(before)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let action = |row: &sqlx::postgres::PgRow| {
            Ok(Action {
                id: row.try_get("id")?,
                at: row.try_get("at")?,
                what: NewAction {
                    actor: row.try_get("actor")?,
                    action: row.try_get("action")?,
                    summary: row.try_get("summary")?,
                    details: row.try_get("details")?,
                    run_id: row.try_get("run_id")?,
                },
            })
        };
        rows.iter().map(action).collect()
    }
}
