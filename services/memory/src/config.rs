//! The section `memory` of config.yaml.

use alina_service::{Check, Section};
use schemars::JsonSchema;
use serde::Deserialize;

/// What is kept and how it is found.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryConfig {
    /// How long Redis keeps a read; a write makes all older ones of its namespace void at once.
    pub cache_seconds: u64,
    /// How long Redis may take before the database is asked instead, in milliseconds.
    pub cache_timeout_ms: u64,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { cache_seconds: 60, cache_timeout_ms: 100 }
    }
}

impl Section for MemoryConfig {
    fn check(&self, check: &mut Check) {
        let seconds = (1..=86_400).contains(&self.cache_seconds);
        check.that(seconds, "cache_seconds", "must be 1 to 86400");
        let millis = (1..=5_000).contains(&self.cache_timeout_ms);
        check.that(millis, "cache_timeout_ms", "must be 1 to 5000");
    }
}
