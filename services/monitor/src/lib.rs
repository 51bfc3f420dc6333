//! How the suite and its machine are.
//!
//! Every few seconds [`collector`] reads the metrics endpoint of each service ([`scrape`],
//! [`exposition`]) and the machine ([`machine`]), works out rates and latencies ([`status`]),
//! evaluates the rules of config.yaml ([`alerts`]) and publishes the whole. [`grpc`] answers out
//! of what was published last. Alerts that begin or end are told to the orchestrator ([`teller`])
//! and kept in PostgreSQL ([`history`], [`store`]); neither needs to be there for the rest to work.

pub mod alerts;
pub mod collector;
pub mod config;
pub mod error;
pub mod exposition;
pub mod grpc;
pub mod history;
pub mod machine;
pub mod metrics;
pub mod scrape;
pub mod status;
pub mod store;
pub mod teller;

use std::time::Duration;

use chrono::Utc;
use tokio::sync::{mpsc, watch};
use tonic::service::Routes;

use alina_proto::{Service, monitor::v1::monitor_service_server::MonitorServiceServer};
use alina_service::{Context, StartError};

use crate::{
    alerts::Engine,
    collector::{Collector, Outlets},
    config::MonitorConfig,
    error::Error,
    grpc::Grpc,
    machine::MachineReader,
    metrics::Metrics,
    scrape::{Scraper, Target},
};

/// Changes of alerts that may wait for a slow outlet.
const WAITING_CHANGES: usize = 256;

/// Builds the monitor and starts its background tasks.
///
/// # Errors
/// When an address in `services` gives no address of its metrics.
pub async fn build(ctx: Context<MonitorConfig>) -> Result<Routes, StartError> {
    let start = Utc::now();
    let config = &ctx.config;
    let metrics = ctx.register(Metrics::register);
    let targets = Service::ALL.into_iter().map(|service| {
        let place = ctx.common.endpoint(service);
        Target::new(service, &place.url, &place.metrics.to_string())
    });
    let targets = targets.collect::<Result<_, Error>>().map_err(StartError::other)?;
    let timeout = Duration::from_secs_f64(config.scrape_timeout_seconds);
    let (publish, newest) = watch::channel(None);
    let (tell, to_tell) = mpsc::channel(WAITING_CHANGES);
    let (keep, to_keep) = mpsc::channel(WAITING_CHANGES);

    let collector = Collector {
        targets,
        scraper: Scraper::new(timeout).map_err(StartError::other)?,
        machine: MachineReader::new(ctx.common.path(&config.disk_path)),
        engine: Engine::new(config.rules.clone()),
        metrics: metrics.clone(),
        publish,
        outlets: Outlets { tell: tell.clone(), keep },
    };
    let interval = Duration::from_secs_f64(config.interval_seconds);
    let orchestrator = ctx.connector().orchestrator();
    ctx.spawn("collect", collector.run(interval, ctx.shutdown.clone()));
    ctx.spawn("tell", teller::run(orchestrator, to_tell, metrics.clone(), ctx.shutdown.clone()));
    ctx.spawn("history", history::run(ctx.clone(), start, to_keep, tell, metrics));

    let grpc = Grpc { newest, rules: config.rules.clone(), shutdown: ctx.shutdown.clone() };
    Ok(Routes::new(MonitorServiceServer::new(grpc)))
}
