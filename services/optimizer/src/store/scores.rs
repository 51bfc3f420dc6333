//! Scores of outputs, and how far outputs were read.

use chrono::{DateTime, Utc};
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use super::{Store, within};
use crate::{
    error::Error,
    peers::Output,
    score::{Score, Scorecard, Weighted},
};

/// The cursor in the orchestrator's outputs.
const OUTPUTS: &str = "outputs";

/// An output's score, not yet written.
#[derive(Debug)]
pub struct NewScore<'a> {
    /// What was scored, its texts storable.
    pub output: &'a Output,
    /// The score.
    pub card: &'a Scorecard,
}

/// An output's score.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredScore {
    /// Place in the order of scoring.
    pub ordinal: i64,
    /// Its id.
    pub id: Uuid,
    /// What was scored.
    pub output_id: String,
    /// Of which run.
    pub run_id: String,
    /// Whose.
    pub agent: String,
    /// By which instructions.
    pub version: String,
    /// The task.
    pub input: String,
    /// The text.
    pub output: String,
    /// The weighted mean.
    pub score: Score,
    /// Its parts.
    pub functions: Vec<Weighted>,
    /// When it was scored.
    pub at: DateTime<Utc>,
}

/// An agent's rolling score.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentScore {
    /// Whose.
    pub agent: String,
    /// Mean of the last outputs; 0 when there are none.
    pub rolling: Score,
    /// Outputs scored in all.
    pub outputs: u32,
    /// Of the instructions in force when the orchestrator was last seen.
    pub version: String,
}

impl Store {
    /// Where to read outputs on; empty for the beginning.
    pub(crate) async fn cursor(&self) -> Result<String, Error> {
        within(async {
            let value = sqlx::query_scalar("select value from cursors where name = $1")
                .bind(OUTPUTS)
                .fetch_optional(&self.pool)
                .await?;
            Ok(value.unwrap_or_default())
        })
        .await
    }

    /// Everything before the cursor is scored.
    pub(crate) async fn move_cursor(&self, value: &str) -> Result<(), Error> {
        within(async {
            sqlx::query(
                "insert into cursors (name, value) values ($1, $2)
                 on conflict (name) do update set value = excluded.value",
            )
            .bind(OUTPUTS)
            .bind(value)
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// Whether the output has its score.
    pub(crate) async fn is_scored(&self, output_id: &str) -> Result<bool, Error> {
        within(async {
            let found: bool =
                sqlx::query_scalar("select exists (select 1 from scores where output_id = $1)")
                    .bind(output_id)
                    .fetch_one(&self.pool)
                    .await?;
            Ok(found)
        })
        .await
    }

    /// Writes a score unless the output has one; tells whether it was written.
    pub(crate) async fn insert_score(&self, new: NewScore<'_>) -> Result<bool, Error> {
        within(async {
            let NewScore { output, card } = new;
            let done = sqlx::query(
                "insert into scores (id, output_id, run_id, agent, instructions_version, input,
                                     output, score, functions, output_at, at)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                 on conflict (output_id) do nothing",
            )
            .bind(Uuid::now_v7())
            .bind(&output.id)
            .bind(&output.run_id)
            .bind(&output.agent)
            .bind(&output.version)
            .bind(&output.input)
            .bind(&output.text)
            .bind(card.score.value())
            .bind(serde_json::to_value(&card.functions)?)
            .bind(output.at)
            .bind(Utc::now())
            .execute(&self.pool)
            .await?;
            Ok(done.rows_affected() == 1)
        })
        .await
    }

    /// Scores before an ordinal, newest first.
    pub(crate) async fn scores_before(
        &self,
        agent: Option<&str>,
        before: i64,
        limit: i64,
    ) -> Result<Vec<StoredScore>, Error> {
        within(async {
            let rows = sqlx::query(
                "select * from scores where ordinal < $1 and ($2::text is null or agent = $2)
                  order by ordinal desc limit $3",
            )
            .bind(before)
            .bind(agent)
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
            rows.iter().map(read).collect()
        })
        .await
    }

    /// An agent's last outputs by one version of its instructions, newest first.
    pub(crate) async fn last_scores(
        &self,
        agent: &str,
        version: &str,
        limit: u32,
    ) -> Result<Vec<StoredScore>, Error> {
        within(async {
            let rows = sqlx::query(
                "select * from scores where agent = $1 and instructions_version = $2
                  order by ordinal desc limit $3",
            )
            .bind(agent)
            .bind(version)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
            rows.iter().map(read).collect()
        })
        .await
    }

    /// What an agent was asked of late, newest first, each once.
    pub(crate) async fn recent_inputs(
        &self,
        agent: &str,
        limit: u32,
    ) -> Result<Vec<String>, Error> {
        within(async {
            let inputs = sqlx::query_scalar(
                "select input from scores where agent = $1 and input <> ''
                  group by input order by max(ordinal) desc limit $2",
            )
            .bind(agent)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
            Ok(inputs)
        })
        .await
    }

    /// The agents present, with the means of their last `window` outputs.
    pub(crate) async fn agent_scores(&self, window: u32) -> Result<Vec<AgentScore>, Error> {
        within(async {
            let rows = sqlx::query(
                "select name, instructions_version, coalesce(mean, 0) as mean, outputs
                   from agents,
                        lateral (select avg(score) as mean from (
                            select score from scores where agent = name
                             order by ordinal desc limit $1) as last) as rolling,
                        lateral (select count(*) as outputs from scores where agent = name) as all_of
                  where is_present order by name",
            )
            .bind(i64::from(window))
            .fetch_all(&self.pool)
            .await?;
            let score = |row: &PgRow| {
                let outputs: i64 = row.try_get("outputs")?;
                Ok(AgentScore {
                    agent: row.try_get("name")?,
                    rolling: Score::new(row.try_get("mean")?),
                    outputs: u32::try_from(outputs).unwrap_or(u32::MAX),
                    version: row.try_get("instructions_version")?,
                })
            };
            rows.iter().map(score).collect()
        })
        .await
    }
}

fn read(row: &PgRow) -> Result<StoredScore, Error> {
    Ok(StoredScore {
        ordinal: row.try_get("ordinal")?,
        id: row.try_get("id")?,
        output_id: row.try_get("output_id")?,
        run_id: row.try_get("run_id")?,
        agent: row.try_get("agent")?,
        version: row.try_get("instructions_version")?,
        input: row.try_get("input")?,
        output: row.try_get("output")?,
        score: Score::new(row.try_get("score")?),
        functions: serde_json::from_value(row.try_get("functions")?)?,
        at: row.try_get("at")?,
    })
}
