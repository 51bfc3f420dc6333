//! What a rule says, as written in config.yaml.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use alina_proto::Service;

use crate::{
    alerts::Subject,
    status::{Machine, ServiceStatus, Status},
};

/// An alert is raised when `metric` `op` `threshold` has been true of `scope` for `for_seconds`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Unique; lower-case letters, digits and underscores, 1 to 64.
    pub name: String,
    /// `machine`, `service` (each of the six) or the key of one service.
    pub scope: Scope,
    /// A field of the status; must be one that the scope has.
    pub metric: Metric,
    /// `<`, `<=`, `>` or `>=`.
    pub op: Operator,
    /// In the metric's own unit.
    pub threshold: f64,
    /// How long it must be true before the alert is raised, 0 to 86,400.
    #[serde(default)]
    pub for_seconds: u32,
    /// `warning` or `critical`.
    pub severity: Severity,
}

impl Rule {
    /// For people, for example `service.latency_p99_ms > 5000 for 60s`.
    #[must_use]
    pub fn condition(&self) -> String {
        let Self { scope, metric, op, threshold, for_seconds, .. } = self;
        format!("{scope}.{metric} {op} {threshold} for {for_seconds}s")
    }

    /// The values the rule looks at now, by subject. A subject whose value is not known (a service
    /// that is down has no latency) is left out: the rule does not hold of it.
    pub(super) fn values(
        &self,
        machine: Option<&Machine>,
        services: &[ServiceStatus],
    ) -> Vec<(Subject, f64)> {
        let of = |wanted: Option<Service>| {
            services
                .iter()
                .filter(move |status| wanted.is_none_or(|service| service == status.service))
                .filter_map(|status| {
                    Some((Subject::Service(status.service), self.metric.of_service(status)?))
                })
                .collect()
        };
        match self.scope.target() {
            Target::Machine => machine
                .and_then(|machine| Some((Subject::Machine, self.metric.of_machine(machine)?)))
                .into_iter()
                .collect(),
            Target::EachService => of(None),
            Target::One(service) => of(Some(service)),
        }
    }

    /// A sentence about why it holds.
    pub(super) fn summary(&self, subject: Subject, value: f64, problem: Option<&str>) -> String {
        let Self { metric, op, threshold, for_seconds, .. } = self;
        match (metric, problem) {
            (Metric::Up, Some(problem)) => format!("{subject} is down: {problem}"),
            _ => {
                let value = round(value);
                format!("{subject}: {metric} is {value} ({op} {threshold} for {for_seconds} s)")
            }
        }
    }

    /// Whether the rule is among the status' active alerts.
    #[must_use]
    pub fn is_active(&self, status: &Status) -> bool {
        status.alerts.iter().any(|alert| alert.rule == self.name)
    }
}

/// Three digits after the point are enough for people.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Of what a rule speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The machine.
    Machine,
    /// Each service for itself.
    Service,
    /// Only the orchestrator.
    Orchestrator,
    /// Only the inference-gateway.
    InferenceGateway,
    /// Only memory.
    Memory,
    /// Only trading.
    Trading,
    /// Only the monitor itself.
    Monitor,
    /// Only the optimizer.
    Optimizer,
}

/// A scope, sorted by how it is looked at.
pub(super) enum Target {
    Machine,
    EachService,
    One(Service),
}

impl Scope {
    pub(super) fn target(self) -> Target {
        Target::One(match self {
            Self::Machine => return Target::Machine,
            Self::Service => return Target::EachService,
            Self::Orchestrator => Service::Orchestrator,
            Self::InferenceGateway => Service::InferenceGateway,
            Self::Memory => Service::Memory,
            Self::Trading => Service::Trading,
            Self::Monitor => Service::Monitor,
            Self::Optimizer => Service::Optimizer,
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.target() {
            Target::Machine => "machine",
            Target::EachService => "service",
            Target::One(service) => service.key(),
        })
    }
}

/// How a value is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Operator {
    /// Smaller.
    #[serde(rename = "<")]
    Less,
    /// Smaller or equal.
    #[serde(rename = "<=")]
    AtMost,
    /// Greater.
    #[serde(rename = ">")]
    Greater,
    /// Greater or equal.
    #[serde(rename = ">=")]
    AtLeast,
}

impl Operator {
    /// Whether it is true; never of NaN.
    #[must_use]
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Less => value < threshold,
            Self::AtMost => value <= threshold,
            Self::Greater => value > threshold,
            Self::AtLeast => value >= threshold,
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        })
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Someone should look.
    Warning,
    /// The suite does not work, or soon will not.
    Critical,
}

impl Severity {
    /// As written in config.yaml.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $variant:ident $name:literal,)*) => {
        /// The fields of the status that rules may be about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
        pub enum Metric {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Metric {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As written in config.yaml.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

metrics! {
    /// Service: 1 when its metrics could be read, else 0.
    Up "up",
    /// Machine: share of all CPUs, 0 to 1. Service: CPU seconds a second.
    CpuUsed "cpu_used",
    /// Machine: tasks that run or want to, over a minute.
    Load1m "load_1m",
    /// Machine: bytes.
    MemoryAvailableBytes "memory_available_bytes",
    /// Machine: share of all memory, 0 to 1.
    MemoryAvailableRatio "memory_available_ratio",
    /// Machine: share of 10 s in which a task waited for a CPU, 0 to 1.
    CpuPressure "cpu_pressure",
    /// Machine: the same for memory.
    MemoryPressure "memory_pressure",
    /// Machine: the same for disks.
    IoPressure "io_pressure",
    /// Machine: bytes.
    DiskAvailableBytes "disk_available_bytes",
    /// Machine: share of the file system, 0 to 1.
    DiskAvailableRatio "disk_available_ratio",
    /// Service: bytes.
    ResidentBytes "resident_bytes",
    /// Service: finished a second.
    RequestsPerSecond "requests_per_second",
    /// Service: share that failed by the server's fault, 0 to 1.
    ErrorRatio "error_ratio",
    /// Service: milliseconds.
    LatencyP50Ms "latency_p50_ms",
    /// Service: milliseconds.
    LatencyP99Ms "latency_p99_ms",
    /// Service: requests being served.
    InFlight "in_flight",
}

#[expect(clippy::cast_precision_loss, reason = "bytes and counts are far under 2^53")]
impl Metric {
    fn of_machine(self, machine: &Machine) -> Option<f64> {
        let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        match self {
            Self::CpuUsed => Some(machine.cpu_used),
            Self::Load1m => Some(machine.load_1m),
            Self::MemoryAvailableBytes => Some(machine.memory_available as f64),
            Self::MemoryAvailableRatio => ratio(machine.memory_available, machine.memory_total),
            Self::CpuPressure => machine.pressure.cpu,
            Self::MemoryPressure => machine.pressure.memory,
            Self::IoPressure => machine.pressure.io,
            Self::DiskAvailableBytes => Some(machine.disk_available as f64),
            Self::DiskAvailableRatio => ratio(machine.disk_available, machine.disk_total),
            _ => None,
        }
    }

    fn of_service(self, status: &ServiceStatus) -> Option<f64> {
        if self == Self::Up {
            return Some(if status.vitals.is_ok() { 1.0 } else { 0.0 });
        }
        let vitals = status.vitals.as_ref().ok()?;
        match self {
            Self::CpuUsed => Some(vitals.cpu_used),
            Self::ResidentBytes => Some(vitals.resident as f64),
            Self::RequestsPerSecond => Some(vitals.requests_per_second),
            Self::ErrorRatio => vitals.error_ratio,
            Self::LatencyP50Ms => vitals.latency_p50_ms,
            Self::LatencyP99Ms => vitals.latency_p99_ms,
            Self::InFlight => Some(vitals.in_flight as f64),
            _ => None,
        }
    }

    /// Whether a scope has it.
    #[must_use]
    pub fn fits(self, scope: Scope) -> bool {
        let service_only = matches!(
            self,
            Self::Up
                | Self::ResidentBytes
                | Self::RequestsPerSecond
                | Self::ErrorRatio
                | Self::LatencyP50Ms
                | Self::LatencyP99Ms
                | Self::InFlight
        );
        match scope {
            Scope::Machine => !service_only,
            _ => service_only || self == Self::CpuUsed,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Pressure, Vitals};

    #[test]
    fn a_metric_fits_a_scope_exactly_when_it_has_a_value_there() {
        let pressure = Pressure { cpu: Some(0.1), memory: Some(0.1), io: Some(0.1) };
        let machine = Machine { memory_total: 1, disk_total: 1, pressure, ..Machine::default() };
        let vitals = Vitals {
            error_ratio: Some(0.0),
            latency_p50_ms: Some(1.0),
            latency_p99_ms: Some(1.0),
            ..Vitals::default()
        };
        let service = ServiceStatus { service: Service::Memory, vitals: Ok(vitals) };
        for metric in Metric::ALL {
            let there = metric.of_machine(&machine).is_some();
            assert_eq!(metric.fits(Scope::Machine), there, "{metric}");
            let there = metric.of_service(&service).is_some();
            assert_eq!(metric.fits(Scope::Service), there, "{metric}");
            assert_eq!(metric.fits(Scope::Memory), there, "{metric}");
        }
    }

    #[test]
    fn conditions_read_as_the_contract_shows_them() {
        let rule = Rule {
            name: "slow".into(),
            scope: Scope::Service,
            metric: Metric::LatencyP99Ms,
            op: Operator::Greater,
            threshold: 5000.0,
            for_seconds: 60,
            severity: Severity::Warning,
        };
        assert_eq!(rule.condition(), "service.latency_p99_ms > 5000 for 60s");
        let one = Rule { scope: Scope::InferenceGateway, ..rule };
        assert_eq!(one.condition(), "inference_gateway.latency_p99_ms > 5000 for 60s");
    }
}
