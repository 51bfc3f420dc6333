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
    /// The folder whose markdown files are kept in step with documents.
    pub bank: BankConfig,
    /// Facts taken out of what was said, in the background.
    pub extraction: ExtractionConfig,
}

/// A folder of markdown files and the documents of a namespace, kept in step both ways.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BankConfig {
    /// The folder; nothing is watched or written while it is empty.
    pub folder: String,
    /// Whose documents.
    pub namespace: String,
    /// How long a file must have been left alone before it is read, in milliseconds.
    pub settle_ms: u64,
    /// How often all files are looked at, whether or not the system told of a change, in seconds.
    pub scan_seconds: u64,
}

impl Default for BankConfig {
    fn default() -> Self {
        Self {
            folder: String::new(),
            namespace: "default".to_owned(),
            settle_ms: 60,
            scan_seconds: 5,
        }
    }
}

/// Facts taken out of what was said: by rules, and by a model where it is allowed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExtractionConfig {
    /// Whether rules read every episode.
    pub rules: bool,
    /// Whether a model of the inference-gateway reads them, too.
    pub model: bool,
    /// Which: a model, alias or route of the inference-gateway.
    pub model_alias: String,
    /// The most episodes a model reads in an hour; the others wait.
    pub model_episodes_per_hour: u32,
    /// The most tokens it may use in an hour, prompts included.
    pub model_tokens_per_hour: u32,
    /// So much of an episode is given to it, in bytes.
    pub model_bytes: u32,
}

impl Default for ExtractionConfig {
    fn default() -> Self {
        Self {
            rules: true,
            model: false,
            model_alias: "default".to_owned(),
            model_episodes_per_hour: 120,
            model_tokens_per_hour: 100_000,
            model_bytes: 2_000,
        }
    }
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            cache_seconds: 60,
            cache_timeout_ms: 100,
            bank: BankConfig::default(),
            extraction: ExtractionConfig::default(),
        }
    }
}

impl Section for MemoryConfig {
    fn check(&self, check: &mut Check) {
        let seconds = (1..=86_400).contains(&self.cache_seconds);
        check.that(seconds, "cache_seconds", "must be 1 to 86400");
        let millis = (1..=5_000).contains(&self.cache_timeout_ms);
        check.that(millis, "cache_timeout_ms", "must be 1 to 5000");
        let name = &self.bank.namespace;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        let named = (1..=64).contains(&name.len()) && name.chars().all(plain);
        let rule = "must be 1 to 64 letters, digits and any of - _ . :";
        check.that(named, "bank.namespace", rule);
        let settle = (1..=10_000).contains(&self.bank.settle_ms);
        check.that(settle, "bank.settle_ms", "must be 1 to 10000");
        let scan = (1..=3_600).contains(&self.bank.scan_seconds);
        check.that(scan, "bank.scan_seconds", "must be 1 to 3600");
        let extraction = &self.extraction;
        let alias = (1..=128).contains(&extraction.model_alias.len());
        check.that(alias, "extraction.model_alias", "must be 1 to 128 bytes");
        let bytes = (64..=16_384).contains(&extraction.model_bytes);
        check.that(bytes, "extraction.model_bytes", "must be 64 to 16384");
    }
}
