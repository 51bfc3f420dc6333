//! Agents, durable runs, workflows and tools.
//!
//! A request comes in at [`grpc`]; `StartRun` journals a run in the [`store`] and rings for the
//! [`engine`], whose workers claim it under a lease and drive its program: recall, plan, agents
//! with [`tools`], answer, remember. Every step is journalled before it counts; after a crash the
//! program runs again over its journal. [`peers`] are the services it calls. What a run, a step
//! and an event are stands in [`run`].

mod agents;
mod config;
mod engine;
mod error;
mod grpc;
mod metrics;
mod peers;
mod run;
mod store;
mod text;
mod tools;

use std::{sync::Arc, time::Duration};

use alina_proto::orchestrator::v1::orchestrator_service_server::OrchestratorServiceServer;
use alina_service::{Context, StartError};
use tonic::service::Routes;

pub use config::{AgentConfig, OrchestratorConfig};

/// Builds the orchestrator: its store, its workers and its gRPC surface.
///
/// # Errors
/// When PostgreSQL does not answer in time or the schema cannot be migrated.
pub async fn build(ctx: Context<OrchestratorConfig>) -> Result<Routes, StartError> {
    static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

    let store = store::Store::new(ctx.postgres("orchestrator", &MIGRATOR).await?);
    let config = Arc::clone(&ctx.config);
    let memory = peers::Memory::new(ctx.connector());
    let documents = config.documents.iter().map(|folder| ctx.common.path(folder)).collect();
    let toolbox = tools::Toolbox::new(&memory, documents).map_err(StartError::other)?;
    let model_timeout = Duration::from_secs(config.model_timeout_seconds);
    let engine = Arc::new(engine::Engine::new(engine::Parts {
        config,
        parallel_agents: ctx.common.machine.parallel_agents,
        store,
        toolbox,
        models: peers::Models::new(ctx.connector(), model_timeout),
        memory,
        metrics: ctx.register(metrics::Metrics::register),
    }));
    ctx.spawn("runs", engine::work(Arc::clone(&engine), ctx.shutdown.clone()));
    ctx.spawn("leases", engine::keep_leases(Arc::clone(&engine), ctx.shutdown.clone()));
    ctx.spawn("log", engine::tell(Arc::clone(&engine), ctx.shutdown.clone()));
    let grpc = grpc::Grpc::new(engine, ctx.shutdown.clone());
    Ok(Routes::new(OrchestratorServiceServer::new(grpc)))
}
