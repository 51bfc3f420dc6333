//! All metrics of the monitor itself.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{
    alerts::Severity,
    status::{Machine, Status},
};

type Float = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfService {
    service: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSeverity {
    severity: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResource {
    resource: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    result: &'static str,
}

/// What became of an alert's change on its way out of the monitor.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    /// It arrived.
    Done,
    /// It was refused for good.
    Refused,
    /// It was left out because too many waited.
    Dropped,
}

impl Outcome {
    fn label(self) -> OfResult {
        OfResult {
            result: match self {
                Self::Done => "done",
                Self::Refused => "refused",
                Self::Dropped => "dropped",
            },
        }
    }
}

/// Handles to the metrics; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    service_up: Family<OfService, Gauge>,
    scrape_failures: Family<OfService, Counter>,
    collection_seconds: Histogram,
    alerts_active: Family<OfSeverity, Gauge>,
    alerts_told: Family<OfResult, Counter>,
    alerts_kept: Family<OfResult, Counter>,
    cpus: Gauge,
    cpu_used: Float,
    load_1m: Float,
    memory_total: Float,
    memory_available: Float,
    disk_total: Float,
    disk_available: Float,
    pressure: Family<OfResource, Float>,
}

impl Metrics {
    /// Names, describes and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self {
            service_up: Family::default(),
            scrape_failures: Family::default(),
            collection_seconds: Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0]),
            alerts_active: Family::default(),
            alerts_told: Family::default(),
            alerts_kept: Family::default(),
            cpus: Gauge::default(),
            cpu_used: Gauge::default(),
            load_1m: Gauge::default(),
            memory_total: Gauge::default(),
            memory_available: Gauge::default(),
            disk_total: Gauge::default(),
            disk_available: Gauge::default(),
            pressure: Family::default(),
        };
        for outcome in [Outcome::Done, Outcome::Refused, Outcome::Dropped] {
            let _ = this.alerts_told.get_or_create(&outcome.label());
            let _ = this.alerts_kept.get_or_create(&outcome.label());
        }
        registry.register(
            "alina_monitor_service_up",
            "1 when the service's metrics were read at the last collection",
            this.service_up.clone(),
        );
        registry.register(
            "alina_monitor_scrape_failures",
            "Collections at which a service's metrics could not be read",
            this.scrape_failures.clone(),
        );
        registry.register(
            "alina_monitor_collection_seconds",
            "Time a collection took",
            this.collection_seconds.clone(),
        );
        registry.register(
            "alina_monitor_alerts_active",
            "Alerts active now",
            this.alerts_active.clone(),
        );
        registry.register(
            "alina_monitor_alerts_told",
            "Alerts begun or ended, by what became of telling the orchestrator",
            this.alerts_told.clone(),
        );
        registry.register(
            "alina_monitor_alerts_kept",
            "Alerts begun or ended, by what became of keeping them in PostgreSQL",
            this.alerts_kept.clone(),
        );
        registry.register("alina_monitor_machine_cpus", "CPUs of the machine", this.cpus.clone());
        registry.register(
            "alina_monitor_machine_cpu_used_ratio",
            "Share of all CPUs that was busy, 0 to 1",
            this.cpu_used.clone(),
        );
        registry.register(
            "alina_monitor_machine_load_1m",
            "Tasks that ran or wanted to, averaged over a minute",
            this.load_1m.clone(),
        );
        registry.register(
            "alina_monitor_machine_memory_total_bytes",
            "Memory of the machine",
            this.memory_total.clone(),
        );
        registry.register(
            "alina_monitor_machine_memory_available_bytes",
            "Memory that can be had without swapping",
            this.memory_available.clone(),
        );
        registry.register(
            "alina_monitor_machine_disk_total_bytes",
            "Size of the watched file system",
            this.disk_total.clone(),
        );
        registry.register(
            "alina_monitor_machine_disk_available_bytes",
            "Space that can still be written",
            this.disk_available.clone(),
        );
        registry.register("alina_monitor_machine_pressure_ratio", "Share of 10 s in which something waited, by resource; absent where the kernel does not say", this.pressure.clone());
        this
    }

    /// Takes over what a collection found.
    pub fn collected(&self, status: &Status, seconds: f64) {
        self.collection_seconds.observe(seconds);
        for service in &status.services {
            let label = OfService { service: service.service.name() };
            self.service_up.get_or_create(&label).set(service.vitals.is_ok().into());
            let failures = self.scrape_failures.get_or_create(&label);
            if service.vitals.is_err() {
                failures.inc();
            }
        }
        for severity in [Severity::Warning, Severity::Critical] {
            let active = status.alerts.iter().filter(|alert| alert.severity == severity).count();
            self.alerts_active
                .get_or_create(&OfSeverity { severity: severity.name() })
                .set(i64::try_from(active).unwrap_or(i64::MAX));
        }
        if let Some(machine) = &status.machine {
            self.machine(machine);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "bytes are far under 2^53")]
    fn machine(&self, machine: &Machine) {
        self.cpus.set(machine.cpus.into());
        self.cpu_used.set(machine.cpu_used);
        self.load_1m.set(machine.load_1m);
        self.memory_total.set(machine.memory_total as f64);
        self.memory_available.set(machine.memory_available as f64);
        self.disk_total.set(machine.disk_total as f64);
        self.disk_available.set(machine.disk_available as f64);
        let pressure = &machine.pressure;
        for (resource, value) in
            [("cpu", pressure.cpu), ("memory", pressure.memory), ("io", pressure.io)]
        {
            if let Some(value) = value {
                self.pressure.get_or_create(&OfResource { resource }).set(value);
            }
        }
    }

    /// An alert's change was told to the orchestrator, or not.
    pub fn told(&self, outcome: Outcome) {
        self.alerts_told.get_or_create(&outcome.label()).inc();
    }

    /// An alert's change was kept in PostgreSQL, or not.
    pub fn kept(&self, outcome: Outcome) {
        self.alerts_kept.get_or_create(&outcome.label()).inc();
    }
}
