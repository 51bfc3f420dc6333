//! What can go wrong while watching the suite.

use std::time::Duration;

/// Why something could not be collected or kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service's metrics endpoint did not answer.
    #[error("{0}")]
    Unreachable(String),
    /// It answered, but not with metrics.
    #[error("its metrics endpoint answers HTTP {0}")]
    HttpStatus(u16),
    /// Its answer took too long.
    #[error("its metrics did not come within {:.1} s", .0.as_secs_f64())]
    Slow(Duration),
    /// Its answer was longer than any service's.
    #[error("its metrics are longer than {0} bytes")]
    TooLong(usize),
    /// Its answer is no metrics text.
    #[error("its metrics are malformed: line {line}: {problem}")]
    Exposition {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The address of a service gives no address of its metrics.
    #[error("services.{service}: no metrics address from url `{url}` and metrics `{metrics}`")]
    Address {
        /// Its key in config.yaml.
        service: &'static str,
        /// As configured.
        url: String,
        /// As configured.
        metrics: String,
    },
    /// `/proc` could not be read.
    #[error("the machine's state cannot be read: {0}")]
    Machine(#[from] procfs::ProcError),
    /// The file system of `monitor.disk_path` could not be asked.
    #[error("monitor.disk_path {path}: {source}")]
    Disk {
        /// As configured, made absolute.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// PostgreSQL did not do what was asked.
    #[error("the alert history cannot be written: {0}")]
    Store(#[from] sqlx::Error),
}
