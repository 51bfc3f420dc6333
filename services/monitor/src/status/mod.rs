//! How the suite and its machine are, worked out from what they told. Plain data and arithmetic.

mod histogram;
mod reading;

use chrono::{DateTime, Utc};

use alina_proto::Service;

use crate::alerts::Alert;

pub use histogram::{Bucket, Histogram};
pub use reading::Reading;

/// Everything known at one collection.
#[derive(Debug, Clone)]
pub struct Status {
    /// When it was collected.
    pub at: DateTime<Utc>,
    /// `None` when `/proc` could not be read.
    pub machine: Option<Machine>,
    /// All six, in the order of [`Service::ALL`].
    pub services: Vec<ServiceStatus>,
    /// The alerts that are active.
    pub alerts: Vec<Alert>,
}

/// The machine the suite runs on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Machine {
    /// How many CPUs it has.
    pub cpus: u32,
    /// Share of all CPUs that was busy since the last collection, 0 to 1.
    pub cpu_used: f64,
    /// Tasks that ran or wanted to, averaged over a minute.
    pub load_1m: f64,
    /// Bytes.
    pub memory_total: u64,
    /// Bytes that can be had without swapping.
    pub memory_available: u64,
    /// Share of the last 10 s in which something waited; `None` where the kernel does not say.
    pub pressure: Pressure,
    /// Bytes of the file system the suite writes to.
    pub disk_total: u64,
    /// Bytes of it that can still be written.
    pub disk_available: u64,
}

/// Linux pressure stall information: share of the last 10 s, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pressure {
    /// In which some task waited for a CPU.
    pub cpu: Option<f64>,
    /// In which some task waited for memory.
    pub memory: Option<f64>,
    /// In which some task waited for a disk.
    pub io: Option<f64>,
}

/// One service at one collection.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceStatus {
    /// Which.
    pub service: Service,
    /// What its metrics say, or why they could not be read.
    pub vitals: Result<Vitals, String>,
}

/// What a service's metrics say of the time since the last collection.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Vitals {
    /// Bytes of memory that are its own or shared and in RAM.
    pub resident: u64,
    /// CPU seconds a second.
    pub cpu_used: f64,
    /// Requests finished a second.
    pub requests_per_second: f64,
    /// Share of the finished requests that failed by the server's fault; `None` without any.
    pub error_ratio: Option<f64>,
    /// Median latency in milliseconds; `None` without requests.
    pub latency_p50_ms: Option<f64>,
    /// Latency in milliseconds that 99 of 100 requests kept under; `None` without requests.
    pub latency_p99_ms: Option<f64>,
    /// Requests being served.
    pub in_flight: u64,
    /// When its process began.
    pub started_at: Option<DateTime<Utc>>,
}
