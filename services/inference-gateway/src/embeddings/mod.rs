//! Sentence vectors from BERT models such as all-MiniLM-L6-v2: candle runs them, a thread of their
//! own takes the requests one after another.

mod bert;

use std::{fmt, path::PathBuf, sync::Arc, thread, time::Instant};

use futures::{FutureExt, future::BoxFuture};
use tokio::sync::{mpsc, oneshot};

use crate::{
    chat::{Embedded, EmbeddingModel, ModelName},
    error::Error,
    metrics::Metrics,
    models::{
        Description, Expected, Loader, Memory, ModelFile, Residence, Resides, State, Stay, Traits,
        read_safetensors,
    },
};

use self::bert::Bert;

/// Tokens of a text that are looked at: what all-MiniLM-L6-v2 was trained with.
pub const WINDOW: u32 = 256;

/// Requests that may wait for the thread.
const WAITING: usize = 64;

/// A folder with model.safetensors, tokenizer.json and config.json.
#[derive(Clone)]
pub struct MiniLm {
    name: ModelName,
    residence: Residence<Folder>,
}

/// The files, and what becomes of them.
struct Folder {
    name: ModelName,
    path: PathBuf,
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

impl fmt::Debug for MiniLm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MiniLm").field("name", &self.name).finish_non_exhaustive()
    }
}

impl MiniLm {
    /// Not loaded yet; once it is, it takes its part of `memory`. What is `expected` is of
    /// model.safetensors.
    #[must_use]
    pub fn new(
        name: ModelName,
        folder: PathBuf,
        expected: Expected,
        metrics: Metrics,
        stay: Stay,
        memory: &Arc<Memory>,
    ) -> Self {
        let weights = ModelFile::new(folder.join("model.safetensors"), expected);
        let loader = Folder { name: name.clone(), path: folder, weights, metrics };
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
        let folder = self.residence.loader();
        let loaded = self.residence.is_loaded();
        let problem = if loaded { None } else { folder.verify().err() };
        let (mut traits, unreadable) = match read_safetensors(folder.weights.path()) {
            Ok(traits) => (traits, None),
            Err(error) => (Traits::default(), Some(error.to_string())),
        };
        traits.context_length = WINDOW;
        let state = match problem.or(unreadable) {
            _ if loaded => State::Loaded,
            None => State::Available,
            Some(problem) => State::Unavailable(problem),
        };
        let (path, memory) = (Some(folder.path.clone()), self.residence.in_memory());
        Description { state, traits, size_bytes: folder.weights.size(), path, memory }
    }
}

impl Folder {
    fn broken(&self, problem: String) -> Error {
        tracing::warn!(model = %self.name, problem, "not loaded");
        Error::ModelUnavailable { name: self.name.clone(), problem }
    }

    fn verify(&self) -> Result<(), String> {
        self.weights.verify()?;
        for name in ["tokenizer.json", "config.json"] {
            ModelFile::new(self.path.join(name), Expected::default()).verify()?;
        }
        Ok(())
    }
}

impl Loader for Folder {
    type Model = Running;

    fn needs(&self) -> Result<u64, Error> {
        self.verify().map_err(|problem| self.broken(problem))?;
        Ok(self.weights.size())
    }

    fn open(&self) -> Result<Running, Error> {
        let begun = Instant::now();
        let bert = Bert::open(&self.path).map_err(|error| {
            let folder = self.path.display();
            self.broken(format!(
                "{folder} is corrupt ({error}); delete it and run ./deploy/bootstrap to fetch it \
                 again"
            ))
        })?;
        let (requests, mut todo) = mpsc::channel::<Request>(WAITING);
        let work = move || {
            while let Some(request) = todo.blocking_recv() {
                // Nobody waits for it any more.
                if request.reply.is_closed() {
                    continue;
                }
                let vectors = bert.embed(&request.texts).map_err(|error| error.to_string());
                let _ = request.reply.send(vectors);
            }
        };
        let thread = thread::Builder::new().name("embeddings".to_owned()).spawn(work);
        let thread = thread.map_err(|error| self.broken(format!("no thread for it: {error}")))?;
        let seconds = begun.elapsed().as_secs_f64();
        tracing::info!(model = %self.name, seconds, "loaded");
        self.metrics.loaded(&self.name, seconds);
        Ok(Running { requests, thread })
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

impl EmbeddingModel for MiniLm {
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
