//! config.yaml: read, overridden by the environment, checked, and only then believed.

mod check;
mod common;
mod load;

pub use check::{Check, ConfigError, Problem};
pub use common::{
    Common, Endpoint, LogFormat, Machine, Postgres, Redis, Security, Services, Telemetry,
};
pub use load::{Loaded, Raw};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// A service's own section of config.yaml. What is absent takes its default.
pub trait Section: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Refuses values that are well-formed but impossible. Paths are relative to the section.
    fn check(&self, check: &mut Check);
}

/// The JSON schema of the sections that all services share.
#[must_use]
pub fn common_schema() -> serde_json::Value {
    schemars::schema_for!(common::Shared).to_value()
}
