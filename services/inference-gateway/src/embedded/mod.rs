//! llama.cpp in this process. [`EmbeddedModel`] loads a GGUF file when it is first needed and
//! prepares chats (`prompt`, `template`, `constraint`, `calls`); a thread of its own runs up to
//! `max_running` of them in one batch (`engine`, `slot`, `choice`, `prefixes`).

mod calls;
mod choice;
mod constraint;
mod engine;
mod guess;
mod load;
mod prefixes;
mod prompt;
mod slot;
mod template;

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
    chat::{Answer, AnswerText, Chat, ChatModel, Constraint, Job, ModelName},
    error::Error,
    metrics::Metrics,
    models::{Description, ModelFile, State, Traits, read_gguf},
    schedule::Place,
};

use self::{
    calls::CallReader,
    choice::{Choice, Limit},
    constraint::Rule,
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
    /// The most that kept beginnings of prompts may take, in bytes.
    pub prefix_bytes: usize,
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
    let prompt = loaded.prompt(&chat.input, chat.tools.as_ref()).map_err(failed)?;
    let tokens = u32::try_from(prompt.tokens.len()).unwrap_or(u32::MAX);
    // One token at least must be left for the answer.
    let context = loaded.context;
    let fit = context - 1;
    if tokens > fit {
        return Err(Error::PromptTooLong { model, tokens, fit, context });
    }
    let compile = |rule| -> Result<Limit, Error> {
        let matcher = loaded.compiler().map_err(failed)?.compile(rule)?;
        Ok(Limit::Matcher(Box::new(matcher)))
    };
    let calls = chat.tools.as_ref().and_then(|tools| prompt.dialect.grammar(tools));
    let limit = match (&chat.constraint, &calls) {
        (Some(Constraint::Schema(schema)), _) => compile(Rule::Schema(schema))?,
        (Some(Constraint::Regex(regex)), _) => compile(Rule::Regex(regex))?,
        (Some(Constraint::Choice(choice)), _) => compile(Rule::Choice(choice))?,
        (Some(Constraint::Grammar(text)), _) => Limit::grammar(&loaded.model, text)?,
        (None, Some(grammar)) => compile(Rule::Calls(grammar))?,
        (None, None) => Limit::Free,
    };
    // What is constrained ends where the constraint says.
    let is_free = chat.constraint.is_none() && calls.is_none();
    let reader = calls.is_some().then(|| {
        let id = uuid::Uuid::new_v4().simple().to_string();
        CallReader::new(prompt.dialect, format!("call_{}", &id[..12]))
    });
    let job = Prepared {
        choice: Choice::new(&chat.sampling, limit),
        text: AnswerText::new(if is_free { chat.stop } else { Vec::new() }),
        calls: reader,
        logprobs: chat.logprobs,
        max_tokens: chat.max_tokens.min(context - tokens),
        // The same seed gives the same text, whoever else is in the batch.
        alone: chat.sampling.seed.is_some(),
        prompt: prompt.tokens,
        running,
    };
    Ok(Box::new(job))
}

struct Prepared {
    prompt: Vec<LlamaToken>,
    choice: Choice,
    text: AnswerText,
    calls: Option<CallReader>,
    logprobs: Option<u8>,
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
            calls: self.calls,
            logprobs: self.logprobs,
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
