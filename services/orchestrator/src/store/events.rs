//! Events: appended under the lock of the run's row, read after a sequence number.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use super::{Store, lock_owned, rows, within};
use crate::{
    error::Error,
    run::{Event, NewEvent, OwnerId, RunId, RunState, now},
};

/// A piece of a run's past.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) events: Vec<Event>,
    /// Whether nothing comes after them unless the run is resumed.
    pub(crate) is_all: bool,
}

impl Store {
    /// At most `limit` events after a sequence number.
    pub(crate) async fn events_after(
        &self,
        run: RunId,
        after: u64,
        limit: u32,
    ) -> Result<Past, Error> {
        within(async {
            let mut connection = self.pool.acquire().await?;
            // The state first: events that come between the two questions are then a surplus.
            let row = sqlx::query("select state, last_sequence from runs where id = $1")
                .bind(run.0)
                .fetch_optional(&mut *connection)
                .await?
                .ok_or(Error::RunNotFound(run))?;
            let state: RunState = row.try_get::<&str, _>("state")?.parse()?;
            let last = u64::try_from(row.try_get::<i64, _>("last_sequence")?).unwrap_or(0);
            let events = sqlx::query(
                "select * from events where run_id = $1 and sequence > $2
                 order by sequence limit $3",
            )
            .bind(run.0)
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(&mut *connection)
            .await?
            .iter()
            .map(rows::event)
            .collect::<Result<Vec<_>, _>>()?;
            let reached = events.last().map_or(after, |event| event.sequence);
            Ok(Past { events, is_all: !state.is_open() && reached >= last })
        })
        .await
    }

    /// Adds events to a run that `owner` works on.
    pub(crate) async fn add_events(
        &self,
        run: RunId,
        owner: OwnerId,
        events: &[NewEvent],
    ) -> Result<Vec<Event>, Error> {
        within(async {
            let mut tx = self.pool.begin().await?;
            lock_owned(&mut tx, run, owner).await?;
            let events = append(&mut tx, run, events, now()).await?;
            tx.commit().await?;
            Ok(events)
        })
        .await
    }
}

/// Appends events; the transaction must hold the lock of the run's row.
pub(super) async fn append(
    connection: &mut PgConnection,
    run: RunId,
    events: &[NewEvent],
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Error> {
    let mut appended = Vec::with_capacity(events.len());
    for what in events {
        let sequence: i64 = sqlx::query(
            "update runs set last_sequence = last_sequence + 1 where id = $1
             returning last_sequence",
        )
        .bind(run.0)
        .fetch_one(&mut *connection)
        .await?
        .try_get("last_sequence")?;
        sqlx::query(
            "insert into events (run_id, sequence, at, kind, agent, step_key, text, data)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(run.0)
        .bind(sequence)
        .bind(at)
        .bind(what.kind.as_str())
        .bind(&what.agent)
        .bind(&what.step_key)
        .bind(&what.text)
        .bind(&what.data)
        .execute(&mut *connection)
        .await?;
        let sequence = u64::try_from(sequence).unwrap_or(0);
        appended.push(Event { run_id: run, sequence, at, what: what.clone() });
    }
    Ok(appended)
}
