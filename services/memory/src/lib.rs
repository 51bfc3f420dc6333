//! Knowledge graph, retrieval, action log and memory bank.
//!
//! A write goes `grpc` → `store`, in one transaction, and is acknowledged after its commit; vectors
//! follow in the background (`vectors`), and so do counts of words (`words`) and facts taken out of what
//! was said (`extraction`). A read goes `grpc` → `cache` →
//! `recall`:
//!
//! 1. The question is understood: whom it names, of when it is, what it is about (`question`,
//!    `time`).
//! 2. The `store` gives the best by words, by vector, by time and by the graph, some tens each from
//!    an index; these are fused by reciprocal rank (`fusion`).
//! 3. They and what was said beside the best of them make a `pool` of some hundreds, which is
//!    measured in one query and ranked by `signals` (`ranking`).
//!
//! Of the cost only the indexes' part grows with what is stored. How well it finds is measured by
//! `benches/locomo.rs`.
//!
//! - `knowledge`: what is remembered, how a question is understood and candidates are ranked, how a
//!   context or a session's brief is packed, how markdown falls into sections, how a namespace becomes
//!   a file (`archive`) or a graph for other programs
//! - `bank`: the files of a folder, kept in step with documents
//! - `store`: SQL, and only SQL
//! - `cache`: Redis, never the only copy

pub mod config;
pub mod knowledge;

mod backoff;
mod bank;
mod cache;
pub mod error;
mod extraction;
mod grpc;
pub mod metrics;
mod recall;
pub mod store;
mod vectors;
mod words;

use std::{sync::Arc, time::Duration};

use alina_proto::memory::v1::memory_service_server::MemoryServiceServer;
use alina_service::{Context, StartError};
use tokio::sync::Notify;
use tonic::service::Routes;

use crate::{
    bank::Bank,
    cache::Cache,
    config::MemoryConfig,
    error::MemoryError,
    extraction::{Model, ModelBudget, Rules},
    grpc::{Archives, Grpc, Intake, Watchers},
    metrics::Metrics,
    recall::Recall,
    store::Store,
    vectors::Vectors,
};

/// The largest request taken: a memory bank of many documents fits.
const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// How often changes that are older than they are kept are dropped.
const DROP_EVERY: Duration = Duration::from_secs(3_600);

/// How often what became stale by the clock is noted.
const CLOCK_EVERY: Duration = Duration::from_secs(2);

/// Builds the service.
///
/// # Errors
/// When PostgreSQL is away or the schema cannot be migrated.
pub async fn build(ctx: Context<MemoryConfig>) -> Result<Routes, StartError> {
    static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();
    let store = Store::new(ctx.postgres("memory", &MIGRATOR).await?);
    let metrics = ctx.register(Metrics::register);
    let cache = Cache::new(&ctx.common.redis.url, &ctx.config, metrics.clone())?;
    let inference = ctx.connector().inference();
    extract(&ctx, &store, &metrics);

    let written = Arc::new(Notify::new());
    let vectors = Vectors {
        store: store.clone(),
        inference: inference.clone(),
        written: Arc::clone(&written),
        metrics: metrics.clone(),
    };
    let shutdown = ctx.shutdown.clone();
    ctx.spawn("vectors", async move {
        shutdown.run_until_cancelled(vectors.run()).await;
    });

    let (counted, shutdown) = (store.clone(), ctx.shutdown.clone());
    ctx.spawn("words", async move {
        shutdown.run_until_cancelled(words::count(counted)).await;
    });

    let (bank, keeper) = Bank::new(&ctx.config.bank, store.clone(), metrics, Arc::clone(&written));
    if let Some(keeper) = keeper {
        let shutdown = ctx.shutdown.clone();
        ctx.spawn("bank", async move {
            shutdown.run_until_cancelled(keeper.run()).await;
        });
    }

    let (kept, shutdown) = (store.clone(), ctx.shutdown.clone());
    ctx.spawn("changes", async move {
        shutdown.run_until_cancelled(drop_old_changes(kept)).await;
    });
    let (clocked, shutdown) = (store.clone(), ctx.shutdown.clone());
    ctx.spawn("clock", async move {
        shutdown.run_until_cancelled(note_clock(clocked)).await;
    });

    let watchers = Watchers::new(ctx.shutdown.clone());
    let intake = Intake::new(store.clone(), Arc::clone(&written), ctx.shutdown.clone());
    let archives = Archives::new(ctx.shutdown.clone());
    let recall = Recall::new(store.clone(), inference, ctx.common.postgres.max_connections);
    let service = MemoryServiceServer::new(Grpc {
        store,
        recall,
        cache,
        written,
        watchers,
        intake,
        archives,
        bank,
    })
    .max_decoding_message_size(MAX_REQUEST_BYTES)
    .max_encoding_message_size(MAX_REQUEST_BYTES);
    Ok(Routes::new(service))
}

/// Lets facts be taken out of what is written, by rules and by a model, as far as they are allowed.
fn extract(ctx: &Context<MemoryConfig>, store: &Store, metrics: &Metrics) {
    let config = &ctx.config.extraction;
    let rules = Rules {
        store: store.clone(),
        metrics: metrics.clone(),
        allowed: config.rules,
        then_model: config.model,
    };
    let shutdown = ctx.shutdown.clone();
    ctx.spawn("rules", async move {
        shutdown.run_until_cancelled(rules.run()).await;
    });
    let model = Model {
        store: store.clone(),
        inference: ctx.connector().inference(),
        metrics: metrics.clone(),
        allowed: config.model,
        alias: config.model_alias.clone(),
        budget: ModelBudget {
            episodes: i64::from(config.model_episodes_per_hour),
            tokens: i64::from(config.model_tokens_per_hour),
            bytes: usize::try_from(config.model_bytes).unwrap_or(usize::MAX),
        },
    };
    let shutdown = ctx.shutdown.clone();
    ctx.spawn("model", async move {
        shutdown.run_until_cancelled(model.run()).await;
    });
}

/// Works until it is dropped.
async fn drop_old_changes(store: Store) {
    loop {
        if let Err(error) = store.drop_old_changes().await {
            tracing::warn!(%error, "old changes stay for now");
        }
        tokio::time::sleep(DROP_EVERY).await;
    }
}

/// Works until it is dropped.
async fn note_clock(store: Store) {
    loop {
        tokio::time::sleep(CLOCK_EVERY).await;
        match store.note_clock().await {
            Ok(()) => {}
            Err(error @ MemoryError::StoreUnavailable(_)) => {
                tracing::debug!(%error, "what the clock did is noted later");
            }
            Err(error) => tracing::warn!(%error, "what the clock did is noted later"),
        }
    }
}
