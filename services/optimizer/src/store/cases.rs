//! Cases to try instructions on.

use chrono::Utc;
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use super::{Store, within};
use crate::{error::Error, score::Expectation};

/// The most cases of an agent.
const MAX_CASES: i64 = 500;

/// A case, not yet written.
#[derive(Debug, Clone)]
pub struct NewCase {
    /// Whose.
    pub agent: String,
    /// The task.
    pub input: String,
    /// What the answer must have.
    pub expectation: Expectation,
    /// The same key adds one case.
    pub idempotency_key: Option<String>,
}

/// A case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub agent: String,
    /// The task.
    pub input: String,
    /// What the answer must have.
    pub expectation: Expectation,
}

impl Store {
    /// Adds a case; gives the earlier one when the key was used for the same.
    pub(crate) async fn add_case(&self, new: NewCase) -> Result<Case, Error> {
        within(async {
            let mut transaction = self.pool.begin().await?;
            // One at a time for an agent, so that its bound holds.
            sqlx::query(
                "select pg_advisory_xact_lock(hashtextextended('optimizer.cases/' || $1, 0))",
            )
            .bind(&new.agent)
            .execute(&mut *transaction)
            .await?;
            let count: i64 = sqlx::query_scalar("select count(*) from cases where agent = $1")
                .bind(&new.agent)
                .fetch_one(&mut *transaction)
                .await?;
            let inserted = sqlx::query(
                "insert into cases (id, agent, input, expectation, idempotency_key, created_at)
                 values ($1, $2, $3, $4, $5, $6)
                 on conflict (idempotency_key) do nothing returning *",
            )
            .bind(Uuid::now_v7())
            .bind(&new.agent)
            .bind(&new.input)
            .bind(serde_json::to_value(&new.expectation)?)
            .bind(&new.idempotency_key)
            .bind(Utc::now())
            .fetch_optional(&mut *transaction)
            .await?;
            if let Some(row) = inserted {
                if count >= MAX_CASES {
                    return Err(Error::TooManyCases { agent: new.agent, bound: MAX_CASES });
                }
                transaction.commit().await?;
                return read(&row);
            }
            let row = sqlx::query("select * from cases where idempotency_key = $1")
                .bind(&new.idempotency_key)
                .fetch_one(&mut *transaction)
                .await?;
            let earlier = read(&row)?;
            let is_same = earlier.agent == new.agent
                && earlier.input == new.input
                && earlier.expectation == new.expectation;
            if is_same { Ok(earlier) } else { Err(Error::KeyReused) }
        })
        .await
    }

    /// Cases, newest first.
    pub(crate) async fn cases(&self, agent: Option<&str>) -> Result<Vec<Case>, Error> {
        within(async {
            let rows = sqlx::query(
                "select * from cases where $1::text is null or agent = $1 order by ordinal desc",
            )
            .bind(agent)
            .fetch_all(&self.pool)
            .await?;
            rows.iter().map(read).collect()
        })
        .await
    }

    /// What is expected of an agent's answer to a task that is one of its cases.
    pub(crate) async fn expectation(
        &self,
        agent: &str,
        input: &str,
    ) -> Result<Option<Expectation>, Error> {
        within(async {
            let expectation = sqlx::query_scalar(
                "select expectation from cases where agent = $1 and input = $2
                  order by ordinal desc limit 1",
            )
            .bind(agent)
            .bind(input)
            .fetch_optional(&self.pool)
            .await?;
            Ok(expectation.map(serde_json::from_value).transpose()?)
        })
        .await
    }
}

fn read(row: &PgRow) -> Result<Case, Error> {
    Ok(Case {
        id: row.try_get("id")?,
        agent: row.try_get("agent")?,
        input: row.try_get("input")?,
        expectation: serde_json::from_value(row.try_get("expectation")?)?,
    })
}
