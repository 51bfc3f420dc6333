//! PostgreSQL and Redis as child processes of whoever needs them: the suite's supervisor and the
//! test kit. Their programs come from the Python environment that `./deploy/bootstrap` prepares, or
//! from the system.

mod cluster;
mod error;
mod postgres;
mod process;
mod programs;
mod redis;

pub use error::LocalError;
pub use postgres::{Postgres, PostgresOptions};
pub use programs::{PostgresPrograms, redis_server};
pub use redis::Redis;
