//! Metrics of servers.

use std::{fmt::Error, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{counter::Counter, family::Family, gauge::ConstGauge},
    registry::Registry,
};

use crate::route::Backend;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfBackend {
    backend: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    backend: String,
    reason: &'static str,
}

/// Requests that went on to another place.
#[derive(Debug, Clone, Default)]
pub(super) struct Failovers(Family<OfReason, Counter>);

impl Failovers {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Requests that another place was asked for, by the back end that failed and why";
        registry.register("alina_inference_failovers", help, self.0.clone());
    }

    pub(super) fn count(&self, backend: &str, reason: &'static str) {
        self.0.get_or_create(&OfReason { backend: backend.to_owned(), reason }).inc();
    }
}

/// Registers whether each of `backends` is up, which is asked at each scrape.
pub fn watch_backends(registry: &mut Registry, backends: Vec<Arc<Backend>>) {
    if !backends.is_empty() {
        registry.register_collector(Box::new(Backends(backends)));
    }
}

#[derive(Debug)]
struct Backends(Vec<Arc<Backend>>);

impl Collector for Backends {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let kind = ConstGauge::new(0_i64).metric_type();
        let help = "Whether requests are passed to a server: 1, or 0 while it is left alone";
        let mut metric =
            encoder.encode_descriptor("alina_inference_backend_up", help, None, kind)?;
        for backend in &self.0 {
            let label = OfBackend { backend: backend.name().to_owned() };
            let up = ConstGauge::new(i64::from(backend.is_up()));
            up.encode(metric.encode_family(&label)?)?;
        }
        let help = "Requests that a server has, running or waiting";
        let mut metric =
            encoder.encode_descriptor("alina_inference_backend_in_flight", help, None, kind)?;
        for backend in &self.0 {
            let label = OfBackend { backend: backend.name().to_owned() };
            let in_flight = i64::try_from(backend.load().in_flight).unwrap_or(i64::MAX);
            ConstGauge::new(in_flight).encode(metric.encode_family(&label)?)?;
        }
        Ok(())
    }
}
