//! The few metrics of a service that its vitals are worked out from: those of the chassis.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    exposition::Sample,
    status::{Bucket, Histogram, Vitals},
};

/// gRPC codes that are the server's fault, as OpenTelemetry's conventions have them.
const SERVER_FAULTS: [&str; 6] =
    ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

/// What a service's counters said at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    resident: f64,
    cpu_seconds: f64,
    /// Seconds since 1970.
    started: f64,
    requests: f64,
    failed: f64,
    in_flight: f64,
    /// Seconds.
    latency: Histogram,
}

impl Reading {
    /// Picks the chassis' metrics out of a service's samples; those that are missing count as 0.
    #[must_use]
    pub fn new(samples: &[Sample<'_>]) -> Self {
        let mut reading = Self::default();
        let mut buckets = Vec::new();
        for sample in samples.iter().filter(|sample| sample.value.is_finite()) {
            let value = sample.value;
            match sample.name {
                "process_resident_memory_bytes" => reading.resident = value,
                "process_cpu_seconds_total" => reading.cpu_seconds = value,
                "process_start_time_seconds" => reading.started = value,
                "alina_grpc_in_flight" => reading.in_flight += value,
                "alina_grpc_requests_total" => {
                    reading.requests += value;
                    if sample.label("code").is_some_and(|code| SERVER_FAULTS.contains(&code)) {
                        reading.failed += value;
                    }
                }
                "alina_grpc_request_seconds_bucket" => {
                    if let Some(Ok(upper)) = sample.label("le").map(str::parse) {
                        buckets.push(Bucket { upper, count: value });
                    }
                }
                _ => {}
            }
        }
        reading.latency = Histogram::sum(buckets);
        reading
    }

    /// The vitals over the time since `before`, which was read `elapsed` ago. Without a `before`,
    /// or when the process was restarted in between, all rates are of what it counted since it
    /// began, over `elapsed` at least.
    #[must_use]
    pub fn vitals(&self, before: Option<(&Self, Duration)>) -> Vitals {
        let mut vitals = Vitals {
            resident: whole(self.resident),
            in_flight: whole(self.in_flight),
            started_at: moment(self.started),
            ..Vitals::default()
        };
        // At the first reading nobody knows over which time the counters ran.
        let Some((before, elapsed)) = before else { return vitals };
        let zero = Self::default();
        let before = if self.continues(before) { before } else { &zero };
        let seconds = elapsed.as_secs_f64().max(0.001);

        let requests = (self.requests - before.requests).max(0.0);
        let failed = (self.failed - before.failed).max(0.0);
        let latency = self.latency.since(&before.latency);
        vitals.cpu_used = (self.cpu_seconds - before.cpu_seconds).max(0.0) / seconds;
        vitals.requests_per_second = requests / seconds;
        vitals.error_ratio = (requests > 0.0).then(|| (failed / requests).min(1.0));
        vitals.latency_p50_ms = latency.quantile(0.5).map(|seconds| seconds * 1000.0);
        vitals.latency_p99_ms = latency.quantile(0.99).map(|seconds| seconds * 1000.0);
        vitals
    }

    /// Whether the same process that gave `before` counted on.
    fn continues(&self, before: &Self) -> bool {
        self.started == before.started
            && self.requests >= before.requests
            && self.cpu_seconds >= before.cpu_seconds
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates: a negative or huge value becomes the nearest that fits"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds of any real date fit")]
fn moment(seconds: f64) -> Option<DateTime<Utc>> {
    (seconds > 0.0).then(|| DateTime::from_timestamp_millis((seconds * 1000.0) as i64))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::parse;

    fn reading(started: u32, ok: u32, internal: u32, fast: u32, cpu: f64) -> Reading {
        let all = ok + internal;
        let text = format!(
            "process_resident_memory_bytes 1000\nprocess_cpu_seconds_total {cpu}\n\
             process_start_time_seconds {started}\nalina_grpc_in_flight{{method=\"a\"}} 1\n\
             alina_grpc_in_flight{{method=\"b\"}} 2\n\
             alina_grpc_requests_total{{method=\"a\",code=\"OK\"}} {ok}\n\
             alina_grpc_requests_total{{method=\"b\",code=\"INTERNAL\"}} {internal}\n\
             alina_grpc_request_seconds_bucket{{method=\"a\",le=\"0.1\"}} {fast}\n\
             alina_grpc_request_seconds_bucket{{method=\"a\",le=\"1.0\"}} {all}\n\
             alina_grpc_request_seconds_bucket{{method=\"a\",le=\"+Inf\"}} {all}\n"
        );
        Reading::new(&parse(&text).unwrap())
    }

    #[test]
    fn rates_are_of_the_time_since_the_last_reading() {
        let before = reading(100, 10, 0, 10, 1.0);
        let now = reading(100, 25, 5, 20, 3.0);
        let vitals = now.vitals(Some((&before, Duration::from_secs(10))));
        assert_eq!((vitals.resident, vitals.in_flight), (1000, 3));
        assert!((vitals.requests_per_second - 2.0).abs() < 1e-9);
        assert_eq!(vitals.error_ratio, Some(0.25));
        assert!((vitals.cpu_used - 0.2).abs() < 1e-9);
        assert!((vitals.latency_p50_ms.unwrap() - 100.0).abs() < 1e-6);
        assert!(vitals.latency_p99_ms.unwrap() > 900.0);
        assert_eq!(vitals.started_at, DateTime::from_timestamp(100, 0));
    }

    #[test]
    fn the_first_reading_and_a_quiet_time_have_no_rates() {
        let one = reading(100, 10, 0, 10, 1.0);
        assert_eq!(one.vitals(None).requests_per_second, 0.0);
        let quiet = one.vitals(Some((&one, Duration::from_secs(5))));
        assert_eq!((quiet.error_ratio, quiet.latency_p99_ms), (None, None));
        assert_eq!(quiet.cpu_used, 0.0);
    }

    #[test]
    fn a_restart_counts_from_zero() {
        let before = reading(100, 1000, 0, 1000, 50.0);
        let now = reading(200, 10, 0, 10, 0.5);
        let vitals = now.vitals(Some((&before, Duration::from_secs(10))));
        assert!((vitals.requests_per_second - 1.0).abs() < 1e-9);
        assert!((vitals.cpu_used - 0.05).abs() < 1e-9);
    }

    #[test]
    fn only_the_servers_faults_are_errors() {
        let ratio = |code: &str| {
            let text = format!("alina_grpc_requests_total{{code=\"{code}\"}} 4\n");
            let reading = Reading::new(&parse(&text).unwrap());
            reading.vitals(Some((&Reading::default(), Duration::from_secs(1)))).error_ratio
        };
        for code in ["OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "CANCELLED"] {
            assert_eq!(ratio(code), Some(0.0), "{code}");
        }
        for code in ["INTERNAL", "DEADLINE_EXCEEDED", "UNAVAILABLE"] {
            assert_eq!(ratio(code), Some(1.0), "{code}");
        }
    }

    #[test]
    fn nonsense_becomes_no_vitals_rather_than_a_panic() {
        let text = "process_resident_memory_bytes -5\nprocess_start_time_seconds 1e300\n\
                    process_cpu_seconds_total NaN\nalina_grpc_in_flight 1e99\n";
        let vitals = Reading::new(&parse(text).unwrap()).vitals(None);
        assert_eq!((vitals.resident, vitals.in_flight), (0, u64::MAX));
        assert_eq!(vitals.started_at, None);
    }
}
