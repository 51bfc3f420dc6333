//! llama.cpp in this process. [`EmbeddedModel`] loads a GGUF file when it is first needed and
//! prepares chats (`prompt`, `schema`); a thread of its own runs up to `max_running` of them in
//! one batch (`engine`, `slot`, `choice`).

mod choice;
mod engine;
mod load;
mod prompt;
mod schema;
mod slot;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use llama_cpp_2::token::LlamaToken;
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    chat::{Answer, AnswerText, Chat, ChatModel, Constraint, Input, Job, ModelName},
    error::Error,
    metrics::Metrics,
    models::{Description, ModelFile, State, Traits, read_gguf},
    schedule::Place,
};

use self::{
    choice::Choice,
    engine::{Engine, Sequence},
    load::Loaded,
};

/// The name of this back end.
pub const BACKEND: &str = "embedded";

/// How a model is run.
#[derive(Debug, Clone, Copy)]
pub struct EngineSettings {
    /// Tokens of prompt and answer together, of each sequence.
    pub context_length: u32,
    /// Sequences in one batch.
    pub sequences: u16,
    /// Threads that calculate.
    pub threads: usize,
}

/// A chat model in a GGUF file.
#[derive(Clone)]
pub struct EmbeddedModel {
    inner: Arc<Inner>,
}

struct Inner {
    name: ModelName,
    file: ModelFile,
    settings: EngineSettings,
    metrics: Metrics,
    running: RwLock<Option<Arc<Running>>>,
    /// Held while loading, so that a model is loaded once.
    loading: tokio::sync::Mutex<()>,
}

struct Running {
    loaded: Arc<Loaded>,
    engine: Engine,
}

impl fmt::Debug for EmbeddedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedModel").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

impl EmbeddedModel {
    /// Not loaded yet.
    #[must_use]
    pub fn new(
        name: ModelName,
        file: ModelFile,
        settings: EngineSettings,
        metrics: Metrics,
    ) -> Self {
        let inner = Inner {
            name,
            file,
            settings,
            metrics,
            running: RwLock::new(None),
            loading: tokio::sync::Mutex::new(()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Loads it, unless it is loaded.
    ///
    /// # Errors
    /// When its file is missing or corrupt.
    pub async fn load(&self) -> Result<(), Error> {
        self.running().await.map(drop)
    }

    /// What there is to say of it. Reads the file's header, and all of it when it must be checked
    /// and was not: call it where blocking is allowed.
    #[must_use]
    pub fn describe(&self) -> Description {
        let inner = &*self.inner;
        let loaded = inner.current();
        let problem = if loaded.is_some() { None } else { inner.file.verify().err() };
        let (mut traits, unreadable) = match read_gguf(inner.file.path()) {
            Ok(traits) => (traits, None),
            Err(error) => (Traits::default(), Some(error.to_string())),
        };
        let trained = if traits.context_length == 0 { u32::MAX } else { traits.context_length };
        traits.context_length = inner.settings.context_length.min(trained);
        let state = match (loaded, problem.or(unreadable)) {
            (Some(_), _) => State::Loaded,
            (None, None) => State::Available,
            (None, Some(problem)) => State::Unavailable(problem),
        };
        let path = Some(inner.file.path().to_owned());
        Description { state, traits, size_bytes: inner.file.size(), path }
    }

    async fn running(&self) -> Result<Arc<Running>, Error> {
        if let Some(running) = self.inner.current() {
            return Ok(running);
        }
        // In a task of its own: a caller that goes away does not undo the others' loading.
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
    /// The running engine; none when there is none, or its thread has ended.
    fn current(&self) -> Option<Arc<Running>> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().filter(|running| running.engine.is_alive()).cloned()
    }

    fn unavailable(&self, problem: impl fmt::Display) -> Error {
        Error::ModelUnavailable { name: self.name.clone(), problem: problem.to_string() }
    }

    fn load(&self) -> Result<Arc<Running>, Error> {
        let begun = Instant::now();
        tracing::info!(model = %self.name, path = %self.file.path().display(), "loading");
        let broken = |problem: String| {
            tracing::warn!(model = %self.name, problem, "not loaded");
            self.unavailable(problem)
        };
        self.file.verify().map_err(broken)?;
        // llama.cpp trusts a header more than this does.
        let path = self.file.path().display();
        read_gguf(self.file.path()).map_err(|error| {
            broken(format!("{path} is corrupt: {error}; delete it and run ./deploy/bootstrap"))
        })?;
        let loaded = Loaded::open(self.file.path(), self.settings).map_err(broken)?;
        let loaded = Arc::new(loaded);
        let engine = Engine::start(Arc::clone(&loaded), self.settings).map_err(broken)?;
        let running = Arc::new(Running { loaded, engine });
        let seconds = begun.elapsed().as_secs_f64();
        tracing::info!(model = %self.name, seconds, "loaded");
        self.metrics.loaded(&self.name, seconds);
        let mut slot = self.running.write().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(Arc::clone(&running));
        Ok(running)
    }
}

impl ChatModel for EmbeddedModel {
    fn prepare(&self, chat: Chat) -> BoxFuture<'_, Result<Box<dyn Job>, Error>> {
        async move {
            let running = self.running().await?;
            let name = self.inner.name.clone();
            let prepared = spawn_blocking(move || prepare(name, running, chat)).await;
            prepared.unwrap_or_else(|panic| Err(failed(panic.to_string())))
        }
        .boxed()
    }
}

fn failed(cause: String) -> Error {
    Error::BackendFailed { backend: BACKEND.to_owned(), cause }
}

fn prepare(model: ModelName, running: Arc<Running>, chat: Chat) -> Result<Box<dyn Job>, Error> {
    let loaded = &running.loaded;
    let unsupported = |what| {
        let backend = BACKEND.to_owned();
        Err(Error::Unsupported { model: model.clone(), backend, what })
    };
    let prompt = match &chat.input {
        Input::Messages(messages) => loaded.prompt(messages).map_err(failed)?,
        Input::Text(_) => return unsupported("prompt"),
    };
    if chat.tools.is_some() {
        return unsupported("tools");
    }
    if chat.logprobs.is_some() {
        return unsupported("top_logprobs");
    }
    let tokens = u32::try_from(prompt.len()).unwrap_or(u32::MAX);
    // One token at least must be left for the answer.
    let context = loaded.context;
    let fit = context - 1;
    if tokens > fit {
        return Err(Error::PromptTooLong { model, tokens, fit, context });
    }
    let matcher = match &chat.constraint {
        Some(Constraint::Schema(schema)) => {
            Some(loaded.schemas().map_err(failed)?.compile(schema)?)
        }
        Some(_) => return unsupported("regex, choice or grammar"),
        None => None,
    };
    let job = Prepared {
        choice: Choice::new(&chat.sampling, matcher, loaded),
        // With a schema the schema alone says where the answer ends.
        text: AnswerText::new(if chat.constraint.is_some() { Vec::new() } else { chat.stop }),
        max_tokens: chat.max_tokens.min(context - tokens),
        // The same seed gives the same text, whoever else is in the batch.
        alone: chat.sampling.seed.is_some(),
        prompt,
        running,
    };
    Ok(Box::new(job))
}

struct Prepared {
    prompt: Vec<LlamaToken>,
    choice: Choice,
    text: AnswerText,
    max_tokens: u32,
    alone: bool,
    running: Arc<Running>,
}

impl Job for Prepared {
    fn cost(&self) -> u32 {
        u32::try_from(self.prompt.len()).unwrap_or(u32::MAX).saturating_add(self.max_tokens)
    }

    fn start(self: Box<Self>, place: Place) -> Answer {
        // Room for the whole answer: a slow reader keeps nobody waiting.
        let (out, answer) = mpsc::channel(self.max_tokens as usize + 4);
        let sequence = Sequence {
            prompt: self.prompt,
            choice: self.choice,
            text: self.text,
            max_tokens: self.max_tokens,
            alone: self.alone,
            place,
            out,
        };
        if !self.running.engine.run(sequence) {
            let gone = failed("its thread has ended; try again".to_owned());
            return futures::stream::iter([Err(gone)]).boxed();
        }
        ReceiverStream::new(answer).boxed()
    }
}
