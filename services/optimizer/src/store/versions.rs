//! The agents as last seen, and every version of their instructions.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{Store, within};
use crate::{error::Error, peers::Agent, score::Score};

/// A version of an agent's instructions.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Whose.
    pub agent: String,
    /// For example "v3", or "config".
    pub version: String,
    /// The text.
    pub instructions: String,
    /// Of its experiment; 0 when it had none.
    pub score: Score,
    /// Whether the agent works by it, as last seen.
    pub in_force: bool,
    /// Whether it ever did.
    pub was_in_force: bool,
    /// Where it comes from, and why it was, or was not, promoted.
    pub reason: String,
    /// When it was written down.
    pub created_at: DateTime<Utc>,
}

impl Store {
    /// Notes the agents there are, and the instructions they work by.
    pub(crate) async fn note_agents(&self, agents: &[Agent]) -> Result<(), Error> {
        within(async {
            let mut transaction = self.pool.begin().await?;
            let names: Vec<&str> = agents.iter().map(|agent| agent.name.as_str()).collect();
            sqlx::query("update agents set is_present = false where not name = any ($1)")
                .bind(&names)
                .execute(&mut *transaction)
                .await?;
            for agent in agents {
                note(&mut transaction, agent).await?;
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// The names of all agents ever seen.
    pub(crate) async fn agent_names(&self) -> Result<Vec<String>, Error> {
        within(async {
            let names =
                sqlx::query_scalar("select name from agents order by is_present desc, name")
                    .fetch_all(&self.pool)
                    .await?;
            Ok(names)
        })
        .await
    }

    /// An agent's versions, newest first.
    pub(crate) async fn versions(&self, agent: &str) -> Result<Vec<Version>, Error> {
        within(async {
            let rows = sqlx::query(
                "select versions.*, version = instructions_version as in_force
                   from versions join agents on name = agent
                  where agent = $1 order by ordinal desc",
            )
            .bind(agent)
            .fetch_all(&self.pool)
            .await?;
            rows.iter().map(read).collect()
        })
        .await
    }
}

async fn note(connection: &mut PgConnection, agent: &Agent) -> Result<(), Error> {
    sqlx::query(
        "insert into agents (name, instructions_version, is_present, seen_at)
         values ($1, $2, true, $3)
         on conflict (name) do update set is_present = true, seen_at = excluded.seen_at,
           instructions_version = excluded.instructions_version",
    )
    .bind(&agent.name)
    .bind(&agent.version)
    .bind(Utc::now())
    .execute(&mut *connection)
    .await?;
    // config.yaml may have been edited; any other version stays what it was.
    sqlx::query(
        "insert into versions (agent, version, instructions, score, was_in_force, reason, created_at)
         values ($1, $2, $3, 0, true,
                 case $2 when 'config' then 'of config.yaml' else 'found in force' end, $4)
         on conflict (agent, version) do update set was_in_force = true,
           instructions = case excluded.version when 'config' then excluded.instructions
                                                else versions.instructions end",
    )
    .bind(&agent.name)
    .bind(&agent.version)
    .bind(&agent.instructions)
    .bind(Utc::now())
    .execute(connection)
    .await?;
    Ok(())
}

fn read(row: &PgRow) -> Result<Version, Error> {
    Ok(Version {
        agent: row.try_get("agent")?,
        version: row.try_get("version")?,
        instructions: row.try_get("instructions")?,
        score: Score::new(row.try_get("score")?),
        in_force: row.try_get("in_force")?,
        was_in_force: row.try_get("was_in_force")?,
        reason: row.try_get("reason")?,
        created_at: row.try_get("created_at")?,
    })
}
