//! Instructions that replace those of config.yaml.

use std::collections::HashMap;

use sqlx::{Row, postgres::PgRow};

use super::{Store, within};
use crate::{error::Error, run::now};

/// The instructions an agent works by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instructions {
    pub(crate) text: String,
    pub(crate) version: String,
}

impl Store {
    /// What was set for an agent, if anything.
    pub(crate) async fn instructions(&self, agent: &str) -> Result<Option<Instructions>, Error> {
        within(async {
            sqlx::query("select * from agent_instructions where agent = $1")
                .bind(agent)
                .fetch_optional(&self.pool)
                .await?
                .map(|row| read(&row))
                .transpose()
        })
        .await
    }

    /// What was set for any agent.
    pub(crate) async fn all_instructions(&self) -> Result<HashMap<String, Instructions>, Error> {
        within(async {
            sqlx::query("select * from agent_instructions")
                .fetch_all(&self.pool)
                .await?
                .iter()
                .map(|row| Ok((row.try_get("agent")?, read(row)?)))
                .collect()
        })
        .await
    }

    /// Sets an agent's instructions; `None` returns to those of config.yaml.
    pub(crate) async fn set_instructions(
        &self,
        agent: &str,
        instructions: Option<&Instructions>,
    ) -> Result<(), Error> {
        within(async {
            let query = match instructions {
                None => sqlx::query("delete from agent_instructions where agent = $1").bind(agent),
                Some(new) => sqlx::query(
                    "insert into agent_instructions (agent, instructions, version, set_at)
                     values ($1, $2, $3, $4)
                     on conflict (agent) do update set instructions = excluded.instructions,
                       version = excluded.version, set_at = excluded.set_at",
                )
                .bind(agent)
                .bind(&new.text)
                .bind(&new.version)
                .bind(now()),
            };
            query.execute(&self.pool).await?;
            Ok(())
        })
        .await
    }
}

fn read(row: &PgRow) -> Result<Instructions, Error> {
    Ok(Instructions { text: row.try_get("instructions")?, version: row.try_get("version")? })
}
