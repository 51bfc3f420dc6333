//! What tests stand on: a real PostgreSQL, a real Redis and the services' real programs.
//!
//! One PostgreSQL serves all tests of a run (each in its own database); it is started by the first
//! that asks and stopped by a watchdog when the run ends. What is missing is told by a panic that
//! says what to do.

mod cluster;
mod database;
mod paths;
mod redis;
mod suite;
mod watchdog;

pub use database::{Database, postgres};
pub use paths::{free_port, home, models, repository};
pub use redis::{TestRedis, redis};
pub use suite::{Suite, SuiteBuilder};
