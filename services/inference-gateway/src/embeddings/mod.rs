//! Sentence vectors from BERT models such as all-MiniLM-L6-v2: candle runs them, a thread of their
//! own takes the requests one after another.

mod bert;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::Instant,
};

use futures::{FutureExt, future::BoxFuture};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};

use crate::{
    chat::{Embedded, EmbeddingModel, ModelName},
    error::Error,
    metrics::Metrics,
    models::{Description, Expected, ModelFile, State, Traits, read_safetensors},
};

use self::bert::Bert;

/// Tokens of a text that are looked at: what all-MiniLM-L6-v2 was trained with.
pub const WINDOW: u32 = 256;

/// Requests that may wait for the thread.
const WAITING: usize = 64;

/// A folder with model.safetensors, tokenizer.json and config.json.
#[derive(Clone)]
pub struct MiniLm {
    inner: Arc<Inner>,
}

struct Inner {
    name: ModelName,
    folder: PathBuf,
    weights: ModelFile,
    metrics: Metrics,
    running: RwLock<Option<mpsc::Sender<Request>>>,
    loading: tokio::sync::Mutex<()>,
}

struct Request {
    texts: Vec<String>,
    reply: oneshot::Sender<Result<Embedded, String>>,
}

impl fmt::Debug for MiniLm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MiniLm").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

impl MiniLm {
    /// Not loaded yet. What is `expected` is of model.safetensors.
    #[must_use]
    pub fn new(name: ModelName, folder: PathBuf, expected: Expected, metrics: Metrics) -> Self {
        let weights = ModelFile::new(folder.join("model.safetensors"), expected);
        let inner = Inner {
            name,
            folder,
            weights,
            metrics,
            running: RwLock::new(None),
            loading: tokio::sync::Mutex::new(()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What there is to say of it. Reads files: call it where blocking is allowed.
    #[must_use]
    pub fn describe(&self) -> Description {
        let inner = &*self.inner;
        let loaded = inner.current().is_some();
        let problem = if loaded { None } else { inner.verify().err() };
        let (mut traits, unreadable) = match read_safetensors(inner.weights.path()) {
            Ok(traits) => (traits, None),
            Err(error) => (Traits::default(), Some(error.to_string())),
        };
        traits.context_length = WINDOW;
        let state = match (loaded, problem.or(unreadable)) {
            (true, _) => State::Loaded,
            (false, None) => State::Available,
            (false, Some(problem)) => State::Unavailable(problem),
        };
        let path = Some(inner.folder.clone());
        Description { state, traits, size_bytes: inner.weights.size(), path }
    }

    async fn running(&self) -> Result<mpsc::Sender<Request>, Error> {
        if let Some(running) = self.inner.current() {
            return Ok(running);
        }
        let inner = Arc::clone(&self.inner);
        let loading = tokio::spawn(async move {
            let _one = inner.loading.lock().await;
            if let Some(running) = inner.current() {
                return Ok(running);
            }
            let again = Arc::clone(&inner);
            let loaded = spawn_blocking(move || again.load()).await;
            loaded.unwrap_or_else(|panic| Err(inner.unavailable(panic)))
        });
        loading.await.unwrap_or_else(|panic| Err(self.inner.unavailable(panic)))
    }
}

impl Inner {
    fn current(&self) -> Option<mpsc::Sender<Request>> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().filter(|requests| !requests.is_closed()).cloned()
    }

    fn unavailable(&self, problem: impl fmt::Display) -> Error {
        Error::ModelUnavailable { name: self.name.clone(), problem: problem.to_string() }
    }

    fn verify(&self) -> Result<(), String> {
        self.weights.verify()?;
        for name in ["tokenizer.json", "config.json"] {
            ModelFile::new(self.folder.join(name), Expected::default()).verify()?;
        }
        Ok(())
    }

    fn load(&self) -> Result<mpsc::Sender<Request>, Error> {
        let begun = Instant::now();
        let broken = |problem: String| {
            tracing::warn!(model = %self.name, problem, "not loaded");
            self.unavailable(problem)
        };
        self.verify().map_err(broken)?;
        let bert = Bert::open(&self.folder).map_err(|error| {
            let folder = Path::new(&self.folder).display();
            broken(format!(
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
        thread.map_err(|error| broken(format!("no thread for it: {error}")))?;
        let seconds = begun.elapsed().as_secs_f64();
        tracing::info!(model = %self.name, seconds, "loaded");
        self.metrics.loaded(&self.name, seconds);
        let mut slot = self.running.write().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(requests.clone());
        Ok(requests)
    }
}

impl EmbeddingModel for MiniLm {
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Embedded, Error>> {
        async move {
            let failed = |cause: String| Error::BackendFailed {
                backend: crate::embedded::BACKEND.to_owned(),
                cause,
            };
            let requests = self.running().await?;
            let (reply, vectors) = oneshot::channel();
            // Waits for room; the caller's deadline ends that.
            let gone = |_| failed("the embedding thread has ended; try again".to_owned());
            requests.send(Request { texts, reply }).await.map_err(|_| gone(()))?;
            vectors.await.map_err(|_| gone(()))?.map_err(failed)
        }
        .boxed()
    }
}
