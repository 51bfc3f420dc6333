//! The gateway, put together as config.yaml says.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tonic::service::Routes;

use alina_proto::inference::v1::inference_service_server::InferenceServiceServer;
use alina_service::{Context, StartError};

use crate::{
    catalogue::{Catalogue, Entry, Servers, Several, Source},
    chat::ModelName,
    config::{InferenceConfig, Kind, ModelConfig},
    discovery::Folder,
    embedded::{EmbeddedModel, EngineSettings},
    embeddings::{LocalEmbedding, Origin},
    gateway::{Gateway, Responses},
    grpc::Grpc,
    http,
    metrics::{self, Metrics},
    models::{Expected, Memory, ModelFile, read_gguf},
    ollama, openai,
    remote::Timeouts,
    route::{Backend, Route},
    schedule::Scheduler,
    usage::{self, Recorder},
};

/// Builds the gateway and starts its background tasks. No model needs to be there for that.
///
/// # Errors
/// When a server's address cannot be used.
pub async fn build(ctx: Context<InferenceConfig>) -> Result<Routes, StartError> {
    let config = &ctx.config;
    let limits = config.limits(ctx.common.machine.parallel_agents);
    let places = u16::try_from(limits.max_running).unwrap_or(u16::MAX);
    let scheduler = Scheduler::new(limits);
    let metrics = ctx.register(|registry| Metrics::register(registry, scheduler.clone()));
    let servers = servers(&ctx).map_err(StartError::other)?;
    ctx.register(|registry| {
        metrics::watch_backends(registry, servers.backends().cloned().collect());
    });
    let ceiling = ctx.common.endpoint(alina_proto::Service::InferenceGateway).memory_mb;
    let memory = Memory::new(config.memory_bytes(ceiling.into()), metrics.clone());
    let local = Arc::new(Local {
        folder: ctx.common.path(&config.model_dir),
        places,
        config: Arc::clone(config),
        memory: Arc::clone(&memory),
        backend: Arc::new(Backend::new("embedded", places)),
        metrics: metrics.clone(),
    });
    let entries = config.models.iter().map(|model| local.configured(model, &servers));
    let entries = entries.collect::<Result<Vec<_>, StartError>>()?;
    let routes = config.routes.iter().map(|route| {
        let several = Several { route: Route::new(route.choose), models: route.models.clone() };
        (route.name.clone(), Arc::new(several))
    });
    let (usage, records) = Recorder::new(metrics.clone());
    let catalogue = Catalogue::new(entries, routes.collect::<BTreeMap<_, _>>(), servers.clone())
        .with_folder(local.found());
    let responses = (config.response_cache_seconds > 0).then(|| {
        Responses::new(&ctx.common.redis.url, config.response_cache_seconds, metrics.clone())
    });
    let responses = responses.transpose().map_err(StartError::Other)?;
    let gateway = Gateway::new(catalogue, scheduler, metrics.clone(), usage);
    let gateway = Arc::new(gateway.with_responses(responses));
    if config.preload {
        let (gateway, shutdown) = (Arc::clone(&gateway), ctx.shutdown.clone());
        ctx.spawn("preload", async move {
            // A failure is logged where it happens, and told to the first who asks.
            let _ = shutdown.run_until_cancelled(gateway.preload()).await;
        });
    }
    let shutdown = ctx.shutdown.clone();
    ctx.spawn("memory", async move {
        let _: Option<()> = shutdown.run_until_cancelled(memory.keep()).await;
    });
    watch(&ctx, servers);
    ctx.spawn("usage", usage::keep(ctx.clone(), records, metrics));
    http::start(&ctx, Arc::clone(&gateway)).await?;
    let grpc = Grpc::new(gateway, ctx.shutdown.clone());
    Ok(Routes::new(InferenceServiceServer::new(grpc)))
}

fn servers(ctx: &Context<InferenceConfig>) -> Result<Servers, String> {
    let timeouts = Timeouts::from(&ctx.config.timeouts);
    let ollama = ctx.config.ollama.iter();
    let ollama = ollama.map(|server| ollama::Server::new(server, timeouts).map(Arc::new));
    let openai = ctx.config.openai.iter().map(|server| {
        let key_file = server.key_file.as_ref().map(|file| ctx.common.path(file));
        openai::Server::new(server, key_file, timeouts).map(Arc::new)
    });
    Ok(Servers {
        ollama: ollama.collect::<Result<_, _>>()?,
        openai: openai.collect::<Result<_, _>>()?,
    })
}

/// Looks after all servers until the service ends.
fn watch(ctx: &Context<InferenceConfig>, servers: Servers) {
    for server in servers.ollama {
        let backend = Arc::clone(server.backend());
        watch_one(ctx, "ollama", backend, move || {
            let server = Arc::clone(&server);
            async move { server.version().await }
        });
    }
    for server in servers.openai {
        let backend = Arc::clone(server.backend());
        watch_one(ctx, "openai", backend, move || {
            let server = Arc::clone(&server);
            async move { server.offered().await.map(|models| format!("{} models", models.len())) }
        });
    }
}

fn watch_one<F>(
    ctx: &Context<InferenceConfig>,
    task: &'static str,
    backend: Arc<Backend>,
    probe: impl Fn() -> F + Send + Sync + 'static,
) where
    F: Future<Output = Result<String, String>> + Send,
{
    let shutdown = ctx.shutdown.clone();
    let interval = Duration::from_secs_f64(ctx.config.timeouts.probe_seconds);
    ctx.spawn(task, async move {
        let watching = async {
            let mut last = None;
            loop {
                let found = probe().await;
                // Told when it changes.
                if last != Some(found.is_ok()) {
                    match &found {
                        Ok(what) => tracing::info!(server = backend.name(), what, "found"),
                        Err(problem) => {
                            tracing::warn!(server = backend.name(), problem, "away");
                        }
                    }
                }
                last = Some(found.is_ok());
                backend.probed(found.map(|_| ()), rand::random());
                tokio::time::sleep_until(backend.next_probe(interval)).await;
            }
        };
        let _: Option<()> = shutdown.run_until_cancelled(watching).await;
    });
}

/// Makes models of this machine.
struct Local {
    folder: PathBuf,
    places: u16,
    config: Arc<InferenceConfig>,
    memory: Arc<Memory>,
    backend: Arc<Backend>,
    metrics: Metrics,
}

impl Local {
    /// What config.yaml says; it may be a server's.
    fn configured(&self, model: &ModelConfig, servers: &Servers) -> Result<Entry, StartError> {
        let name = ModelName(model.name.clone());
        let Some(remote) = model.ollama.as_ref().or(model.openai.as_ref()) else {
            return Ok(self.local(model));
        };
        let source = servers.source(&remote.server, &remote.model, name);
        let (source, backend) =
            source.ok_or_else(|| StartError::Other(format!("no server `{}`", remote.server)))?;
        Ok(entry(model, source, backend))
    }

    /// A file or folder of this machine.
    fn local(&self, model: &ModelConfig) -> Entry {
        let name = ModelName(model.name.clone());
        let path = self.folder.join(model.path.as_deref().unwrap_or_default());
        let mut expected =
            Expected { sha256: model.sha256.clone(), size_bytes: model.size_bytes, magic: None };
        let (metrics, stay, memory) = (self.metrics.clone(), model.stay(), &self.memory);
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
                let model = EmbeddedModel::new(name, file, settings, metrics, stay, memory);
                Source::Embedded(Arc::new(model))
            }
            Kind::Embedding => {
                let origin = if is_gguf(&path) {
                    expected.magic = Some(b"GGUF");
                    let (window, threads) = (model.context_length, self.config.threads());
                    Origin::Gguf { path, window, threads }
                } else {
                    Origin::Folder(path)
                };
                let model = LocalEmbedding::new(name, origin, expected, metrics, stay, memory);
                Source::Embedding(Arc::new(model))
            }
        };
        entry(model, source, Arc::clone(&self.backend))
    }

    /// The files that config.yaml does not name.
    fn found(self: &Arc<Self>) -> Folder {
        let named = self.config.models.iter().filter_map(|model| model.path.as_ref());
        let named: Vec<_> = named.map(|path| self.folder.join(path)).collect();
        let local = Arc::clone(self);
        Folder::new(self.folder.clone(), named, move |name, path| {
            // A file that cannot be read is told as what most are.
            let makes_vectors = read_gguf(&path).is_ok_and(|header| header.makes_vectors);
            let kind = if makes_vectors { Kind::Embedding } else { Kind::Chat };
            local.local(&ModelConfig::found(name.0, kind, path.display().to_string()))
        })
    }
}

fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

fn entry(model: &ModelConfig, source: Source, backend: Arc<Backend>) -> Entry {
    Entry {
        name: ModelName(model.name.clone()),
        aliases: model.aliases.clone(),
        kind: model.kind,
        context_length: model.context_length,
        max_tokens: model.max_tokens,
        sampling: model.sampling,
        pinned: model.pinned,
        source,
        backend,
    }
}
