//! Who works on a run. A lease is short: when its owner dies, others take the run up soon.

use std::time::Duration;

use sqlx::{Row, postgres::types::PgInterval};

use super::{Store, events::append, rows, within};
use crate::{
    error::Error,
    run::{Event, EventKind, NewEvent, OwnerId, Run, RunId, RunState, now},
};

/// A run claimed by this process.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) run: Run,
    /// RESUMED, when another owner had it before.
    pub(crate) events: Vec<Event>,
}

impl Store {
    /// Claims the oldest run that nobody works on, but for those in `held`.
    pub(crate) async fn claim_run(
        &self,
        owner: OwnerId,
        held: &[RunId],
        lease: Duration,
    ) -> Result<Option<Claim>, Error> {
        within(async {
            let mut tx = self.pool.begin().await?;
            let claimable = sqlx::query(
                "select * from runs
                 where state in ('queued', 'running')
                   and (state = 'queued' or owner is null or lease_until < now())
                   and not (id = any($1))
                 order by id limit 1 for update skip locked",
            )
            .bind(ids(held))
            .fetch_optional(&mut *tx)
            .await?;
            let Some(row) = claimable else { return Ok(None) };
            let mut run = rows::run(&row)?;
            sqlx::query(
                "update runs set state = 'running', owner = $2, lease_until = now() + $3
                 where id = $1",
            )
            .bind(run.id.0)
            .bind(owner.0)
            .bind(interval(lease))
            .execute(&mut *tx)
            .await?;
            let mut events = Vec::new();
            if run.state == RunState::Running {
                let resumed = NewEvent::new(EventKind::Resumed, "taken up again after a restart");
                events = append(&mut tx, run.id, &[resumed], now()).await?;
            }
            tx.commit().await?;
            run.state = RunState::Running;
            Ok(Some(Claim { run, events }))
        })
        .await
    }

    /// Extends the leases of `held`; gives those that are still `owner`'s.
    pub(crate) async fn extend_leases(
        &self,
        owner: OwnerId,
        held: &[RunId],
        lease: Duration,
    ) -> Result<Vec<RunId>, Error> {
        within(async {
            let kept = sqlx::query(
                "update runs set lease_until = now() + $3
                 where id = any($2) and owner = $1 and state = 'running'
                 returning id",
            )
            .bind(owner.0)
            .bind(ids(held))
            .bind(interval(lease))
            .fetch_all(&self.pool)
            .await?;
            kept.iter().map(|row| Ok(RunId(row.try_get("id")?))).collect()
        })
        .await
    }

    /// Gives all of `owner`'s runs free for whoever comes next.
    pub(crate) async fn release_leases(&self, owner: OwnerId) -> Result<(), Error> {
        within(async {
            sqlx::query(
                "update runs set owner = null, lease_until = null
                 where owner = $1 and state = 'running'",
            )
            .bind(owner.0)
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }
}

fn ids(runs: &[RunId]) -> Vec<uuid::Uuid> {
    runs.iter().map(|id| id.0).collect()
}

fn interval(span: Duration) -> PgInterval {
    // A lease is seconds long.
    let microseconds = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    PgInterval { months: 0, days: 0, microseconds }
}
