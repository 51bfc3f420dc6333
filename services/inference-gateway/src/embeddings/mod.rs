//! Vectors of texts, made here: from BERT models such as all-MiniLM-L6-v2 in folders, which
//! `alina-encoder` runs, and from GGUF files, which llama.cpp runs. A thread of the model's own takes
//! the requests one after another.

mod bert;

use std::{
    fmt, io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::Instant,
};

use futures::{FutureExt, future::BoxFuture};
use tokio::sync::{mpsc, oneshot};

use crate::{
    chat::{Embedded, EmbeddingModel, ModelName},
    embedded::{
        VectorModel,
        probe::{Purpose, prove},
    },
    error::Error,
    metrics::Metrics,
    models::{
        Description, Expected, Loader, Memory, ModelFile, Residence, Resides, State, Stay, Traits,
        read_gguf, read_safetensors,
    },
};

use self::bert::Bert;

/// Tokens of a text that are looked at: what all-MiniLM-L6-v2 was trained with.
pub const WINDOW: u32 = 256;

/// Requests that may wait for the thread.
const WAITING: usize = 64;

/// Where an embedding model is.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A folder with model.safetensors, tokenizer.json and config.json.
    Folder(PathBuf),
    /// A GGUF file.
    Gguf {
        /// It.
        path: PathBuf,
        /// Tokens of a text that are looked at, unless the model takes fewer.
        window: u32,
        /// Threads that calculate.
        threads: usize,
    },
}

/// An embedding model of this machine.
#[derive(Clone)]
pub struct LocalEmbedding {
    name: ModelName,
    residence: Residence<Files>,
}

/// The files, and what becomes of them.
struct Files {
    name: ModelName,
    origin: Origin,
    /// The GGUF file, or model.safetensors.
    weights: ModelFile,
    metrics: Metrics,
}

struct Running {
    requests: mpsc::Sender<Request>,
    thread: thread::JoinHandle<()>,
}

struct Request {
    texts: Vec<String>,
    reply: oneshot::Sender<Result<Embedded, String>>,
}

impl fmt::Debug for LocalEmbedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEmbedding").field("name", &self.name).finish_non_exhaustive()
    }
}

impl LocalEmbedding {
    /// Not loaded yet; once it is, it takes its part of `memory`. What is `expected` is of the GGUF
    /// file or of model.safetensors.
    #[must_use]
    pub fn new(
        name: ModelName,
        origin: Origin,
        expected: Expected,
        metrics: Metrics,
        stay: Stay,
        memory: &Arc<Memory>,
    ) -> Self {
        let weights = match &origin {
            Origin::Folder(folder) => folder.join("model.safetensors"),
            Origin::Gguf { path, .. } => path.clone(),
        };
        let weights = ModelFile::new(weights, expected);
        let loader = Files { name: name.clone(), origin, weights, metrics };
        let residence = Residence::new(name.clone(), loader, stay, memory);
        Self { name, residence }
    }

    /// Loads it, unless it is loaded.
    ///
    /// # Errors
    /// When its files are missing or corrupt, or there is no room for it.
    pub async fn load(&self) -> Result<(), Error> {
        self.residence.lease().await.map(drop)
    }

    /// Gives its memory back once its answers are made.
    ///
    /// # Errors
    /// When it is pinned.
    pub async fn unload(&self) -> Result<(), Error> {
        self.residence.unload().await
    }

    /// Whether it stays in memory whatever happens.
    pub fn pin(&self, pinned: bool) {
        self.residence.pin(pinned);
    }

    /// What there is to say of it. Reads files: call it where blocking is allowed.
    #[must_use]
    pub fn describe(&self) -> Description {
        let files = self.residence.loader();
        let loaded = self.residence.is_loaded();
        let problem = if loaded { None } else { files.verify().err() };
        let (traits, unreadable) = match files.traits() {
            Ok(traits) => (traits, None),
            Err(error) => (Traits::default(), Some(error.to_string())),
        };
        let state = match problem.or(unreadable) {
            _ if loaded => State::Loaded,
            None => State::Available,
            Some(problem) => State::Unavailable(problem),
        };
        let path = match &files.origin {
            Origin::Folder(path) | Origin::Gguf { path, .. } => Some(path.clone()),
        };
        let memory = self.residence.in_memory();
        Description { state, traits, size_bytes: files.weights.size(), path, memory }
    }
}

impl Files {
    fn broken(&self, problem: String) -> Error {
        tracing::warn!(model = %self.name, problem, "not loaded");
        Error::ModelUnavailable { name: self.name.clone(), problem }
    }

    fn verify(&self) -> Result<(), String> {
        self.weights.verify()?;
        match &self.origin {
            Origin::Folder(folder) => {
                ["tokenizer.json", "config.json"].iter().try_for_each(|name| {
                    ModelFile::new(folder.join(name), Expected::default()).verify()
                })
            }
            Origin::Gguf { .. } => self.weights.fault().map_or(Ok(()), Err),
        }
    }

    fn traits(&self) -> io::Result<Traits> {
        match &self.origin {
            Origin::Folder(_) => {
                let traits = read_safetensors(self.weights.path())?;
                Ok(Traits { context_length: WINDOW, ..traits })
            }
            Origin::Gguf { path, window, .. } => {
                let traits = read_gguf(path)?.traits;
                let trained =
                    if traits.context_length == 0 { u32::MAX } else { traits.context_length };
                Ok(Traits { context_length: trained.min(*window), ..traits })
            }
        }
    }

    fn start(&self) -> Result<Running, String> {
        match &self.origin {
            Origin::Folder(folder) => {
                let bert = Bert::open(folder).map_err(|error| {
                    format!(
                        "{} is corrupt ({error}); delete it and run ./deploy/bootstrap to fetch it \
                         again",
                        folder.display()
                    )
                })?;
                spawn(move |todo, ready| {
                    let _ = ready.send(Ok(()));
                    answer(todo, |texts| bert.embed(texts).map_err(|error| error.to_string()));
                })
            }
            Origin::Gguf { path, window, threads } => {
                let model = VectorModel::open(path, *window, *threads)?;
                spawn(move |todo, ready| match model.embedder() {
                    Ok(mut embedder) => {
                        let _ = ready.send(Ok(()));
                        answer(todo, |texts| embedder.embed(texts));
                    }
                    Err(problem) => {
                        let _ = ready.send(Err(problem));
                    }
                })
            }
        }
    }
}

impl Loader for Files {
    type Model = Running;

    fn needs(&self) -> Result<u64, Error> {
        self.verify().map_err(|problem| self.broken(problem))?;
        if let Origin::Gguf { path, .. } = &self.origin {
            self.traits().map_err(|error| {
                let path = path.display();
                self.broken(format!("{path} is corrupt: {error}; delete it and fetch it again"))
            })?;
            // llama.cpp trusts a file more than is good: it is tried where a crash does no harm.
            let proven = prove(&self.weights, Purpose::Vectors);
            proven.map_err(|problem| self.broken(problem))?;
        }
        Ok(self.weights.size())
    }

    fn open(&self) -> Result<Running, Error> {
        let begun = Instant::now();
        let running = self.start().map_err(|problem| self.broken(problem))?;
        let seconds = begun.elapsed().as_secs_f64();
        tracing::info!(model = %self.name, seconds, "loaded");
        self.metrics.loaded(&self.name, seconds);
        Ok(running)
    }
}

/// Starts the thread, and waits until `work` says that it is ready.
fn spawn(
    work: impl FnOnce(mpsc::Receiver<Request>, SyncSender<Result<(), String>>) + Send + 'static,
) -> Result<Running, String> {
    let (requests, todo) = mpsc::channel(WAITING);
    let (ready, is_ready) = sync_channel(1);
    let thread = thread::Builder::new().name("embeddings".to_owned());
    let thread = thread.spawn(move || work(todo, ready));
    let thread = thread.map_err(|error| format!("no thread for it: {error}"))?;
    is_ready.recv().map_err(|_| "its thread ended while it started".to_owned())??;
    Ok(Running { requests, thread })
}

/// Until the model is unloaded.
fn answer(
    mut todo: mpsc::Receiver<Request>,
    mut embed: impl FnMut(&[String]) -> Result<Embedded, String>,
) {
    while let Some(request) = todo.blocking_recv() {
        // Unless nobody waits for it any more.
        if !request.reply.is_closed() {
            let vectors = embed(&request.texts);
            let _ = request.reply.send(vectors);
        }
    }
}

impl Resides for Running {
    fn is_alive(&self) -> bool {
        !self.requests.is_closed()
    }

    fn close(self) {
        drop(self.requests);
        // A panic closed the channel, and was told to who asked.
        let _ = self.thread.join();
    }
}

impl EmbeddingModel for LocalEmbedding {
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Embedded, Error>> {
        async move {
            let failed = |cause: String| Error::BackendFailed {
                backend: crate::embedded::BACKEND.to_owned(),
                cause,
            };
            let running = self.residence.lease().await?;
            let (reply, vectors) = oneshot::channel();
            // Waits for room; the caller's deadline ends that.
            let gone = |_| failed("the embedding thread has ended; try again".to_owned());
            running.requests.send(Request { texts, reply }).await.map_err(|_| gone(()))?;
            vectors.await.map_err(|_| gone(()))?.map_err(failed)
        }
        .boxed()
    }
}
