//! Every metric of this service.
//!
//! | metric | type | labels |
//! |---|---|---|
//! | `alina_memory_cache_total` | counter | result (hit, miss, away) |
//! | `alina_memory_cache_left_alone` | gauge | |
//! | `alina_memory_vectors_total` | counter | |
//! | `alina_memory_awaiting_vectors` | gauge | |
//! | `alina_memory_bank_total` | counter | step (taken_in, written, set_aside, late) |
//! | `alina_memory_bank_conflicts` | gauge | |
//! | `alina_memory_bank_problems` | gauge | |

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// What became of a look into the cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Looked {
    /// hit, miss or away.
    pub result: &'static str,
}

/// What became of a document or its file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BankStep {
    /// taken_in (or noted), written, set_aside or late: written by a person into what was replaced.
    pub step: &'static str,
}

/// The handles.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Looks into the cache.
    pub cache: Family<Looked, Counter>,
    /// 1 while Redis is left alone because it failed, at the last look.
    pub cache_left_alone: Gauge,
    /// Vectors stored.
    pub vectors: Counter,
    /// Items without a vector at the last look.
    pub awaiting_vectors: Gauge,
    /// What was done to keep documents and files in step.
    pub bank: Family<BankStep, Counter>,
    /// Agents' edits set aside at the last look.
    pub bank_conflicts: Gauge,
    /// Files that could not be kept in step at the last look.
    pub bank_problems: Gauge,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self {
            cache: Family::default(),
            cache_left_alone: Gauge::default(),
            vectors: Counter::default(),
            awaiting_vectors: Gauge::default(),
            bank: Family::default(),
            bank_conflicts: Gauge::default(),
            bank_problems: Gauge::default(),
        };
        registry.register("alina_memory_cache", "Looks into the cache", this.cache.clone());
        registry.register(
            "alina_memory_cache_left_alone",
            "Whether Redis is left alone because it failed",
            this.cache_left_alone.clone(),
        );
        registry.register("alina_memory_vectors", "Vectors stored", this.vectors.clone());
        registry.register(
            "alina_memory_awaiting_vectors",
            "Items without a vector yet",
            this.awaiting_vectors.clone(),
        );
        registry.register(
            "alina_memory_bank",
            "What was done to keep documents and files in step",
            this.bank.clone(),
        );
        registry.register(
            "alina_memory_bank_conflicts",
            "Edits of agents that are set aside",
            this.bank_conflicts.clone(),
        );
        registry.register(
            "alina_memory_bank_problems",
            "Files that cannot be kept in step",
            this.bank_problems.clone(),
        );
        this
    }
}
