//! Metrics of the HTTP interfaces.
//!
//! | name | kind | labels |
//! |---|---|---|
//! | `alina_inference_http_requests_total` | counter | route, status |
//! | `alina_inference_http_request_seconds` | histogram | route |
//! | `alina_inference_http_in_flight` | gauge | |

use std::time::Instant;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

const SECONDS: [f64; 12] =
    [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    route: String,
    status: u16,
}

/// Handles to the metrics; clones count together.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    requests: Family<Outcome, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let seconds: fn() -> Histogram = || Histogram::new(SECONDS);
        let this = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            in_flight: Gauge::default(),
        };
        let name = |name: &str| format!("alina_inference_http_{name}");
        let help = "Requests over HTTP ended, by route and status; 499: the caller went away";
        registry.register(name("requests"), help, this.requests.clone());
        let help = "From a request's head to the end of its answer";
        registry.register(name("request_seconds"), help, this.seconds.clone());
        let help = "Requests over HTTP being answered, streams included";
        registry.register(name("in_flight"), help, this.in_flight.clone());
        this
    }

    /// A request to `route`, one of the router's: what callers make up is "other".
    pub(super) fn begin(&self, route: String) -> Watch {
        self.in_flight.inc();
        Watch { metrics: self.clone(), route, begun: Instant::now(), status: 499 }
    }
}

/// Counts a request when it is dropped: at the end of the answer's body.
#[derive(Debug)]
pub(super) struct Watch {
    metrics: Metrics,
    route: String,
    begun: Instant,
    status: u16,
}

impl Watch {
    /// The answer begins.
    pub(super) fn answers(&mut self, status: u16) {
        self.status = status;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let route = std::mem::take(&mut self.route);
        let seconds = self.begun.elapsed().as_secs_f64();
        let label = Route { route: route.clone() };
        self.metrics.seconds.get_or_create(&label).observe(seconds);
        let label = Outcome { route, status: self.status };
        self.metrics.requests.get_or_create(&label).inc();
        self.metrics.in_flight.dec();
    }
}
