//! The journal of instructions to be put in force.

use chrono::Utc;
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::{Store, within};
use crate::error::Error;

/// Why instructions are put in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// They won an experiment.
    Promotion,
    /// Somebody asked for an earlier version.
    Rollback,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::Promotion => "promotion",
            Self::Rollback => "rollback",
        }
    }
}

/// Instructions to be put in force, or that were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub agent: String,
    /// Which.
    pub version: String,
    /// Their text.
    pub instructions: String,
    /// Why.
    pub cause: Cause,
    /// Why, in a sentence.
    pub reason: String,
}

impl Store {
    /// Journals the return to an earlier version.
    pub(crate) async fn journal_rollback(
        &self,
        agent: &str,
        version: &str,
        reason: &str,
    ) -> Result<(), Error> {
        within(async {
            let mut transaction = self.pool.begin().await?;
            journal(&mut transaction, agent, version, Cause::Rollback, reason).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// What the orchestrator is to be told, oldest first; at most one for each agent.
    pub(crate) async fn pending_switches(&self) -> Result<Vec<Switch>, Error> {
        within(async {
            sqlx::query(
                "select switches.*, instructions
                   from switches join versions using (agent, version)
                  where state = 'pending' order by switches.ordinal",
            )
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(read)
            .collect()
        })
        .await
    }

    /// The orchestrator uses the instructions now.
    pub(crate) async fn mark_applied(&self, switch: &Switch) -> Result<(), Error> {
        within(async {
            let mut transaction = self.pool.begin().await?;
            end(&mut transaction, switch, "applied").await?;
            sqlx::query("update agents set instructions_version = $2 where name = $1")
                .bind(&switch.agent)
                .bind(&switch.version)
                .execute(&mut *transaction)
                .await?;
            sqlx::query(
                "update versions set was_in_force = true where agent = $1 and version = $2",
            )
            .bind(&switch.agent)
            .bind(&switch.version)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// The orchestrator refuses them for good, and says why.
    pub(crate) async fn mark_refused(&self, switch: &Switch, why: &str) -> Result<(), Error> {
        within(async {
            let mut transaction = self.pool.begin().await?;
            end(&mut transaction, switch, "refused").await?;
            sqlx::query("update versions set reason = $3 where agent = $1 and version = $2")
                .bind(&switch.agent)
                .bind(&switch.version)
                .bind(format!("refused by the orchestrator: {why}"))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// What is in force but not yet in the log of actions, oldest first.
    pub(crate) async fn unlogged_switches(&self, limit: i64) -> Result<Vec<Switch>, Error> {
        within(async {
            sqlx::query(
                "select switches.*, instructions
                   from switches join versions using (agent, version)
                  where state = 'applied' and not is_logged order by switches.ordinal limit $1",
            )
            .bind(limit)
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(read)
            .collect()
        })
        .await
    }

    /// The log of actions has it.
    pub(crate) async fn mark_logged(&self, id: Uuid) -> Result<(), Error> {
        within(async {
            sqlx::query("update switches set is_logged = true where id = $1")
                .bind(id)
                .execute(&self.pool)
                .await?;
            Ok(())
        })
        .await
    }
}

/// Journals a switch; what was to be switched to before is not any more.
pub(super) async fn journal(
    connection: &mut PgConnection,
    agent: &str,
    version: &str,
    cause: Cause,
    reason: &str,
) -> Result<(), Error> {
    let now = Utc::now();
    sqlx::query(
        "update switches set state = 'superseded', ended_at = $2
          where agent = $1 and state = 'pending'",
    )
    .bind(agent)
    .bind(now)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into switches (id, agent, version, cause, reason, state, created_at)
         values ($1, $2, $3, $4, $5, 'pending', $6)",
    )
    .bind(Uuid::now_v7())
    .bind(agent)
    .bind(version)
    .bind(cause.name())
    .bind(reason)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

async fn end(
    connection: &mut PgConnection,
    switch: &Switch,
    state: &'static str,
) -> Result<(), Error> {
    sqlx::query(
        "update switches set state = $2, ended_at = $3 where id = $1 and state = 'pending'",
    )
    .bind(switch.id)
    .bind(state)
    .bind(Utc::now())
    .execute(connection)
    .await?;
    Ok(())
}

fn read(row: &PgRow) -> Result<Switch, Error> {
    let cause = match row.try_get::<&str, _>("cause")? {
        "rollback" => Cause::Rollback,
        _ => Cause::Promotion,
    };
    Ok(Switch {
        id: row.try_get("id")?,
        agent: row.try_get("agent")?,
        version: row.try_get("version")?,
        instructions: row.try_get("instructions")?,
        cause,
        reason: row.try_get("reason")?,
    })
}
