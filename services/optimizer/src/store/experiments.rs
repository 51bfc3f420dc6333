//! Experiments, written down with the version they tried and, when that won, the switch to it.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Cause, Store, switches, within};
use crate::{
    error::Error,
    experiment::{Outcome, Pair},
    score::Score,
};

/// An experiment that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// Its id; it seeds the bootstrap.
    pub id: Uuid,
    /// Whose instructions.
    pub agent: String,
    /// Those in force.
    pub old_version: String,
    /// Those tried; empty when it came to none.
    pub new_version: String,
    /// Mean under the old ones.
    pub old: Score,
    /// Mean under the new ones.
    pub new: Score,
    /// The scores of each case.
    pub pairs: Vec<Pair>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl Store {
    /// Writes an experiment down, gives the version it tried its number and, when it won, journals
    /// the switch to it: all or nothing.
    pub(crate) async fn record_experiment(
        &self,
        mut experiment: Experiment,
        tried: Option<&str>,
    ) -> Result<Experiment, Error> {
        within(async {
            let mut transaction = self.pool.begin().await?;
            if let Some(tried) = tried {
                experiment.new_version = number(&mut transaction, &experiment.agent).await?;
                insert_version(&mut transaction, &experiment, tried).await?;
            }
            insert(&mut transaction, &experiment).await?;
            if experiment.outcome == Outcome::Promoted {
                let (agent, version) = (&experiment.agent, &experiment.new_version);
                let reason = &experiment.reason;
                switches::journal(&mut transaction, agent, version, Cause::Promotion, reason)
                    .await?;
            }
            transaction.commit().await?;
            Ok(experiment)
        })
        .await
    }

    /// Whether an agent put out anything since its last experiment.
    pub(crate) async fn has_news(&self, agent: &str) -> Result<bool, Error> {
        within(has_news(&self.pool, agent)).await
    }
}

async fn has_news(pool: &PgPool, agent: &str) -> Result<bool, Error> {
    let found: bool = sqlx::query_scalar(
        "select exists (select 1 from scores where agent = $1 and at >
           coalesce((select max(at) from experiments where agent = $1), '-infinity'))",
    )
    .bind(agent)
    .fetch_one(pool)
    .await?;
    Ok(found)
}

/// The next of v1, v2, …; also past those found in force.
async fn number(connection: &mut PgConnection, agent: &str) -> Result<String, Error> {
    let last: i64 = sqlx::query_scalar(
        "select coalesce(max(substring(version from '^v([0-9]{1,9})$')::bigint), 0)
           from versions where agent = $1",
    )
    .bind(agent)
    .fetch_one(connection)
    .await?;
    Ok(format!("v{}", last + 1))
}

async fn insert_version(
    connection: &mut PgConnection,
    experiment: &Experiment,
    tried: &str,
) -> Result<(), Error> {
    let is_promoted = experiment.outcome == Outcome::Promoted;
    let verdict = if is_promoted { "promoted" } else { "not promoted" };
    sqlx::query(
        "insert into versions (agent, version, instructions, score, was_in_force, reason, created_at)
         values ($1, $2, $3, $4, false, $5, $6)",
    )
    .bind(&experiment.agent)
    .bind(&experiment.new_version)
    .bind(tried)
    .bind(experiment.new.value())
    .bind(format!("{verdict}: {}", experiment.reason))
    .bind(experiment.at)
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert(connection: &mut PgConnection, experiment: &Experiment) -> Result<(), Error> {
    let pairs: Vec<_> = experiment.pairs.iter().map(|pair| json!([pair.old, pair.new])).collect();
    sqlx::query(
        "insert into experiments (id, agent, old_version, new_version, old_score, new_score, pairs,
                                  outcome, reason, at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(experiment.id)
    .bind(&experiment.agent)
    .bind(&experiment.old_version)
    .bind(&experiment.new_version)
    .bind(experiment.old.value())
    .bind(experiment.new.value())
    .bind(json!(pairs))
    .bind(experiment.outcome.name())
    .bind(&experiment.reason)
    .bind(experiment.at)
    .execute(connection)
    .await?;
    Ok(())
}
