//! Alerts: stored once for each key, and told to every open run.

use sqlx::Row;
use uuid::Uuid;

use super::{Store, events::append, rows, within};
use crate::{
    error::Error,
    run::{Alert, AlertId, Event, RunId, now},
};

impl Store {
    /// Stores an alert, unless its key was used before: then gives that alert's id.
    pub(crate) async fn raise_alert(
        &self,
        key: &str,
        alert: &Alert,
    ) -> Result<(AlertId, Vec<Event>), Error> {
        within(async {
            let mut tx = self.pool.begin().await?;
            let fresh = sqlx::query(
                "insert into alerts
                   (id, idempotency_key, source, name, severity, summary, details, at, resolved)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 on conflict (idempotency_key) do nothing",
            )
            .bind(alert.id.0)
            .bind(key)
            .bind(&alert.source)
            .bind(&alert.name)
            .bind(alert.severity.as_str())
            .bind(&alert.summary)
            .bind(&alert.details)
            .bind(alert.at)
            .bind(alert.resolved)
            .execute(&mut *tx)
            .await?
            .rows_affected();
            if fresh == 0 {
                let earlier = sqlx::query("select id from alerts where idempotency_key = $1")
                    .bind(key)
                    .fetch_one(&mut *tx)
                    .await?;
                return Ok((AlertId(earlier.try_get("id")?), Vec::new()));
            }
            // In one order, so that two alerts never wait for each other.
            let open = sqlx::query(
                "select id from runs where state in ('queued', 'running') order by id for update",
            )
            .fetch_all(&mut *tx)
            .await?;
            let mut events = Vec::new();
            for row in &open {
                let run = RunId(row.try_get::<Uuid, _>("id")?);
                events.extend(append(&mut tx, run, &[alert.event()], now()).await?);
            }
            tx.commit().await?;
            Ok((alert.id, events))
        })
        .await
    }

    /// Alerts that came before one (all when `None`), newest first.
    pub(crate) async fn alerts_before(
        &self,
        before: Option<AlertId>,
        limit: u32,
    ) -> Result<Vec<Alert>, Error> {
        within(async {
            sqlx::query(
                "select * from alerts where $1::uuid is null or id < $1 order by id desc limit $2",
            )
            .bind(before.map(|id| id.0))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(rows::alert)
            .collect()
        })
        .await
    }
}
