//! Every metric of the chassis, and the endpoint that serves them all.
//!
//! | metric | type | labels |
//! |---|---|---|
//! | `alina_grpc_requests_total` | counter | method, code |
//! | `alina_grpc_request_seconds` | histogram | method |
//! | `alina_grpc_in_flight` | gauge | method |
//! | `process_resident_memory_bytes` | gauge | |
//! | `process_cpu_seconds_total` | counter | |
//! | `process_open_fds` | gauge | |
//! | `process_start_time_seconds` | gauge | |

use std::sync::{Arc, Mutex, PoisonError};

use axum::{Router, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::Registry,
};

/// From a cache hit to a long model answer, in seconds.
const LATENCY_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Method {
    pub(crate) method: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    pub(crate) method: String,
    pub(crate) code: &'static str,
}

/// Requests by method.
#[derive(Debug, Clone)]
pub(crate) struct RequestMetrics {
    pub(crate) requests: Family<Outcome, Counter>,
    pub(crate) seconds: Family<Method, Histogram, fn() -> Histogram>,
    pub(crate) in_flight: Family<Method, Gauge>,
}

impl RequestMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(LATENCY_BUCKETS);
        let this = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            in_flight: Family::default(),
        };
        registry.register(
            "alina_grpc_requests",
            "Requests ended, by method and gRPC code",
            this.requests.clone(),
        );
        registry.register(
            "alina_grpc_request_seconds",
            "From a request's head to the end of its answer",
            this.seconds.clone(),
        );
        registry.register(
            "alina_grpc_in_flight",
            "Requests being answered, streams included",
            this.in_flight.clone(),
        );
        registry.register_collector(Box::new(Process));
        this
    }
}

/// What Linux says of this process, read at each scrape.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let Ok(stat) =
            procfs::process::Process::myself().and_then(|me| Ok((me.stat()?, me.fd_count()?)))
        else {
            return Ok(());
        };
        let (stat, open_files) = stat;
        let ticks = procfs::ticks_per_second();
        let mut gauge = |name: &str, help: &str, value: f64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        #[expect(clippy::cast_precision_loss, reason = "bytes, files and seconds stay under 2^52")]
        {
            let resident = stat.rss.saturating_mul(procfs::page_size());
            gauge("process_resident_memory_bytes", "Memory in use", resident as f64)?;
            gauge("process_open_fds", "Open files", open_files as f64)?;
            let boot = procfs::boot_time_secs().unwrap_or_default();
            let start = boot as f64 + stat.starttime as f64 / ticks as f64;
            gauge("process_start_time_seconds", "Since the epoch", start)?;
            let cpu = ConstCounter::new((stat.utime + stat.stime) as f64 / ticks as f64);
            let descriptor = encoder.encode_descriptor(
                "process_cpu_seconds",
                "CPU time used",
                None,
                cpu.metric_type(),
            )?;
            cpu.encode(descriptor)
        }
    }
}

/// Serves `/metrics` in the OpenMetrics text format.
pub(crate) fn router(registry: Arc<Mutex<Registry>>) -> Router {
    let metrics = move || async move {
        let mut text = String::new();
        let registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a string cannot fail; a collector that fails leaves its metric out.
        let _ = encode(&mut text, &registry);
        let content = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(CONTENT_TYPE, content)], text).into_response()
    };
    Router::new().route("/metrics", get(metrics))
}
