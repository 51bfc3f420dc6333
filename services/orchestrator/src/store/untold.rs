//! What the memory's log of actions is still to be told of runs.

use sqlx::{PgConnection, Row};

use super::{Store, within};
use crate::{error::Error, run::RunId};

/// Something that happened to a run.
#[derive(Debug, Clone)]
pub(crate) struct Untold {
    /// Its place in the order of what happened.
    pub(crate) ordinal: i64,
    pub(crate) run: RunId,
    pub(crate) namespace: String,
    pub(crate) action: String,
    pub(crate) summary: String,
}

/// Lets it be told once the transaction is committed.
pub(super) async fn tell_later(
    connection: &mut PgConnection,
    run: RunId,
    action: &str,
    summary: &str,
) -> Result<(), Error> {
    sqlx::query("insert into untold (run_id, action, summary) values ($1, $2, $3)")
        .bind(run.0)
        .bind(action)
        .bind(summary)
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// The oldest, in order.
    pub(crate) async fn untold(&self, limit: i64) -> Result<Vec<Untold>, Error> {
        within(async {
            let rows = sqlx::query(
                "select ordinal, run_id, namespace, action, summary
                 from untold join runs on runs.id = run_id order by ordinal limit $1",
            )
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
            rows.iter()
                .map(|row| {
                    Ok(Untold {
                        ordinal: row.try_get("ordinal")?,
                        run: RunId(row.try_get("run_id")?),
                        namespace: row.try_get("namespace")?,
                        action: row.try_get("action")?,
                        summary: row.try_get("summary")?,
                    })
                })
                .collect()
        })
        .await
    }

    /// Notes that it was told.
    pub(crate) async fn told(&self, ordinal: i64) -> Result<(), Error> {
        within(async {
            let told = sqlx::query("delete from untold where ordinal = $1").bind(ordinal);
            told.execute(&self.pool).await?;
            Ok(())
        })
        .await
    }

    /// Whether everything about a run is told.
    pub(crate) async fn all_told(&self, run: RunId) -> Result<bool, Error> {
        within(async {
            let row =
                sqlx::query("select not exists (select from untold where run_id = $1) as all_told");
            Ok(row.bind(run.0).fetch_one(&self.pool).await?.try_get("all_told")?)
        })
        .await
    }
}
