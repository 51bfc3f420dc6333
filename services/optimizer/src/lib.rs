//! Scores what agents put out and improves their instructions, only on evidence.
//!
//! A round ([`optimizer`]; by [`schedule`] or on demand through [`grpc`]) reads new outputs from
//! the orchestrator and scores each once ([`collector`], [`scorer`]). For an agent whose rolling
//! score is low, the [`laboratory`] has a model write better instructions and tries them against
//! the old ones on the same cases. When the evidence is enough ([`experiment`]), the new version
//! is journalled in the transaction that writes the experiment down, and the [`settler`] carries
//! the journal out: it tells the orchestrator, then the memory's log, and again after a crash.
//!
//! - [`score`], [`experiment`]: what a score and evidence are; plain Rust
//! - [`store`]: SQL, and only SQL
//! - [`peers`]: the orchestrator, the inference-gateway and the memory

pub mod config;
pub mod error;
pub mod experiment;
pub mod metrics;
pub mod peers;
pub mod score;
pub mod scorer;
pub mod store;
pub mod text;

mod collector;
mod grpc;
mod laboratory;
mod optimizer;
mod roster;
mod schedule;
mod settler;

use std::{sync::Arc, time::Duration};

use alina_proto::optimizer::v1::optimizer_service_server::OptimizerServiceServer;
use alina_service::{Context, StartError};
use tokio::sync::{Mutex, Notify};
use tonic::service::Routes;

use crate::{
    collector::Collector,
    config::OptimizerConfig,
    grpc::Grpc,
    laboratory::Laboratory,
    metrics::Metrics,
    optimizer::{Busy, Optimizer},
    peers::{Memory, Models, Orchestrator},
    roster::Roster,
    scorer::Scorer,
    settler::Settler,
    store::Store,
};

/// Builds the optimizer and starts its background tasks.
///
/// # Errors
/// When PostgreSQL is away or the schema cannot be migrated.
pub async fn build(ctx: Context<OptimizerConfig>) -> Result<Routes, StartError> {
    static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();
    let store = Store::new(ctx.postgres("optimizer", &MIGRATOR).await?);
    let metrics = ctx.register(Metrics::register);
    let config = Arc::clone(&ctx.config);
    let timeout = Duration::from_secs(u64::from(config.model_timeout_seconds));
    let models = Models::new(ctx.connector(), timeout);
    let orchestrator = Orchestrator::new(ctx.connector());
    let scorer = Scorer::new(models.clone(), config.weights.clone(), config.model.clone());

    let settler = Arc::new(Settler {
        store: store.clone(),
        orchestrator: orchestrator.clone(),
        memory: Memory::new(ctx.connector()),
        metrics: metrics.clone(),
        turn: Mutex::default(),
        applied: Notify::new(),
    });
    let optimizer = Arc::new(Optimizer {
        store: store.clone(),
        roster: Roster::new(store.clone(), orchestrator.clone()),
        collector: Collector {
            store: store.clone(),
            orchestrator,
            scorer: scorer.clone(),
            metrics: metrics.clone(),
            use_judge: config.judge,
            max_outputs: config.max_outputs_per_round,
            window: config.window,
            turn: Mutex::default(),
        },
        laboratory: Laboratory {
            config: Arc::clone(&config),
            store: store.clone(),
            models,
            scorer: scorer.clone(),
        },
        settler: Arc::clone(&settler),
        metrics: metrics.clone(),
        busy: Busy::default(),
        config: Arc::clone(&config),
    });

    let shutdown = ctx.shutdown.clone();
    ctx.spawn("settle", async move {
        shutdown.run_until_cancelled(settler.run()).await;
    });
    if config.interval_minutes > 0.0 {
        let interval = Duration::from_secs_f64(config.interval_minutes * 60.0);
        let rounds = schedule::run(Arc::clone(&optimizer), interval, metrics);
        let shutdown = ctx.shutdown.clone();
        ctx.spawn("schedule", async move {
            Box::pin(shutdown.run_until_cancelled(rounds)).await;
        });
    }
    Ok(Routes::new(OptimizerServiceServer::new(Grpc { optimizer, store, scorer, config })))
}
