//! What agents put out: appended with their tasks, read by cursor.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Store, rows, within};
use crate::{
    error::Error,
    run::{NewOutput, Output, RunId},
};

impl Store {
    /// Outputs after an ordinal, oldest first.
    pub(crate) async fn outputs_after(
        &self,
        ordinal: i64,
        limit: u32,
    ) -> Result<Vec<Output>, Error> {
        within(async {
            sqlx::query("select * from outputs where ordinal > $1 order by ordinal limit $2")
                .bind(ordinal)
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await?
                .iter()
                .map(rows::output)
                .collect()
        })
        .await
    }
}

/// Inserts under a lock that lasts to the end of the transaction: see the migration.
pub(super) async fn insert(
    connection: &mut PgConnection,
    id: Uuid,
    run: RunId,
    step_key: &str,
    output: &NewOutput,
    at: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('orchestrator.outputs', 0))")
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "insert into outputs
           (id, run_id, step_key, agent, instructions_version, model, input, output, at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id)
    .bind(run.0)
    .bind(step_key)
    .bind(&output.agent)
    .bind(&output.instructions_version)
    .bind(&output.model)
    .bind(&output.input)
    .bind(&output.output)
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}
