//! The way of a request: which model, is all well with it, wait for a place, answer, account.

mod account;
mod attempt;
mod responses;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    FutureExt, StreamExt,
    future::join_all,
    stream::{self, BoxStream},
};
use tokio::task::spawn_blocking;

pub use self::responses::Responses;

use self::{
    account::Account,
    attempt::{Attempts, Serving, complete},
};
use crate::{
    catalogue::{Catalogue, Entry, ModelChange, Places, Source},
    chat::{
        AgentId, Constraint, Embedded, Ended, Event, Finish, Input, ModelName, Piece, RunId,
        Sampling, TokenLogprob, ToolCall, Tools,
    },
    config::Kind,
    error::Error,
    metrics::{Metrics, Served},
    models::{Description, InMemory, State, Traits},
    ollama,
    remote::Offered,
    route::beginnings,
    schedule::{Budget, Change, Class, Impossible, Limits, Load, PlaceRequest, Scheduler},
    schema::AnswerSchema,
    usage::{Hourly, Recorder, Wanted},
};

/// The name that stands for chats without a model.
const DEFAULT: &str = "default";
/// The name that stands for embeddings without a model.
const EMBED: &str = "embed";

/// A chat as it was asked for. What is absent takes the model's default.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    /// A name or alias; empty means `default`.
    pub model: String,
    /// What the model goes on from.
    pub input: Input,
    /// How tokens are chosen.
    pub sampling: SamplingRequest,
    /// The longest answer, in tokens.
    pub max_tokens: Option<u32>,
    /// The answer ends before any of these.
    pub stop: Vec<String>,
    /// What the answer must be.
    pub constraint: Option<Constraint>,
    /// What the model may call.
    pub tools: Option<Tools>,
    /// Log-probabilities are wanted, each with this many alternatives.
    pub logprobs: Option<u8>,
    /// Who is served.
    pub agent: Option<AgentId>,
    /// What it belongs to.
    pub run: Option<RunId>,
    /// Whether somebody waits for the answer.
    pub class: Class,
    /// Of all requests of the run together, unless an earlier one said another.
    pub run_budget: Budget,
    /// The answer is of no use after that.
    pub deadline: Option<tokio::time::Instant>,
}

impl ChatRequest {
    /// One that leaves all else to the model's defaults and the scheduler's.
    #[must_use]
    pub fn new(model: String, input: Input) -> Self {
        Self {
            model,
            input,
            sampling: SamplingRequest::default(),
            max_tokens: None,
            stop: Vec::new(),
            constraint: None,
            tools: None,
            logprobs: None,
            agent: None,
            run: None,
            class: Class::default(),
            run_budget: Budget::default(),
            deadline: None,
        }
    }
}

/// The fields of [`Sampling`] that a request sets.
#[derive(Debug, Clone, Copy, Default)]
pub struct SamplingRequest {
    /// See [`Sampling::temperature`].
    pub temperature: Option<f32>,
    /// See [`Sampling::top_p`].
    pub top_p: Option<f32>,
    /// See [`Sampling::top_k`].
    pub top_k: Option<u32>,
    /// See [`Sampling::min_p`].
    pub min_p: Option<f32>,
    /// See [`Sampling::repeat_penalty`].
    pub repeat_penalty: Option<f32>,
    /// See [`Sampling::frequency_penalty`].
    pub frequency_penalty: Option<f32>,
    /// See [`Sampling::presence_penalty`].
    pub presence_penalty: Option<f32>,
    /// See [`Sampling::seed`].
    pub seed: Option<u32>,
}

impl SamplingRequest {
    /// With the model's defaults for what is absent.
    #[must_use]
    pub fn or(self, default: Sampling) -> Sampling {
        Sampling {
            temperature: self.temperature.unwrap_or(default.temperature),
            top_p: self.top_p.unwrap_or(default.top_p),
            top_k: self.top_k.unwrap_or(default.top_k),
            min_p: self.min_p.unwrap_or(default.min_p),
            repeat_penalty: self.repeat_penalty.unwrap_or(default.repeat_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(default.frequency_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(default.presence_penalty),
            seed: self.seed.or(default.seed),
        }
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answered {
    /// All of its text.
    pub content: String,
    /// The tools it calls.
    pub tool_calls: Vec<ToolCall>,
    /// Of each token of the text, when asked for.
    pub logprobs: Vec<TokenLogprob>,
    /// Why it ended and what it took.
    pub ended: Ended,
    /// How long it waited for its place.
    pub waited: Duration,
    /// The model that answered, never an alias.
    pub model: ModelName,
    /// "embedded" or the name of a server.
    pub backend: String,
}

/// A part of an answer.
#[derive(Debug, Clone)]
pub enum Part {
    /// The next piece.
    Text(Piece),
    /// A tool is called.
    Tool(ToolCall),
    /// The end.
    Done(Answered),
}

/// A model, for people to see.
#[derive(Debug, Clone)]
pub struct Listed {
    /// What requests call it.
    pub name: ModelName,
    /// Its other names.
    pub aliases: Vec<String>,
    /// What it is for.
    pub kind: Kind,
    /// "embedded" or the name of a server.
    pub backend: String,
    /// The rest.
    pub description: Description,
}

/// Everything together.
#[derive(Debug)]
pub struct Gateway {
    catalogue: Catalogue,
    scheduler: Scheduler,
    metrics: Metrics,
    usage: Recorder,
    responses: Option<Responses>,
}

impl Gateway {
    /// Serves the models of `catalogue`.
    #[must_use]
    pub fn new(
        catalogue: Catalogue,
        scheduler: Scheduler,
        metrics: Metrics,
        usage: Recorder,
    ) -> Self {
        Self { catalogue, scheduler, metrics, usage, responses: None }
    }

    /// Answers what was answered before from `responses`.
    #[must_use]
    pub fn with_responses(self, responses: Option<Responses>) -> Self {
        Self { responses, ..self }
    }

    /// Answers a chat, piece by piece. Dropping the stream cancels it.
    ///
    /// # Errors
    /// See [`Error`]; the stream itself ends with one when the back end fails on the way.
    pub async fn chat(
        &self,
        request: ChatRequest,
    ) -> Result<BoxStream<'static, Result<Part, Error>>, Error> {
        let name = if request.model.is_empty() { DEFAULT } else { &request.model };
        let entry = self.catalogue.resolve(name, Kind::Chat)?;
        let asked = Instant::now();
        let places = self.catalogue.places(name, Kind::Chat, || beginnings(&request.input))?;
        let begun = self.begin(places, request, asked).await;
        begun.inspect_err(|error| {
            let of = Served { model: &entry.name, backend: entry.backend() };
            self.metrics.failed(of, error.reason(), asked.elapsed());
        })
    }

    async fn begin(
        &self,
        places: Places,
        request: ChatRequest,
        begun: Instant,
    ) -> Result<BoxStream<'static, Result<Part, Error>>, Error> {
        let agent = request.agent.clone().unwrap_or_else(|| AgentId::new(""));
        let run = request.run.clone();
        let mut wanted = PlaceRequest {
            agent: agent.clone(),
            run: run.clone(),
            class: request.class,
            cost: 0,
            deadline: request.deadline,
            run_budget: request.run_budget,
        };
        let schema = match &request.constraint {
            Some(Constraint::Schema(schema)) => Some(AnswerSchema::new(schema)?),
            _ => None,
        };
        // What would be refused in the end is refused before any work.
        self.scheduler.check(&wanted)?;
        let mut keep = None;
        if let (Some(responses), Some(entry)) = (&self.responses, places.next()) {
            let key = responses.key(entry, &complete(entry, &request)).await;
            if let Some(key) = key {
                if let Some(parts) = responses.get(entry, &key).await {
                    return Ok(stream::iter(parts).map(Ok).boxed());
                }
                keep = Some((responses.clone(), entry.name.clone(), key));
            }
        }
        let mut attempts = Attempts::new(places, request, self.metrics.clone());
        let ready = attempts.ready().await?;
        wanted.cost = ready.job.cost();
        let place = self.scheduler.place(wanted).await?;
        let waited = place.waited().0;
        let entry = &ready.entry;
        self.metrics.queued(&entry.name, waited);
        tracing::debug!(model = %entry.name, %agent, cost = ready.job.cost(), ?waited, "chat begins");
        let mut account = Account {
            model: entry.name.clone(),
            agent,
            run,
            backend: entry.backend().to_owned(),
            begun,
            waited,
            meter: place.meter(),
            metrics: self.metrics.clone(),
            usage: self.usage.clone(),
            closed: false,
        };
        let mut serving = Serving::start(ready, attempts, place);
        let parts = async_stream::stream! {
            let (mut content, mut tool_calls, mut logprobs) = (String::new(), Vec::new(), Vec::new());
            while let Some(event) = serving.next().await {
                account.of_entry(&serving.entry);
                match event {
                    Ok(Event::Text(piece)) => {
                        content.push_str(&piece.text);
                        logprobs.extend_from_slice(&piece.logprobs);
                        yield Ok(Part::Text(piece));
                    }
                    Ok(Event::Tool(call)) => {
                        tool_calls.push(call.clone());
                        yield Ok(Part::Tool(call));
                    }
                    Ok(Event::Ended(ended)) => {
                        let schema = schema.filter(|_| ended.finish == Finish::Stop);
                        if let Some(cause) = schema.and_then(|schema| schema.fault(&content)) {
                            let error = Error::BackendFailed { backend: account.backend.clone(), cause };
                            account.failed(&error);
                            yield Err(error);
                            return;
                        }
                        account.answered(&ended);
                        let (model, backend) = (account.model.clone(), account.backend.clone());
                        let answered =
                            Answered { content, tool_calls, logprobs, ended, waited, model, backend };
                        // Another place may have answered in the end.
                        if let Some((responses, model, key)) = keep.take()
                            && model == answered.model
                        {
                            responses.keep(key, &answered);
                        }
                        yield Ok(Part::Done(answered));
                        return;
                    }
                    Err(error) => {
                        account.failed(&error);
                        yield Err(error);
                        return;
                    }
                }
            }
            let cause = "it stopped in the middle of an answer; try again".to_owned();
            let error = Error::BackendFailed { backend: account.backend.clone(), cause };
            account.failed(&error);
            yield Err(error);
        };
        Ok(parts.boxed())
    }

    /// A vector of unit length for each text, and the model that made them.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn embed(
        &self,
        name: &str,
        texts: Vec<String>,
    ) -> Result<(Embedded, ModelName), Error> {
        let name = if name.is_empty() { EMBED } else { name };
        let mut places = self.catalogue.places(name, Kind::Embedding, Vec::new)?;
        loop {
            let Some((entry, _entered)) = places.take() else {
                return Err(Error::ModelNotFound { name: name.to_owned(), near: Vec::new() });
            };
            let begun = Instant::now();
            match entry.embedding()?.embed(texts.clone()).await {
                Ok(embedded) => {
                    self.metrics.embedded(&entry.name, embedded.vectors.len(), begun.elapsed());
                    return Ok((embedded, entry.name));
                }
                Err(error) if error.is_of_the_place() && places.next().is_some() => {
                    tracing::warn!(model = %entry.name, %error, "another place is asked");
                    self.metrics.failed_over(entry.backend(), error.reason());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// How busy it is.
    #[must_use]
    pub fn load(&self) -> Load {
        self.scheduler.load()
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.scheduler.limits()
    }

    /// Changes limits until the service ends.
    ///
    /// # Errors
    /// When the change is impossible; then nothing is changed.
    pub fn set_limits(&self, change: Change) -> Result<Limits, Impossible> {
        let limits = self.scheduler.set_limits(change)?;
        tracing::info!(
            max_running = limits.max_running,
            max_waiting = limits.max_waiting,
            agents = limits.agents.len(),
            "limits changed"
        );
        Ok(limits)
    }

    /// What was used, by the hour, the newest first.
    ///
    /// # Errors
    /// When PostgreSQL is away.
    pub async fn usage(&self, wanted: Wanted) -> Result<Vec<Hourly>, Error> {
        self.usage.list(wanted).await
    }

    /// Loads the chat model `default`, if it runs here, and those that are pinned.
    ///
    /// # Errors
    /// When a file is missing or corrupt, or there is no room.
    pub async fn preload(&self) -> Result<(), Error> {
        let default = self.catalogue.resolve(DEFAULT, Kind::Chat).into_iter();
        let pinned = self.catalogue.entries().iter().filter(|entry| entry.pinned).cloned();
        for entry in default.chain(pinned) {
            entry.source.load().await?;
        }
        Ok(())
    }

    /// The model that `name` stands for when it is used for `kind`; the route, if it is one.
    ///
    /// # Errors
    /// When there is none.
    pub fn name_of(&self, name: &str, kind: Kind) -> Result<ModelName, Error> {
        self.catalogue.name_of(name, kind)
    }

    /// Loads a chat model, if it runs here.
    ///
    /// # Errors
    /// When there is none of that name, or its file is missing or corrupt.
    pub async fn load_model(&self, name: &str) -> Result<(), Error> {
        let entry = self.catalogue.resolve(name, Kind::Chat)?;
        entry.chat()?;
        entry.source.load().await
    }

    /// Pins, loads or unloads a model of this machine, and says what it is then.
    ///
    /// # Errors
    /// When there is none of that name, it is another machine's, or it cannot be done.
    pub async fn change_model(&self, name: &str, change: ModelChange) -> Result<Listed, Error> {
        let entry = self.catalogue.resolve(name, Kind::Chat)?;
        entry.change(change).await?;
        let listed = self.models().await.into_iter().find(|listed| listed.name == entry.name);
        listed.ok_or_else(|| Error::ModelNotFound { name: name.to_owned(), near: Vec::new() })
    }

    /// The configured models, then what servers have besides.
    pub async fn models(&self) -> Vec<Listed> {
        let servers = self.catalogue.servers();
        let ollama = servers
            .ollama
            .iter()
            .map(|server| async { (server.name().to_owned(), server.offered().await) }.boxed());
        let openai = servers
            .openai
            .iter()
            .map(|server| async { (server.name().to_owned(), server.offered().await) }.boxed());
        // In the order of config.yaml.
        let offered = join_all(ollama.chain(openai)).await;
        let of = |server: &str| {
            offered.iter().find(|(name, _)| name == server).map(|(_, offered)| offered)
        };
        let mut listed = Vec::new();
        for entry in self.catalogue.all() {
            let description = match &entry.source {
                Source::Embedded(model) => {
                    let model = Arc::clone(model);
                    describe(move || model.describe()).await
                }
                Source::Embedding(model) => {
                    let model = Arc::clone(model);
                    describe(move || model.describe()).await
                }
                Source::Ollama(model) => {
                    let mend = format!("fetch it with `ollama pull {}`", model.model());
                    remote(&entry, model.model(), of(entry.backend()), &mend)
                }
                Source::OpenAi(model) => {
                    let mend = "mend its `openai.model` in config.yaml";
                    remote(&entry, model.model(), of(entry.backend()), mend)
                }
            };
            let routes = self.catalogue.routes_to(&entry.name);
            listed.push(Listed {
                name: entry.name.clone(),
                aliases: entry.aliases.iter().chain(routes).cloned().collect(),
                kind: entry.kind,
                backend: entry.backend().to_owned(),
                description,
            });
        }
        for (server, offered) in &offered {
            listed.extend(offered.iter().flatten().map(|model| Listed {
                name: ModelName(format!("{server}/{}", model.model)),
                aliases: Vec::new(),
                kind: model.kind,
                backend: server.clone(),
                description: available(model, 0),
            }));
        }
        listed
    }

    /// The Ollama server of the model `name`, and what it calls the model.
    #[must_use]
    pub fn on_ollama(&self, name: &str) -> Option<(Arc<ollama::Server>, String)> {
        let entry = self.catalogue.resolve(name, Kind::Chat).ok()?;
        let Source::Ollama(model) = entry.source else { return None };
        Some((Arc::clone(model.server()), model.model().to_owned()))
    }
}

async fn describe(work: impl FnOnce() -> Description + Send + 'static) -> Description {
    spawn_blocking(work).await.unwrap_or_else(|panic| Description {
        state: State::Unavailable(format!("its files could not be looked at: {panic}")),
        traits: Traits::default(),
        size_bytes: 0,
        path: None,
        memory: InMemory::default(),
    })
}

fn remote(
    entry: &Entry,
    model: &str,
    offered: Option<&Result<Vec<Offered>, String>>,
    mend: &str,
) -> Description {
    let server = entry.backend();
    let problem = match offered {
        Some(Ok(offered)) => {
            // Ollama takes a name without a tag to mean the tag `latest`.
            let is = |one: &&Offered| {
                one.model.strip_suffix(":latest").unwrap_or(&one.model)
                    == model.strip_suffix(":latest").unwrap_or(model)
            };
            match offered.iter().find(is) {
                Some(found) => return available(found, entry.context_length),
                None => format!("`{server}` has no such model; {mend}"),
            }
        }
        Some(Err(problem)) => problem.clone(),
        None => format!("there is no back end `{server}`"),
    };
    Description {
        state: State::Unavailable(problem),
        traits: Traits { context_length: entry.context_length, ..Traits::default() },
        size_bytes: 0,
        path: None,
        memory: InMemory::default(),
    }
}

fn available(offered: &Offered, context_length: u32) -> Description {
    Description {
        state: if offered.loaded { State::Loaded } else { State::Available },
        traits: Traits { context_length, ..offered.traits.clone() },
        size_bytes: offered.size_bytes,
        path: None,
        memory: InMemory::default(),
    }
}
