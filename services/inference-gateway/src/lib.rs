//! Models for many agents on one CPU.
//!
//! A request comes in through [`grpc`] or [`http`], which check it. [`gateway`] finds its model in the
//! [`catalogue`], has the model prepare it (tokens counted, schema compiled), lets it wait for a
//! place in the [`schedule`], which is fair between agents, and passes the answer on as it comes.
//! Models are run by [`embedded`] (llama.cpp), [`embeddings`] (BERT) or an [`ollama`] server;
//! [`models`] looks after their files. What was used is kept by [`usage`].

pub mod catalogue;
pub mod chat;
pub mod config;
pub mod embedded;
pub mod embeddings;
pub mod error;
#[cfg(test)]
mod fuzz;
pub mod gateway;
pub mod grpc;
pub mod http;
pub mod metrics;
pub mod models;
pub mod ollama;
pub mod schedule;
pub mod schema;
pub mod usage;

use std::{path::PathBuf, sync::Arc};

use tonic::service::Routes;

use alina_proto::inference::v1::inference_service_server::InferenceServiceServer;
use alina_service::{Context, StartError};

use crate::{
    catalogue::{Catalogue, Entry, Source},
    chat::ModelName,
    config::{InferenceConfig, Kind, ModelConfig},
    embedded::{EmbeddedModel, EngineSettings},
    embeddings::MiniLm,
    gateway::Gateway,
    grpc::Grpc,
    metrics::Metrics,
    models::{Expected, ModelFile},
    ollama::{RemoteModel, Server},
    schedule::Scheduler,
    usage::Recorder,
};

/// Builds the gateway and starts its background tasks. No model needs to be there for that.
///
/// # Errors
/// When an Ollama server's address cannot be used.
pub async fn build(ctx: Context<InferenceConfig>) -> Result<Routes, StartError> {
    let config = &ctx.config;
    let limits = config.limits(ctx.common.machine.parallel_agents);
    let places = u16::try_from(limits.max_running).unwrap_or(u16::MAX);
    let scheduler = Scheduler::new(limits);
    let metrics = ctx.register(|registry| Metrics::register(registry, scheduler.clone()));
    let servers = config.ollama.iter().map(|server| Server::new(server).map(Arc::new));
    let servers: Vec<Arc<Server>> =
        servers.collect::<Result<_, String>>().map_err(StartError::other)?;
    let folder = ctx.common.path(&config.model_dir);
    let entries = config.models.iter().map(|model| {
        let entry = Builder { folder: &folder, places, config, servers: &servers };
        entry.build(model, &metrics)
    });
    let entries = entries.collect::<Result<Vec<_>, StartError>>()?;
    let (usage, records) = Recorder::new(metrics.clone());
    let catalogue = Catalogue::new(entries, servers.clone());
    let gateway = Arc::new(Gateway::new(catalogue, scheduler, metrics.clone(), usage));
    if config.preload {
        let (gateway, shutdown) = (Arc::clone(&gateway), ctx.shutdown.clone());
        ctx.spawn("preload", async move {
            // A failure is logged where it happens, and told to the first who asks.
            let _ = shutdown.run_until_cancelled(gateway.preload()).await;
        });
    }
    for server in servers {
        let shutdown = ctx.shutdown.clone();
        ctx.spawn("ollama", async move {
            match shutdown.run_until_cancelled(server.version()).await {
                Some(Ok(version)) => tracing::info!(server = server.name(), version, "found"),
                Some(Err(problem)) => tracing::warn!(server = server.name(), problem, "away"),
                None => {}
            }
        });
    }
    ctx.spawn("usage", usage::keep(ctx.clone(), records, metrics));
    http::start(&ctx, Arc::clone(&gateway)).await?;
    let grpc = Grpc::new(gateway, ctx.shutdown.clone());
    Ok(Routes::new(InferenceServiceServer::new(grpc)))
}

/// Makes models of what config.yaml says.
struct Builder<'a> {
    folder: &'a PathBuf,
    places: u16,
    config: &'a InferenceConfig,
    servers: &'a [Arc<Server>],
}

impl Builder<'_> {
    fn build(&self, model: &ModelConfig, metrics: &Metrics) -> Result<Entry, StartError> {
        let name = ModelName(model.name.clone());
        Ok(Entry {
            aliases: model.aliases.clone(),
            kind: model.kind,
            context_length: model.context_length,
            max_tokens: model.max_tokens,
            sampling: model.sampling,
            source: self.source(name.clone(), model, metrics)?,
            name,
        })
    }

    fn source(
        &self,
        name: ModelName,
        model: &ModelConfig,
        metrics: &Metrics,
    ) -> Result<Source, StartError> {
        if let Some(remote) = &model.ollama {
            let server = self.servers.iter().find(|server| server.name() == remote.server);
            let server = server.ok_or_else(|| {
                StartError::Other(format!("no entry `{}` of ollama", remote.server))
            })?;
            let remote = RemoteModel::new(Arc::clone(server), remote.model.clone(), name);
            return Ok(Source::Ollama(Arc::new(remote)));
        }
        let path = self.folder.join(model.path.as_deref().unwrap_or_default());
        let mut expected =
            Expected { sha256: model.sha256.clone(), size_bytes: model.size_bytes, magic: None };
        let metrics = metrics.clone();
        Ok(match model.kind {
            Kind::Chat => {
                expected.magic = Some(b"GGUF");
                let settings = EngineSettings {
                    context_length: model.context_length,
                    sequences: self.places,
                    threads: self.config.threads(),
                    prefix_bytes: self.config.prefix_cache_mb as usize * 1_048_576,
                };
                let file = ModelFile::new(path, expected);
                Source::Embedded(Arc::new(EmbeddedModel::new(name, file, settings, metrics)))
            }
            Kind::Embedding => Source::MiniLm(Arc::new(MiniLm::new(name, path, expected, metrics))),
        })
    }
}
