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
//! | `alina_memory_awaiting_extraction` | gauge | tier (rules, model): episodes that wait |
//! | `alina_memory_extracted_episodes_total` | counter | tier |
//! | `alina_memory_extracted_facts_total` | counter | tier |
//! | `alina_memory_refused_facts_total` | counter | tier: proposed, not borne out by the text |
//! | `alina_memory_extraction_tokens_total` | counter | tier |
//! | `alina_memory_extraction_seconds_total` | counter | tier |

use std::sync::atomic::AtomicU64;

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

/// Who extracts facts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Tiered {
    /// rules or model.
    pub tier: &'static str,
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
    /// Episodes whose facts are not extracted yet, at the last look.
    pub awaiting_extraction: Family<Tiered, Gauge>,
    /// Episodes read.
    pub extracted_episodes: Family<Tiered, Counter>,
    /// Facts written.
    pub extracted_facts: Family<Tiered, Counter>,
    /// Facts proposed and not borne out.
    pub refused_facts: Family<Tiered, Counter>,
    /// Tokens of the model, prompts included.
    pub extraction_tokens: Family<Tiered, Counter>,
    /// Time spent.
    pub extraction_seconds: Family<Tiered, Counter<f64, AtomicU64>>,
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
            awaiting_extraction: Family::default(),
            extracted_episodes: Family::default(),
            extracted_facts: Family::default(),
            refused_facts: Family::default(),
            extraction_tokens: Family::default(),
            extraction_seconds: Family::default(),
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
        this.register_extraction(registry);
        this
    }

    fn register_extraction(&self, registry: &mut Registry) {
        registry.register(
            "alina_memory_awaiting_extraction",
            "Episodes whose facts are not extracted yet",
            self.awaiting_extraction.clone(),
        );
        registry.register(
            "alina_memory_extracted_episodes",
            "Episodes read for facts",
            self.extracted_episodes.clone(),
        );
        registry.register(
            "alina_memory_extracted_facts",
            "Facts extracted and written",
            self.extracted_facts.clone(),
        );
        registry.register(
            "alina_memory_refused_facts",
            "Facts a model proposed that the text does not bear out",
            self.refused_facts.clone(),
        );
        registry.register(
            "alina_memory_extraction_tokens",
            "Tokens used for extraction, prompts included",
            self.extraction_tokens.clone(),
        );
        registry.register(
            "alina_memory_extraction_seconds",
            "Time spent extracting and writing facts",
            self.extraction_seconds.clone(),
        );
    }
}
