//! The wire side: what is known, as the contract says it.

use std::{sync::Arc, time::Duration};

use alina_proto::{
    monitor::v1::{
        self as wire, GetStatusRequest, GetStatusResponse, ListRulesRequest, ListRulesResponse,
        StreamStatusRequest, StreamStatusResponse, monitor_service_server::MonitorService,
    },
    time::timestamp,
};
use alina_service::status;
use futures::StreamExt;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status as Failure, codegen::BoxStream};

use crate::{
    alerts::{Alert, Rule},
    status::{Machine, ServiceStatus, Status, Vitals},
};

/// How long a call waits for the first collection after the monitor has started.
const FIRST_COLLECTION: Duration = Duration::from_secs(5);

/// The newest status, once there is one.
pub type Newest = watch::Receiver<Option<Arc<Status>>>;

/// Answers calls out of the newest status.
#[derive(Debug)]
pub struct Grpc {
    /// What the collector published last.
    pub newest: Newest,
    /// In the order of config.yaml.
    pub rules: Vec<Rule>,
    /// Streams end on it.
    pub shutdown: CancellationToken,
}

impl Grpc {
    async fn status(&self) -> Result<Arc<Status>, Failure> {
        let mut newest = self.newest.clone();
        let first = tokio::time::timeout(FIRST_COLLECTION, newest.wait_for(Option::is_some)).await;
        let status = first.ok().and_then(Result::ok).and_then(|status| status.clone());
        status.ok_or_else(|| {
            status::retry(
                Code::Unavailable,
                "STARTING",
                "nothing is collected yet",
                Duration::from_secs(1),
            )
        })
    }
}

#[tonic::async_trait]
impl MonitorService for Grpc {
    async fn get_status(
        &self,
        _: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Failure> {
        let status = self.status().await?;
        Ok(Response::new(GetStatusResponse { status: Some(status.as_ref().into()) }))
    }

    async fn stream_status(
        &self,
        _: Request<StreamStatusRequest>,
    ) -> Result<Response<BoxStream<StreamStatusResponse>>, Failure> {
        let statuses = WatchStream::new(self.newest.clone())
            .filter_map(async |status: Option<Arc<Status>>| status)
            .map(|status| Ok(StreamStatusResponse { status: Some(status.as_ref().into()) }))
            .take_until(self.shutdown.clone().cancelled_owned());
        Ok(Response::new(statuses.boxed()))
    }

    async fn list_rules(
        &self,
        _: Request<ListRulesRequest>,
    ) -> Result<Response<ListRulesResponse>, Failure> {
        let status = self.newest.borrow().clone();
        let is_active = |rule: &Rule| status.as_ref().is_some_and(|status| rule.is_active(status));
        let rules = self.rules.iter().map(|rule| wire::Rule {
            name: rule.name.clone(),
            condition: rule.condition(),
            severity: rule.severity.name().to_owned(),
            active: is_active(rule),
        });
        Ok(Response::new(ListRulesResponse { rules: rules.collect() }))
    }
}

impl From<&Status> for wire::Status {
    fn from(status: &Status) -> Self {
        Self {
            at: Some(timestamp(status.at)),
            machine: status.machine.as_ref().map(Into::into),
            services: status.services.iter().map(Into::into).collect(),
            alerts: status.alerts.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Machine> for wire::Machine {
    fn from(machine: &Machine) -> Self {
        Self {
            cpus: machine.cpus,
            cpu_used: machine.cpu_used,
            load_1m: machine.load_1m,
            memory_total_bytes: machine.memory_total,
            memory_available_bytes: machine.memory_available,
            cpu_pressure: machine.pressure.cpu,
            memory_pressure: machine.pressure.memory,
            io_pressure: machine.pressure.io,
            disk_total_bytes: machine.disk_total,
            disk_available_bytes: machine.disk_available,
        }
    }
}

impl From<&ServiceStatus> for wire::ServiceStatus {
    fn from(status: &ServiceStatus) -> Self {
        let (up, problem, vitals) = match &status.vitals {
            Ok(vitals) => (true, String::new(), vitals.clone()),
            Err(problem) => (false, problem.clone(), Vitals::default()),
        };
        Self {
            name: status.service.name().to_owned(),
            up,
            problem,
            resident_bytes: vitals.resident,
            cpu_used: vitals.cpu_used,
            requests_per_second: vitals.requests_per_second,
            error_ratio: vitals.error_ratio.unwrap_or_default(),
            latency_p50_ms: vitals.latency_p50_ms.unwrap_or_default(),
            latency_p99_ms: vitals.latency_p99_ms.unwrap_or_default(),
            in_flight: vitals.in_flight,
            started_at: vitals.started_at.map(timestamp),
        }
    }
}

impl From<&Alert> for wire::ActiveAlert {
    fn from(alert: &Alert) -> Self {
        Self {
            rule: alert.rule.clone(),
            severity: alert.severity.name().to_owned(),
            summary: alert.summary.clone(),
            service: alert.subject.service().unwrap_or_default().to_owned(),
            value: alert.value,
            since: Some(timestamp(alert.since)),
        }
    }
}
