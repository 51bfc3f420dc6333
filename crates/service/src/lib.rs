//! The chassis every service stands on.
//!
//! `main.rs` is one call of [`run`]: it reads config.yaml ([`config`]), sets up logs and traces,
//! gives the service's `build` a [`Context`] (database, clients, metrics, background tasks) and
//! serves the routes it returns with health, reflection, deadlines, authentication, load shedding,
//! request metrics and a graceful end ([`server`]).

pub mod config;
pub mod status;

mod context;
mod metrics;
mod postgres;
mod run;
mod server;
mod telemetry;

pub use config::{Check, Common, ConfigError, Section};
pub use context::{Context, StartError};
pub use run::run;
