//! Runs: begun, read, ended, taken up again.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use super::{Store, events::append, lock_owned, rows, untold::tell_later, within};
use crate::{
    error::Error,
    run::{Ending, Event, EventKind, NewEvent, NewRun, OwnerId, Run, RunId, RunState, now},
    text::{excerpt, one_line},
};

/// A goal or an error in a line of the log, in bytes.
const SUMMARY_BYTES: usize = 160;

impl Store {
    /// Journals a run, unless its key was used before: then gives that run and `true`.
    pub(crate) async fn create_run(
        &self,
        new: &NewRun,
        key: Option<&str>,
        max_queued: u32,
    ) -> Result<(Run, bool), Error> {
        within(async {
            let mut tx = self.pool.begin().await?;
            if let Some(earlier) = used_key(&mut tx, key).await? {
                return same_goal(earlier, &new.goal);
            }
            let queued: i64 =
                sqlx::query("select count(*) as queued from runs where state = 'queued'")
                    .fetch_one(&mut *tx)
                    .await?
                    .try_get("queued")?;
            if queued >= i64::from(max_queued) {
                return Err(Error::TooManyRuns(max_queued));
            }
            sqlx::query(
                "insert into runs (id, goal, namespace, agents, state, created_at, deadline_at)
                 values ($1, $2, $3, $4, 'queued', $5, $6)",
            )
            .bind(new.id.0)
            .bind(&new.goal)
            .bind(&new.namespace)
            .bind(&new.agents)
            .bind(new.created_at)
            .bind(new.deadline_at)
            .execute(&mut *tx)
            .await?;
            if let Some(key) = key {
                // Waits for a transaction that is writing the same key.
                let fresh = sqlx::query(
                    "insert into run_keys (key, run_id) values ($1, $2) on conflict do nothing",
                )
                .bind(key)
                .bind(new.id.0)
                .execute(&mut *tx)
                .await?
                .rows_affected();
                if fresh == 0 {
                    tx.rollback().await?;
                    let mut connection = self.pool.acquire().await?;
                    let earlier = used_key(&mut connection, Some(key)).await?;
                    return same_goal(earlier.ok_or(Error::RunNotFound(new.id))?, &new.goal);
                }
            }
            let started = NewEvent::new(EventKind::RunStarted, &new.goal);
            append(&mut tx, new.id, &[started], new.created_at).await?;
            let summary = format!("works on: {}", brief(&new.goal));
            tell_later(&mut tx, new.id, "run.started", &summary).await?;
            let run = read(&mut tx, new.id).await?;
            tx.commit().await?;
            Ok((run, false))
        })
        .await
    }

    /// One run.
    pub(crate) async fn run(&self, id: RunId) -> Result<Run, Error> {
        within(async { read(&mut *self.pool.acquire().await?, id).await }).await
    }

    /// Runs created before one (all when `None`), newest first.
    pub(crate) async fn runs_before(
        &self,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<Run>, Error> {
        within(async {
            sqlx::query(
                "select * from runs where $1::uuid is null or id < $1 order by id desc limit $2",
            )
            .bind(before.map(|id| id.0))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(rows::run)
            .collect()
        })
        .await
    }

    /// Cancels an open run; one already cancelled stays as it is.
    pub(crate) async fn cancel_run(&self, id: RunId) -> Result<(Run, Vec<Event>), Error> {
        within(async {
            let mut tx = self.pool.begin().await?;
            let run = lock(&mut tx, id).await?;
            match run.state {
                RunState::Queued | RunState::Running => {}
                RunState::Cancelled => return Ok((run, Vec::new())),
                ended => return Err(Error::RunFinished(id, ended)),
            }
            let cancelled = NewEvent::new(EventKind::RunCancelled, "cancelled on request");
            let events = end(&mut tx, id, RunState::Cancelled, "", "", cancelled).await?;
            let summary = format!("cancelled on request: {}", brief(&run.goal));
            tell_later(&mut tx, id, "run.cancelled", &summary).await?;
            let run = read(&mut tx, id).await?;
            tx.commit().await?;
            Ok((run, events))
        })
        .await
    }

    /// Queues a failed or cancelled run again; an open one stays as it is.
    pub(crate) async fn resume_run(
        &self,
        id: RunId,
        deadline_at: DateTime<Utc>,
    ) -> Result<(Run, Vec<Event>), Error> {
        within(async {
            let mut tx = self.pool.begin().await?;
            let run = lock(&mut tx, id).await?;
            match run.state {
                RunState::Failed | RunState::Cancelled => {}
                RunState::Queued | RunState::Running => return Ok((run, Vec::new())),
                RunState::Succeeded => return Err(Error::RunFinished(id, run.state)),
            }
            sqlx::query(
                "update runs set state = 'queued', error = '', finished_at = null,
                   deadline_at = $2, owner = null, lease_until = null
                 where id = $1",
            )
            .bind(id.0)
            .bind(deadline_at)
            .execute(&mut *tx)
            .await?;
            // What failed is tried again. Once the answer stands, tasks that failed stay so: it
            // says which they were.
            sqlx::query(
                "update steps set state = 'running', error = '', finished_at = null
                 where run_id = $1 and state = 'failed' and (kind = 'remember' or not exists (
                   select from steps where run_id = $1 and key = 'answer' and state = 'done'))",
            )
            .bind(id.0)
            .execute(&mut *tx)
            .await?;
            let resumed = NewEvent::new(EventKind::Resumed, "taken up again on request");
            let events = append(&mut tx, id, &[resumed], now()).await?;
            let summary = format!("works again on: {}", brief(&run.goal));
            tell_later(&mut tx, id, "run.resumed", &summary).await?;
            let run = read(&mut tx, id).await?;
            tx.commit().await?;
            Ok((run, events))
        })
        .await
    }

    /// Ends a run that `owner` works on.
    pub(crate) async fn end_run(
        &self,
        id: RunId,
        owner: OwnerId,
        ending: &Ending,
    ) -> Result<Vec<Event>, Error> {
        within(async {
            let mut tx = self.pool.begin().await?;
            lock_owned(&mut tx, id, owner).await?;
            let events = match ending {
                Ending::Succeeded(answer) => {
                    let event = NewEvent::new(EventKind::RunSucceeded, answer);
                    end(&mut tx, id, RunState::Succeeded, answer, "", event).await?
                }
                Ending::Failed(error) => {
                    tell_later(&mut tx, id, "run.failed", &brief(error)).await?;
                    let event = NewEvent::new(EventKind::RunFailed, error);
                    end(&mut tx, id, RunState::Failed, "", error, event).await?
                }
            };
            tx.commit().await?;
            Ok(events)
        })
        .await
    }
}

fn brief(text: &str) -> String {
    excerpt(&one_line(text), SUMMARY_BYTES)
}

async fn used_key(connection: &mut PgConnection, key: Option<&str>) -> Result<Option<Run>, Error> {
    let Some(key) = key else { return Ok(None) };
    sqlx::query("select runs.* from run_keys join runs on runs.id = run_id where key = $1")
        .bind(key)
        .fetch_optional(connection)
        .await?
        .map(|row| rows::run(&row))
        .transpose()
}

fn same_goal(earlier: Run, goal: &str) -> Result<(Run, bool), Error> {
    if earlier.goal == goal { Ok((earlier, true)) } else { Err(Error::KeyReused(earlier.id)) }
}

async fn read(connection: &mut PgConnection, id: RunId) -> Result<Run, Error> {
    let row = sqlx::query("select * from runs where id = $1")
        .bind(id.0)
        .fetch_optional(connection)
        .await?;
    rows::run(&row.ok_or(Error::RunNotFound(id))?)
}

async fn lock(connection: &mut PgConnection, id: RunId) -> Result<Run, Error> {
    let row = sqlx::query("select * from runs where id = $1 for update")
        .bind(id.0)
        .fetch_optional(connection)
        .await?;
    rows::run(&row.ok_or(Error::RunNotFound(id))?)
}

/// Ends a locked run; the steps under way have failed with it.
async fn end(
    connection: &mut PgConnection,
    id: RunId,
    state: RunState,
    answer: &str,
    error: &str,
    event: NewEvent,
) -> Result<Vec<Event>, Error> {
    let at = now();
    sqlx::query(
        "update runs set state = $2, answer = $3, error = $4, finished_at = $5,
           owner = null, lease_until = null
         where id = $1",
    )
    .bind(id.0)
    .bind(state.as_str())
    .bind(answer)
    .bind(error)
    .bind(at)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "update steps set state = 'failed', error = $2, finished_at = $3
         where run_id = $1 and state = 'running'",
    )
    .bind(id.0)
    .bind(format!("the run has {} meanwhile", state.as_str()))
    .bind(at)
    .execute(&mut *connection)
    .await?;
    append(connection, id, &[event], at).await
}
