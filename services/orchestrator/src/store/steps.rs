//! Steps: begun, done, failed. What is done stays done.

use serde_json::Value;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{Store, events::append, lock_owned, outputs, rows, within};
use crate::{
    error::Error,
    run::{Event, NewEvent, NewOutput, NewStep, OwnerId, RunId, Step, StepState, now},
};

/// What the journal says when a step is about to be taken.
#[derive(Debug, PartialEq)]
pub(crate) enum Begun {
    /// It was done before: its output.
    Done(Value),
    /// It failed for good before: why.
    Failed(String),
    /// It is journalled as begun; take it.
    Running(Vec<Event>),
}

impl Store {
    /// Begins a step, unless it was done or has failed before.
    pub(crate) async fn begin_step(
        &self,
        run: RunId,
        owner: OwnerId,
        step: &NewStep,
    ) -> Result<Begun, Error> {
        within(async {
            let mut tx = self.pool.begin().await?;
            lock_owned(&mut tx, run, owner).await?;
            let begun = match read(&mut tx, run, &step.key).await? {
                Some(Step { state: StepState::Done, output, .. }) => {
                    return Ok(Begun::Done(output.unwrap_or(Value::Null)));
                }
                Some(Step { state: StepState::Failed, error, .. }) => {
                    return Ok(Begun::Failed(error));
                }
                Some(Step { state: StepState::Running, .. }) => {
                    sqlx::query(
                        "update steps set attempts = attempts + 1 where run_id = $1 and key = $2",
                    )
                    .bind(run.0)
                    .bind(&step.key)
                    .execute(&mut *tx)
                    .await?;
                    Begun::Running(Vec::new())
                }
                None => {
                    insert(&mut tx, run, step).await?;
                    let events: Vec<NewEvent> = step.begins.iter().cloned().collect();
                    Begun::Running(append(&mut tx, run, &events, now()).await?)
                }
            };
            tx.commit().await?;
            Ok(begun)
        })
        .await
    }

    /// Journals a step as done, with its events. Asked again (after a commit whose answer was
    /// lost), changes nothing.
    pub(crate) async fn finish_step(
        &self,
        run: RunId,
        owner: OwnerId,
        key: &str,
        output: &Value,
        events: &[NewEvent],
        put_out: Option<&NewOutput>,
    ) -> Result<Vec<Event>, Error> {
        within(async {
            let mut tx = self.pool.begin().await?;
            lock_owned(&mut tx, run, owner).await?;
            let at = now();
            let changed = sqlx::query(
                "update steps set state = 'done', output = $3, error = '', finished_at = $4
                 where run_id = $1 and key = $2 and state = 'running'",
            )
            .bind(run.0)
            .bind(key)
            .bind(output)
            .bind(at)
            .execute(&mut *tx)
            .await?
            .rows_affected();
            if changed == 0 {
                return Ok(Vec::new());
            }
            sqlx::query("update runs set steps_done = steps_done + 1 where id = $1")
                .bind(run.0)
                .execute(&mut *tx)
                .await?;
            if let Some(put_out) = put_out {
                outputs::insert(&mut tx, Uuid::now_v7(), run, key, put_out, at).await?;
            }
            let events = append(&mut tx, run, events, at).await?;
            tx.commit().await?;
            Ok(events)
        })
        .await
    }

    /// Journals a step as failed for good (until the run is resumed), with its events.
    pub(crate) async fn fail_step(
        &self,
        run: RunId,
        owner: OwnerId,
        key: &str,
        error: &str,
        events: &[NewEvent],
    ) -> Result<Vec<Event>, Error> {
        within(async {
            let mut tx = self.pool.begin().await?;
            lock_owned(&mut tx, run, owner).await?;
            let at = now();
            let changed = sqlx::query(
                "update steps set state = 'failed', error = $3, finished_at = $4
                 where run_id = $1 and key = $2 and state = 'running'",
            )
            .bind(run.0)
            .bind(key)
            .bind(error)
            .bind(at)
            .execute(&mut *tx)
            .await?
            .rows_affected();
            if changed == 0 {
                return Ok(Vec::new());
            }
            let events = append(&mut tx, run, events, at).await?;
            tx.commit().await?;
            Ok(events)
        })
        .await
    }

    /// The journal of a run, in order.
    pub(crate) async fn steps(&self, run: RunId) -> Result<Vec<Step>, Error> {
        self.run(run).await?;
        within(async {
            sqlx::query("select * from steps where run_id = $1 order by position")
                .bind(run.0)
                .fetch_all(&self.pool)
                .await?
                .iter()
                .map(rows::step)
                .collect()
        })
        .await
    }
}

async fn read(connection: &mut PgConnection, run: RunId, key: &str) -> Result<Option<Step>, Error> {
    sqlx::query("select * from steps where run_id = $1 and key = $2")
        .bind(run.0)
        .bind(key)
        .fetch_optional(connection)
        .await?
        .map(|row| rows::step(&row))
        .transpose()
}

async fn insert(connection: &mut PgConnection, run: RunId, step: &NewStep) -> Result<(), Error> {
    let position: i64 = sqlx::query(
        "update runs set last_position = last_position + 1 where id = $1 returning last_position",
    )
    .bind(run.0)
    .fetch_one(&mut *connection)
    .await?
    .try_get("last_position")?;
    sqlx::query(
        "insert into steps (run_id, key, position, kind, agent, state, input, attempts, started_at)
         values ($1, $2, $3, $4, $5, 'running', $6, 1, $7)",
    )
    .bind(run.0)
    .bind(&step.key)
    .bind(position)
    .bind(step.kind.as_str())
    .bind(&step.agent)
    .bind(&step.input)
    .bind(now())
    .execute(connection)
    .await?;
    Ok(())
}
