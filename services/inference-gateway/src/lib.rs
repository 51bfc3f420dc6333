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
pub mod discovery;
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
    discovery::Folder,
    embedded::{EmbeddedModel, EngineSettings},
    embeddings::MiniLm,
    gateway::Gateway,
    grpc::Grpc,
    metrics::Metrics,
    models::{Expected, Memory, ModelFile},
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
    let ceiling = ctx.common.endpoint(alina_proto::Service::InferenceGateway).memory_mb;
    let memory = Memory::new(config.memory_bytes(ceiling.into()), metrics.clone());
    let entries = config.models.iter().map(|model| {
        let entry = Builder { folder: &folder, places, config, servers: &servers, memory: &memory };
        entry.build(model, &metrics)
    });
    let entries = entries.collect::<Result<Vec<_>, StartError>>()?;
    let found = {
        let named: Vec<PathBuf> = config
            .models
            .iter()
            .filter_map(|model| Some(folder.join(model.path.as_ref()?)))
            .collect();
        let (config, memory, metrics) = (Arc::clone(config), Arc::clone(&memory), metrics.clone());
        let place = folder.clone();
        Folder::new(folder.clone(), named, move |name, path| {
            let model = ModelConfig::found(name.0, path.display().to_string());
            let (config, memory) = (&config, &memory);
            let builder = Builder { folder: &place, places, config, servers: &[], memory };
            builder.local(&model, &metrics)
        })
    };
    let (usage, records) = Recorder::new(metrics.clone());
    let catalogue = Catalogue::new(entries, servers.clone()).with_folder(found);
    let gateway = Arc::new(Gateway::new(catalogue, scheduler, metrics.clone(), usage));
    if config.preload {
        let (gateway, shutdown) = (Arc::clone(&gateway), ctx.shutdown.clone());
        ctx.spawn("preload", async move {
            // A failure is logged where it happens, and told to the first who asks.
            let _ = shutdown.run_until_cancelled(gateway.preload()).await;
        });
    }
    let shutdown = ctx.shutdown.clone();
    ctx.spawn("memory", async move {
        let _ = shutdown.run_until_cancelled(memory.keep()).await;
    });
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
    memory: &'a Arc<Memory>,
}

impl Builder<'_> {
    fn build(&self, model: &ModelConfig, metrics: &Metrics) -> Result<Entry, StartError> {
        let name = ModelName(model.name.clone());
        if let Some(remote) = &model.ollama {
            let server = self.servers.iter().find(|server| server.name() == remote.server);
            let server = server.ok_or_else(|| {
                StartError::Other(format!("no entry `{}` of ollama", remote.server))
            })?;
            let remote = RemoteModel::new(Arc::clone(server), remote.model.clone(), name.clone());
            return Ok(entry(name, model, Source::Ollama(Arc::new(remote))));
        }
        Ok(self.local(model, metrics))
    }

    /// A model of this machine.
    fn local(&self, model: &ModelConfig, metrics: &Metrics) -> Entry {
        let name = ModelName(model.name.clone());
        let path = self.folder.join(model.path.as_deref().unwrap_or_default());
        let mut expected =
            Expected { sha256: model.sha256.clone(), size_bytes: model.size_bytes, magic: None };
        let (metrics, stay, memory) = (metrics.clone(), model.stay(), self.memory);
        let source = match model.kind {
            Kind::Chat => {
                expected.magic = Some(b"GGUF");
                let settings = EngineSettings {
                    context_length: model.context_length,
                    sequences: self.places,
                    threads: self.config.threads(),
                    prefix_bytes: self.config.prefix_cache_mb as usize * 1_048_576,
                };
                let file = ModelFile::new(path, expected);
                let name = name.clone();
                let model = EmbeddedModel::new(name, file, settings, metrics, stay, memory);
                Source::Embedded(Arc::new(model))
            }
            Kind::Embedding => {
                let name = name.clone();
                let model = MiniLm::new(name, path, expected, metrics, stay, memory);
                Source::MiniLm(Arc::new(model))
            }
        };
        entry(name, model, source)
    }
}

fn entry(name: ModelName, model: &ModelConfig, source: Source) -> Entry {
    Entry {
        name,
        aliases: model.aliases.clone(),
        kind: model.kind,
        context_length: model.context_length,
        max_tokens: model.max_tokens,
        sampling: model.sampling,
        pinned: model.pinned,
        source,
    }
}
