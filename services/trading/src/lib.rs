//! Paper exchange, risk, ledger, profit and loss.
//!
//! One task, the `desk`, owns the exchange: it takes orders and price ticks one after another,
//! works out what changes, writes that down in one transaction and only then believes it. Others
//! read what it publishes.
//!
//! - `exchange`: markets, prices, order book, account, limits: plain arithmetic in decimals
//! - `store`: SQL, and only SQL
//! - `outbox`: tells the orchestrator of alerts and the memory of actions, until they know

pub mod config;
pub mod exchange;

mod desk;
pub mod error;
mod grpc;
pub mod metrics;
mod outbox;
mod store;

use std::sync::Arc;

use alina_proto::trading::v1::trading_service_server::TradingServiceServer;
use alina_service::{Context, StartError};
use tonic::service::Routes;

use crate::{
    config::TradingConfig,
    desk::{Desk, News},
    exchange::Exchange,
    grpc::Grpc,
    metrics::Metrics,
    outbox::Outbox,
    store::Store,
};

/// Builds the service.
///
/// # Errors
/// When PostgreSQL is away, the schema cannot be migrated, or a recorded feed cannot be read.
pub async fn build(ctx: Context<TradingConfig>) -> Result<Routes, StartError> {
    static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();
    let store = Store::new(ctx.postgres("trading", &MIGRATOR).await?);
    let metrics = ctx.register(Metrics::register);
    let feed = ctx.config.feed(|path| ctx.common.path(path)).map_err(StartError::Other)?;

    let fresh = Exchange::new(ctx.config.rules(), chrono::Utc::now());
    let exchange = store.restore(fresh).await.map_err(StartError::other)?;
    let told = Arc::new(News::default());
    let (desk, handle) =
        Desk::new(exchange, feed, store.clone(), metrics, ctx.config.tick(), Arc::clone(&told));
    let shutdown = ctx.shutdown.clone();
    ctx.spawn("desk", desk.run(shutdown));

    let connector = ctx.connector();
    let outbox = Outbox {
        store: store.clone(),
        orchestrator: connector.orchestrator(),
        memory: connector.memory(),
        written: told,
    };
    let shutdown = ctx.shutdown.clone();
    ctx.spawn("outbox", async move {
        Box::pin(shutdown.run_until_cancelled(outbox.run())).await;
    });

    let grpc = Grpc { desk: handle, store, shutdown: ctx.shutdown.clone() };
    Ok(Routes::new(TradingServiceServer::new(grpc)))
}
