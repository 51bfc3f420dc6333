//! All metrics of the inference gateway.
//!
//! Those that begin with `gen_ai` follow the OpenTelemetry semantic conventions for generative AI
//! metrics, version 1.37.0 (status: development), names and attributes with underscores and units
//! as Prometheus writes them:
//! <https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/gen-ai/gen-ai-metrics.md>
//! Their label `gen_ai_provider_name` is the back end, `gen_ai_operation_name` is always `chat`.
//!
//! | name | kind | labels |
//! |---|---|---|
//! | `gen_ai_client_token_usage` | histogram | operation, provider, model, `gen_ai_token_type` |
//! | `gen_ai_server_request_duration_seconds` | histogram | operation, provider, model, `error_type` |
//! | `gen_ai_server_time_to_first_token_seconds` | histogram | operation, provider, model |
//! | `gen_ai_server_time_per_output_token_seconds` | histogram | operation, provider, model |
//! | `alina_inference_running` | gauge | |
//! | `alina_inference_waiting` | gauge | |
//! | `alina_inference_max_running` | gauge | |
//! | `alina_inference_peak_running` | gauge | |
//! | `alina_inference_chats_total` | counter | model, outcome |
//! | `alina_inference_queue_seconds` | histogram | model |
//! | `alina_inference_first_token_seconds` | histogram | model |
//! | `alina_inference_run_seconds` | histogram | model |
//! | `alina_inference_tokens_per_second` | histogram | model |
//! | `alina_inference_prompt_tokens_total` | counter | model, agent |
//! | `alina_inference_completion_tokens_total` | counter | model, agent |
//! | `alina_inference_reused_tokens_total` | counter | model, agent |
//! | `alina_inference_cpu_seconds_total` | counter | model, agent |
//! | `alina_inference_embeddings_total` | counter | model |
//! | `alina_inference_embed_seconds` | histogram | model |
//! | `alina_inference_model_load_seconds` | gauge | model |
//! | `alina_inference_model_memory_bytes` | gauge | model |
//! | `alina_inference_usage_dropped_total` | counter | |
//! | `alina_inference_backend_up` | gauge | backend |
//! | `alina_inference_backend_in_flight` | gauge | backend |
//! | `alina_inference_failovers_total` | counter | backend, reason |
//! | `alina_inference_response_cache_total` | counter | result |

mod backends;

use std::{
    collections::HashSet,
    fmt::Error,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::{Metric, Registry},
};

pub use self::backends::watch_backends;
use crate::{
    chat::{AgentId, Ended, ModelName},
    schedule::Scheduler,
};

const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
const RATES: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 120.0, 200.0];

/// The boundaries that the convention gives.
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
const DURATIONS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const FIRST_TOKEN: [f64; 16] =
    [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const PER_TOKEN: [f64; 13] =
    [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];

/// Values of a label that callers can make up; those after them count as "other".
const NAMES: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModel {
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    model: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAgent {
    model: String,
    agent: String,
}

/// Labels of the convention.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfGenAi {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: String,
    gen_ai_request_model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTokens {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: String,
    gen_ai_request_model: String,
    gen_ai_token_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDuration {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: String,
    gen_ai_request_model: String,
    /// Empty when there was none.
    error_type: &'static str,
}

/// Which model a chat was for, and who served it.
#[derive(Debug, Clone, Copy)]
pub struct Served<'a> {
    /// Its configured name.
    pub model: &'a ModelName,
    /// "embedded" or the name of another back end.
    pub backend: &'a str,
}

/// How long a chat that was answered took.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// Until it had its place.
    pub waited: Duration,
    /// From its coming to its end.
    pub whole: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    result: &'static str,
}

type Histograms = Family<OfModel, Histogram, fn() -> Histogram>;

/// Handles to the metrics; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    chats: Family<OfOutcome, Counter>,
    queue: Histograms,
    first_token: Histograms,
    run: Histograms,
    rate: Histograms,
    prompt_tokens: Family<OfAgent, Counter>,
    completion_tokens: Family<OfAgent, Counter>,
    embeddings: Family<OfModel, Counter>,
    embed: Histograms,
    load: Family<OfModel, Gauge<f64, AtomicU64>>,
    resident: Family<OfModel, Gauge>,
    reused_tokens: Family<OfAgent, Counter>,
    cpu: Family<OfAgent, Counter<f64, AtomicU64>>,
    usage_dropped: Counter,
    failovers: backends::Failovers,
    responses: Family<OfResult, Counter>,
    gen_ai_tokens: Family<OfTokens, Histogram, fn() -> Histogram>,
    gen_ai_duration: Family<OfDuration, Histogram, fn() -> Histogram>,
    gen_ai_first_token: Family<OfGenAi, Histogram, fn() -> Histogram>,
    gen_ai_per_token: Family<OfGenAi, Histogram, fn() -> Histogram>,
    models: Names,
    agents: Names,
}

/// The values a label has had.
#[derive(Debug, Clone, Default)]
struct Names(Arc<Mutex<HashSet<String>>>);

impl Names {
    fn label(&self, name: &str) -> String {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.contains(name) {
            return name.to_owned();
        }
        if names.len() >= NAMES {
            return "other".to_owned();
        }
        names.insert(name.to_owned());
        name.to_owned()
    }
}

impl Metrics {
    /// Names, describes and registers them.
    pub fn register(registry: &mut Registry, scheduler: Scheduler) -> Self {
        let seconds: fn() -> Histogram = || Histogram::new(SECONDS);
        let rates: fn() -> Histogram = || Histogram::new(RATES);
        let this = Self {
            chats: Family::default(),
            queue: Family::new_with_constructor(seconds),
            first_token: Family::new_with_constructor(seconds),
            run: Family::new_with_constructor(seconds),
            rate: Family::new_with_constructor(rates),
            prompt_tokens: Family::default(),
            completion_tokens: Family::default(),
            embeddings: Family::default(),
            embed: Family::new_with_constructor(seconds),
            load: Family::default(),
            resident: Family::default(),
            reused_tokens: Family::default(),
            cpu: Family::default(),
            usage_dropped: Counter::default(),
            failovers: backends::Failovers::default(),
            responses: Family::default(),
            gen_ai_tokens: Family::new_with_constructor(|| Histogram::new(TOKENS)),
            gen_ai_duration: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            gen_ai_first_token: Family::new_with_constructor(|| Histogram::new(FIRST_TOKEN)),
            gen_ai_per_token: Family::new_with_constructor(|| Histogram::new(PER_TOKEN)),
            models: Names::default(),
            agents: Names::default(),
        };
        registry.register_collector(Box::new(LoadNow(scheduler)));
        add(registry, "chats", "Chats ended, by outcome", &this.chats);
        add(registry, "queue_seconds", "Wait for a place", &this.queue);
        let help = "From getting a place to the first token";
        add(registry, "first_token_seconds", help, &this.first_token);
        add(registry, "run_seconds", "From getting a place to the last token", &this.run);
        add(registry, "tokens_per_second", "Of one answer, after its first token", &this.rate);
        add(registry, "prompt_tokens", "Tokens of prompts", &this.prompt_tokens);
        add(registry, "completion_tokens", "Tokens of answers", &this.completion_tokens);
        let help = "Tokens of prompts that were calculated before";
        add(registry, "reused_tokens", help, &this.reused_tokens);
        add(registry, "cpu_seconds", "CPU time of answers, embedded engine only", &this.cpu);
        add(registry, "embeddings", "Texts turned into vectors", &this.embeddings);
        add(registry, "embed_seconds", "Time a request for vectors took", &this.embed);
        add(registry, "model_load_seconds", "Time the last load took", &this.load);
        let help = "What a loaded model takes of the memory budget, estimated";
        add(registry, "model_memory_bytes", help, &this.resident);
        let help = "Records of use left out because PostgreSQL was away too long";
        add(registry, "usage_dropped", help, &this.usage_dropped);
        let help = "Answers looked for in Redis: hit, miss or away";
        add(registry, "response_cache", help, &this.responses);
        this.failovers.register(registry);
        this.register_gen_ai(registry);
        this
    }

    /// An answer was looked for in Redis: `result` is hit, miss or away.
    pub fn looked_for_answer(&self, result: &'static str) {
        self.responses.get_or_create(&OfResult { result }).inc();
    }

    /// A model was loaded.
    pub fn loaded(&self, model: &ModelName, seconds: f64) {
        self.load.get_or_create(&OfModel { model: self.models.label(&model.0) }).set(seconds);
    }

    /// A model takes that much memory now.
    pub fn resident(&self, model: &ModelName, bytes: u64) {
        let label = OfModel { model: self.models.label(&model.0) };
        self.resident.get_or_create(&label).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A chat got its place.
    pub fn queued(&self, model: &ModelName, waited: Duration) {
        let label = OfModel { model: self.models.label(&model.0) };
        self.queue.get_or_create(&label).observe(waited.as_secs_f64());
    }

    /// A chat was answered.
    pub fn answered(&self, of: Served<'_>, agent: &AgentId, ended: &Ended, took: Took) {
        self.ended(of, ended.finish.name());
        let name = self.models.label(&of.model.0);
        let label = OfModel { model: name.clone() };
        self.first_token.get_or_create(&label).observe(ended.first_token.as_secs_f64());
        self.run.get_or_create(&label).observe(ended.run.as_secs_f64());
        let decoding = ended.run.saturating_sub(ended.first_token).as_secs_f64();
        let gen_ai = self.gen_ai(of);
        if ended.completion_tokens > 1 && decoding > 0.0 {
            let after_first = f64::from(ended.completion_tokens - 1);
            self.rate.get_or_create(&label).observe(after_first / decoding);
            self.gen_ai_per_token.get_or_create(&gen_ai).observe(decoding / after_first);
        }
        let first_token = (took.waited + ended.first_token).as_secs_f64();
        self.gen_ai_first_token.get_or_create(&gen_ai).observe(first_token);
        self.duration(&gen_ai, "", took.whole);
        for (gen_ai_token_type, tokens) in
            [("input", ended.prompt_tokens), ("output", ended.completion_tokens)]
        {
            let label = OfTokens {
                gen_ai_operation_name: gen_ai.gen_ai_operation_name,
                gen_ai_provider_name: gen_ai.gen_ai_provider_name.clone(),
                gen_ai_request_model: gen_ai.gen_ai_request_model.clone(),
                gen_ai_token_type,
            };
            self.gen_ai_tokens.get_or_create(&label).observe(tokens.into());
        }
        let label = OfAgent { model: name, agent: self.agents.label(&agent.0) };
        self.prompt_tokens.get_or_create(&label).inc_by(ended.prompt_tokens.into());
        self.completion_tokens.get_or_create(&label).inc_by(ended.completion_tokens.into());
        self.reused_tokens.get_or_create(&label).inc_by(ended.reused_tokens.into());
        self.cpu.get_or_create(&label).inc_by(ended.cpu.as_secs_f64());
    }

    /// A chat ended after `took` without an answer: `outcome` is "cancelled" or the reason of an
    /// error.
    pub fn failed(&self, of: Served<'_>, outcome: &'static str, took: Duration) {
        self.ended(of, outcome);
        self.duration(&self.gen_ai(of), outcome, took);
    }

    fn ended(&self, of: Served<'_>, outcome: &'static str) {
        let model = self.models.label(&of.model.0);
        self.chats.get_or_create(&OfOutcome { model, outcome }).inc();
    }

    fn gen_ai(&self, of: Served<'_>) -> OfGenAi {
        OfGenAi {
            gen_ai_operation_name: "chat",
            gen_ai_provider_name: of.backend.to_owned(),
            gen_ai_request_model: self.models.label(&of.model.0),
        }
    }

    fn duration(&self, of: &OfGenAi, error_type: &'static str, took: Duration) {
        let label = OfDuration {
            gen_ai_operation_name: of.gen_ai_operation_name,
            gen_ai_provider_name: of.gen_ai_provider_name.clone(),
            gen_ai_request_model: of.gen_ai_request_model.clone(),
            error_type,
        };
        self.gen_ai_duration.get_or_create(&label).observe(took.as_secs_f64());
    }

    fn register_gen_ai(&self, registry: &mut Registry) {
        let help = "Number of input and output tokens used";
        registry.register("gen_ai_client_token_usage", help, self.gen_ai_tokens.clone());
        let help = "From a request's coming to the last token or the failure";
        registry.register(
            "gen_ai_server_request_duration_seconds",
            help,
            self.gen_ai_duration.clone(),
        );
        let help = "From a request's coming to its first token, of those answered";
        registry.register(
            "gen_ai_server_time_to_first_token_seconds",
            help,
            self.gen_ai_first_token.clone(),
        );
        let help = "Time per token after the first, of those answered";
        registry.register(
            "gen_ai_server_time_per_output_token_seconds",
            help,
            self.gen_ai_per_token.clone(),
        );
    }

    /// Texts became vectors.
    pub fn embedded(&self, model: &ModelName, texts: usize, took: Duration) {
        let label = OfModel { model: self.models.label(&model.0) };
        let texts = u64::try_from(texts).unwrap_or(u64::MAX);
        self.embeddings.get_or_create(&label).inc_by(texts);
        self.embed.get_or_create(&label).observe(took.as_secs_f64());
    }

    /// Another place was asked because one of `backend` could not answer, for a `reason` of
    /// [`crate::error::Error::reason`].
    pub fn failed_over(&self, backend: &str, reason: &'static str) {
        self.failovers.count(backend, reason);
    }

    /// A record of use was left out.
    pub fn usage_dropped(&self) {
        self.usage_dropped.inc();
    }
}

fn add(registry: &mut Registry, name: &str, help: &str, metric: &(impl Metric + Clone)) {
    registry.register(format!("alina_inference_{name}"), help, metric.clone());
}

/// The scheduler, asked at each scrape.
#[derive(Debug)]
struct LoadNow(Scheduler);

impl Collector for LoadNow {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let load = self.0.load();
        for (name, help, value) in [
            ("alina_inference_running", "Chats decoding", load.running),
            ("alina_inference_waiting", "Chats waiting for a place", load.waiting),
            ("alina_inference_max_running", "The most that may decode at once", load.max_running),
            ("alina_inference_peak_running", "The most that ever did", load.peak_running),
        ] {
            let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_grow_with_what_callers_make_up() {
        let names = Names::default();
        for n in 0..NAMES {
            assert_eq!(names.label(&n.to_string()), n.to_string());
        }
        assert_eq!(names.label("one more"), "other");
        assert_eq!(names.label("3"), "3");
    }
}
