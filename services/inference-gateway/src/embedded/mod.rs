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
pub mod probe;
mod prompt;
pub mod quantize;
mod slot;
mod template;
mod vectors;

use std::{fmt, path::Path, sync::Arc, time::Instant};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use llama_cpp_2::token::LlamaToken;
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    chat::{Answer, AnswerText, Chat, ChatModel, Constraint, Job, ModelName},
    error::Error,
    metrics::Metrics,
    models::{
        Description, Lease, Loader, Memory, ModelFile, Residence, Resides, State, Stay, Traits,
        read_gguf,
    },
    schedule::Place,
};

use self::{
    calls::CallReader,
    choice::{Choice, Limit},
    constraint::Rule,
    engine::{Engine, Sequence},
    load::Loaded,
    probe::Purpose,
};

pub(crate) use self::vectors::VectorModel;

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
    name: ModelName,
    residence: Residence<Gguf>,
}

/// The file, and what becomes of it.
struct Gguf {
    name: ModelName,
    file: ModelFile,
    settings: EngineSettings,
    metrics: Metrics,
}

struct Running {
    loaded: Arc<Loaded>,
    engine: Engine,
}

impl fmt::Debug for EmbeddedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedModel").field("name", &self.name).finish_non_exhaustive()
    }
}

impl EmbeddedModel {
    /// Not loaded yet; once it is, it takes its part of `memory`.
    #[must_use]
    pub fn new(
        name: ModelName,
        file: ModelFile,
        settings: EngineSettings,
        metrics: Metrics,
        stay: Stay,
        memory: &Arc<Memory>,
    ) -> Self {
        let loader = Gguf { name: name.clone(), file, settings, metrics };
        let residence = Residence::new(name.clone(), loader, stay, memory);
        Self { name, residence }
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.residence.loader().file.path()
    }

    /// Loads it, unless it is loaded.
    ///
    /// # Errors
    /// When its file is missing or corrupt, or there is no room for it.
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

    /// What there is to say of it. Reads the file's header, and all of it when it must be checked
    /// and was not: call it where blocking is allowed.
    #[must_use]
    pub fn describe(&self) -> Description {
        let Gguf { file, settings, .. } = self.residence.loader();
        let loaded = self.residence.is_loaded();
        let problem = if loaded { None } else { file.verify().err().or_else(|| file.fault()) };
        let (mut traits, unreadable) = match read_gguf(file.path()) {
            Ok(header) => (header.traits, None),
            Err(error) => (Traits::default(), Some(error.to_string())),
        };
        let trained = if traits.context_length == 0 { u32::MAX } else { traits.context_length };
        traits.context_length = settings.context_length.min(trained);
        let state = match problem.or(unreadable) {
            _ if loaded => State::Loaded,
            None => State::Available,
            Some(problem) => State::Unavailable(problem),
        };
        let (path, memory) = (Some(file.path().to_owned()), self.residence.in_memory());
        Description { state, traits, size_bytes: file.size(), path, memory }
    }
}

impl Gguf {
    fn broken(&self, problem: String) -> Error {
        tracing::warn!(model = %self.name, problem, "not loaded");
        Error::ModelUnavailable { name: self.name.clone(), problem }
    }
}

impl Loader for Gguf {
    type Model = Running;

    fn needs(&self) -> Result<u64, Error> {
        self.file.verify().map_err(|problem| self.broken(problem))?;
        let header = read_gguf(self.file.path()).map_err(|error| {
            let path = self.file.path().display();
            self.broken(format!("{path} is corrupt: {error}; delete it and run ./deploy/bootstrap"))
        })?;
        // llama.cpp trusts a file more than this does: it is tried where a crash does no harm.
        probe::prove(&self.file, Purpose::Chat).map_err(|problem| self.broken(problem))?;
        let settings = &self.settings;
        let trained = header.traits.context_length;
        let trained = if trained == 0 { u32::MAX } else { trained };
        let tokens = u64::from(settings.context_length.min(trained))
            .saturating_mul(u64::from(settings.sequences));
        let contexts = tokens.saturating_mul(header.context_bytes);
        let needs = self.file.size().saturating_add(contexts);
        Ok(needs.saturating_add(settings.prefix_bytes as u64))
    }

    fn open(&self) -> Result<Running, Error> {
        let begun = Instant::now();
        tracing::info!(model = %self.name, path = %self.file.path().display(), "loading");
        let loaded = Loaded::open(self.file.path(), self.settings);
        let loaded = Arc::new(loaded.map_err(|problem| self.broken(problem))?);
        let engine = Engine::start(Arc::clone(&loaded), self.settings);
        let engine = engine.map_err(|problem| self.broken(problem))?;
        let seconds = begun.elapsed().as_secs_f64();
        tracing::info!(model = %self.name, seconds, "loaded");
        self.metrics.loaded(&self.name, seconds);
        Ok(Running { loaded, engine })
    }
}

impl Resides for Running {
    fn is_alive(&self) -> bool {
        self.engine.is_alive()
    }

    fn close(self) {
        drop(self.loaded);
        self.engine.close();
    }
}

impl ChatModel for EmbeddedModel {
    fn prepare(&self, chat: Chat) -> BoxFuture<'_, Result<Box<dyn Job>, Error>> {
        async move {
            let running = self.residence.lease().await?;
            let name = self.name.clone();
            let prepared = spawn_blocking(move || prepare(name, running, chat)).await;
            prepared.unwrap_or_else(|panic| Err(failed(panic.to_string())))
        }
        .boxed()
    }
}

fn failed(cause: String) -> Error {
    Error::BackendFailed { backend: BACKEND.to_owned(), cause }
}

fn prepare(model: ModelName, running: Lease<Running>, chat: Chat) -> Result<Box<dyn Job>, Error> {
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
    running: Lease<Running>,
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
            using: self.running.using(),
        };
        if !self.running.engine.run(sequence) {
            let gone = failed("its thread has ended; try again".to_owned());
            return futures::stream::iter([Err(gone)]).boxed();
        }
        ReceiverStream::new(answer).boxed()
    }
}
