//! A database of a test's own.

use std::{str::FromStr, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use uuid::Uuid;

use crate::cluster;

/// An empty database; it goes with the test run.
#[derive(Debug, Clone)]
pub struct Database {
    url: String,
}

/// Makes a fresh, empty database on the run's PostgreSQL.
///
/// # Panics
/// When PostgreSQL cannot be started; the message says what is missing.
pub async fn postgres() -> Database {
    let server = cluster::server().await;
    let name = format!("test_{}", Uuid::new_v4().simple());
    let options = PgConnectOptions::from_str(&format!("{server}/postgres")).expect("a valid URL");
    let mut connection = PgConnection::connect_with(&options).await.expect("PostgreSQL answers");
    // The name is made above of letters and digits.
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    connection.execute(sqlx::raw_sql(create)).await.expect("a fresh database");
    connection.close().await.expect("the connection ends");
    Database { url: format!("{server}/{name}") }
}

impl Database {
    pub(crate) fn at(url: String) -> Self {
        Self { url }
    }

    /// `postgres://alina:PASSWORD@127.0.0.1:PORT/NAME`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connections to it.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn pool(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(10))
            .connect(&self.url)
            .await
            .expect("the database answers")
    }
}
