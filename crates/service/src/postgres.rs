//! A service's own schema in the shared database.

use std::time::Duration;

use sqlx::{
    Connection, Executor, PgConnection, PgPool, Row,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Common, StartError};

/// How long a request waits for a connection before it is told that the database is away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection that was not used for so long is asked whether it still is one.
const IDLE: Duration = Duration::from_millis(200);

pub(crate) async fn connect(
    common: &Common,
    schema: &'static str,
    migrator: &Migrator,
    shutdown: &CancellationToken,
) -> Result<PgPool, StartError> {
    let options = options(common, schema)?;
    let ready = wait_until_ready(common, &options, schema);
    shutdown.run_until_cancelled(ready).await.ok_or(StartError::Stopped)??;

    let pool = pool(common.postgres.max_connections).connect_lazy_with(options);
    migrator
        .run(&pool)
        .await
        .map_err(|error| StartError::Migration { schema, cause: error.to_string() })?;
    Ok(pool)
}

fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A connection that was used just now needs no question whether it still is one: that would
        // double the round trips.
        .test_before_acquire(false)
        .before_acquire(|connection, state| {
            Box::pin(async move {
                if state.idle_for > IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        // For this one only those wait who wait for a connection.
        .after_release(|connection, _| Box::pin(is_outside_transactions(connection)))
}

/// Whether a connection that is given back is in no transaction, as sqlx believes. It is in one whose
/// BEGIN was sent by a request that was given up before the answer came: the next to get it would read
/// what was, or write what is never committed.
async fn is_outside_transactions(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // As one statement: of several the times differ.
    let asked = sqlx::raw_sql("SELECT transaction_timestamp() = statement_timestamp()");
    connection.fetch_one(asked).await?.try_get(0)
}

fn options(common: &Common, schema: &'static str) -> Result<PgConnectOptions, StartError> {
    Ok(common
        .postgres_options()?
        .application_name(&format!("alina-{schema}"))
        .options([("search_path", format!("{schema},public"))]))
}

async fn wait_until_ready(
    common: &Common,
    options: &PgConnectOptions,
    schema: &'static str,
) -> Result<(), StartError> {
    let seconds = common.postgres.connect_timeout_seconds;
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut pause = Duration::from_millis(50);
    loop {
        let cause = match tokio::time::timeout(ACQUIRE_TIMEOUT, make(options, schema)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if Instant::now() + pause >= deadline {
            let address = format!("{}:{}", options.get_host(), options.get_port());
            return Err(StartError::Postgres { address, seconds, cause });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Makes the schema; that also proves that the server is ready.
async fn make(options: &PgConnectOptions, schema: &'static str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    // Schema names are constants of the services, never input.
    let statement = sqlx::AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {schema}"));
    connection.execute(sqlx::raw_sql(statement)).await?;
    connection.close().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_is_given_up_leaves_no_transaction_open() {
        let database = alina_testkit::postgres().await;
        let pool = pool(1).connect(database.url()).await.unwrap();
        // Acquired before: the connection is there already.
        drop(pool.acquire().await.unwrap());
        for _ in 0..3 {
            let begin = pool.begin_with("BEGIN; SELECT pg_sleep(0.2)");
            let given_up = tokio::time::timeout(Duration::from_millis(50), begin).await;
            assert!(given_up.is_err());
            let mut connection = pool.acquire().await.unwrap();
            assert!(is_outside_transactions(&mut connection).await.unwrap());
        }
    }
}
