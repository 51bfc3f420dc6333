//! Names of models, and what they stand for.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use crate::{
    chat::{ChatModel, EmbeddingModel, ModelName},
    config::Kind,
    discovery::Folder,
    embedded::EmbeddedModel,
    embeddings::LocalEmbedding,
    error::Error,
    ollama::{self, RemoteModel},
    openai::{self, OpenAiModel},
    route::{Backend, InFlight, Route},
};

/// A configured model.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub name: ModelName,
    /// Its other names.
    pub aliases: Vec<String>,
    /// What it is for.
    pub kind: Kind,
    /// Tokens of prompt and answer together.
    pub context_length: u32,
    /// The longest answer when a request does not say.
    pub max_tokens: u32,
    /// How tokens are chosen when a request does not say.
    pub sampling: crate::chat::Sampling,
    /// It is to stay in memory from the start.
    pub pinned: bool,
    /// Who does the work.
    pub source: Source,
    /// Where that is done.
    pub backend: Arc<Backend>,
}

/// Who does a model's work.
#[derive(Debug, Clone)]
pub enum Source {
    /// llama.cpp in this process.
    Embedded(Arc<EmbeddedModel>),
    /// An embedding model in this process.
    Embedding(Arc<LocalEmbedding>),
    /// An Ollama server.
    Ollama(Arc<RemoteModel>),
    /// A server that speaks OpenAI's interface.
    OpenAi(Arc<OpenAiModel>),
}

/// What is to become of a model of this machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelChange {
    /// It stays in memory whatever happens, or no longer does; first.
    pub pinned: Option<bool>,
    /// It is loaded, or unloaded.
    pub loaded: Option<bool>,
}

impl Source {
    /// Loads it, if it runs here and is not loaded.
    ///
    /// # Errors
    /// When its file is missing or corrupt, or there is no room for it.
    pub async fn load(&self) -> Result<(), Error> {
        match self {
            Self::Embedded(model) => model.load().await,
            Self::Embedding(model) => model.load().await,
            _ => Ok(()),
        }
    }
}

impl Entry {
    /// Pins, loads or unloads it.
    ///
    /// # Errors
    /// When it does not run here, is pinned, its file is not in order, or there is no room.
    pub async fn change(&self, change: ModelChange) -> Result<(), Error> {
        let pinned = |pin: &dyn Fn(bool)| change.pinned.into_iter().for_each(pin);
        match &self.source {
            Source::Embedded(model) => pinned(&|pinned| model.pin(pinned)),
            Source::Embedding(model) => pinned(&|pinned| model.pin(pinned)),
            _ => {
                let (model, backend) = (self.name.clone(), self.backend().to_owned());
                return Err(Error::Unsupported { model, backend, what: "loading and unloading" });
            }
        }
        match (change.loaded, &self.source) {
            (Some(true), source) => source.load().await,
            (Some(false), Source::Embedded(model)) => model.unload().await,
            (Some(false), Source::Embedding(model)) => model.unload().await,
            _ => Ok(()),
        }
    }

    /// "embedded" or the name of a server.
    #[must_use]
    pub fn backend(&self) -> &str {
        self.backend.name()
    }

    /// It, as one that answers chats.
    ///
    /// # Errors
    /// When it is none.
    pub fn chat(&self) -> Result<Arc<dyn ChatModel>, Error> {
        let problem = "is an embedding model; name a chat model";
        match &self.source {
            Source::Embedded(model) => Ok(Arc::clone(model) as Arc<dyn ChatModel>),
            Source::Ollama(model) if self.kind == Kind::Chat => {
                Ok(Arc::clone(model) as Arc<dyn ChatModel>)
            }
            Source::OpenAi(model) if self.kind == Kind::Chat => {
                Ok(Arc::clone(model) as Arc<dyn ChatModel>)
            }
            _ => Err(Error::WrongKind { name: self.name.clone(), problem }),
        }
    }

    /// It, as one that makes vectors.
    ///
    /// # Errors
    /// When it is none.
    pub fn embedding(&self) -> Result<Arc<dyn EmbeddingModel>, Error> {
        let problem = "is a chat model; name an embedding model";
        match &self.source {
            Source::Embedding(model) => Ok(Arc::clone(model) as Arc<dyn EmbeddingModel>),
            Source::Ollama(model) if self.kind == Kind::Embedding => {
                Ok(Arc::clone(model) as Arc<dyn EmbeddingModel>)
            }
            Source::OpenAi(model) if self.kind == Kind::Embedding => {
                Ok(Arc::clone(model) as Arc<dyn EmbeddingModel>)
            }
            _ => Err(Error::WrongKind { name: self.name.clone(), problem }),
        }
    }
}

/// The servers that have models besides those configured.
#[derive(Debug, Clone, Default)]
pub struct Servers {
    /// Those that are Ollama.
    pub ollama: Vec<Arc<ollama::Server>>,
    /// Those that speak OpenAI's interface.
    pub openai: Vec<Arc<openai::Server>>,
}

impl Servers {
    /// The model that "<server>/<model>" means.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<(Source, Arc<Backend>)> {
        let (prefix, model) = name.split_once('/').filter(|(_, model)| !model.is_empty())?;
        self.source(prefix, model, ModelName(name.to_owned()))
    }

    /// What `server` calls `model`; requests call it `name`.
    #[must_use]
    pub fn source(
        &self,
        server: &str,
        model: &str,
        name: ModelName,
    ) -> Option<(Source, Arc<Backend>)> {
        let model = model.to_owned();
        if let Some(server) = self.ollama.iter().find(|one| one.name() == server) {
            let source = RemoteModel::new(Arc::clone(server), model, name);
            return Some((Source::Ollama(Arc::new(source)), Arc::clone(server.backend())));
        }
        let server = self.openai.iter().find(|one| one.name() == server)?;
        let source = OpenAiModel::new(Arc::clone(server), model, name);
        Some((Source::OpenAi(Arc::new(source)), Arc::clone(server.backend())))
    }

    /// All of them as routing sees them.
    pub fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        let openai = self.openai.iter().map(|server| server.backend());
        self.ollama.iter().map(|server| server.backend()).chain(openai)
    }
}

/// A name that stands for several models.
#[derive(Debug)]
pub struct Several {
    /// Which is tried first.
    pub route: Route,
    /// The models' names; config.yaml was checked for that.
    pub models: Vec<String>,
}

/// All models by name.
#[derive(Debug, Default)]
pub struct Catalogue {
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    routes: BTreeMap<String, Arc<Several>>,
    servers: Servers,
    folder: Option<Folder>,
}

/// Where a request may be answered: what to try, in which order.
#[derive(Debug)]
pub struct Places {
    places: VecDeque<(usize, Entry)>,
    /// The request counts as the first place's.
    entered: Option<InFlight>,
    route: Option<(Arc<Several>, Vec<u64>)>,
}

impl Places {
    /// The next to try, of which the request counts as one.
    pub fn take(&mut self) -> Option<(Entry, InFlight)> {
        let (at, entry) = self.places.pop_front()?;
        let entered = self.entered.take().unwrap_or_else(|| {
            if let Some((several, beginnings)) = &self.route {
                several.route.went(beginnings, at);
            }
            entry.backend.enter()
        });
        Some((entry, entered))
    }

    /// The next to try.
    #[must_use]
    pub fn next(&self) -> Option<&Entry> {
        self.places.front().map(|(_, entry)| entry)
    }
}

impl Catalogue {
    /// The configured models, names for several of them, and the servers that may have more.
    #[must_use]
    pub fn new(
        entries: Vec<Entry>,
        routes: BTreeMap<String, Arc<Several>>,
        servers: Servers,
    ) -> Self {
        let mut by_name = HashMap::new();
        for (at, entry) in entries.iter().enumerate() {
            for name in entry.aliases.iter().chain([&entry.name.0]) {
                by_name.insert(name.clone(), at);
            }
        }
        Self { entries, by_name, routes, servers, folder: None }
    }

    /// Also those in `folder` that are not configured.
    #[must_use]
    pub fn with_folder(self, folder: Folder) -> Self {
        Self { folder: Some(folder), ..self }
    }

    /// The configured models, then those found in the folder.
    #[must_use]
    pub fn all(&self) -> Vec<Entry> {
        let found = self.folder.as_ref().map(Folder::all).unwrap_or_default();
        let found = found.into_iter().filter(|entry| !self.by_name.contains_key(&entry.name.0));
        self.entries.iter().cloned().chain(found).collect()
    }

    /// The configured models.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The servers.
    #[must_use]
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The names of routes whose first model is `name`.
    pub fn routes_to(&self, name: &ModelName) -> impl Iterator<Item = &String> {
        let is = |several: &Several| several.models.first() == Some(&name.0);
        self.routes.iter().filter(move |(_, several)| is(several)).map(|(name, _)| name)
    }

    /// Where a request for `name` that begins as `beginnings` says may be answered.
    ///
    /// # Errors
    /// When there is no such name; the error names near ones.
    pub fn places(
        &self,
        name: &str,
        kind: Kind,
        beginnings: impl FnOnce() -> Vec<u64>,
    ) -> Result<Places, Error> {
        let Some(several) = self.routes.get(name) else {
            let entry = self.resolve(name, kind)?;
            let entered = Some(entry.backend.enter());
            return Ok(Places { places: VecDeque::from([(0, entry)]), entered, route: None });
        };
        let models = several.models.iter().map(|model| self.resolve(model, kind));
        let mut models = models.map(|model| model.map(Some)).collect::<Result<Vec<_>, _>>()?;
        let backends: Vec<_> =
            models.iter().flatten().map(|entry| Arc::clone(&entry.backend)).collect();
        let beginnings = beginnings();
        let (order, entered) = several.route.choose(&backends, &beginnings);
        let places =
            order.into_iter().filter_map(|at| models[at].take().map(|entry| (at, entry))).collect();
        Ok(Places { places, entered, route: Some((Arc::clone(several), beginnings)) })
    }

    /// The model that `name` stands for, the first of several: a configured name or alias, a route,
    /// a file of the folder, or "<server>/<model>" for any model of a server, then used for `kind`.
    ///
    /// # Errors
    /// When there is none; the error names near ones.
    pub fn resolve(&self, name: &str, kind: Kind) -> Result<Entry, Error> {
        let several = self.routes.get(name).and_then(|several| several.models.first());
        let name = several.map_or(name, String::as_str);
        if let Some(entry) = self.by_name.get(name).and_then(|at| self.entries.get(*at)) {
            return Ok(entry.clone());
        }
        if let Some(entry) = self.folder.as_ref().and_then(|folder| folder.find(name)) {
            return Ok(entry);
        }
        if let Some((source, backend)) = self.servers.model(name) {
            return Ok(Entry {
                name: ModelName(name.to_owned()),
                aliases: Vec::new(),
                kind,
                context_length: 0,
                max_tokens: 512,
                sampling: crate::chat::Sampling::default(),
                pinned: false,
                source,
                backend,
            });
        }
        let found = self.folder.as_ref().map(Folder::names).unwrap_or_default();
        let known = self.by_name.keys().chain(self.routes.keys()).chain(&found).map(String::as_str);
        Err(Error::ModelNotFound { name: name.to_owned(), near: nearest(name, known) })
    }

    /// What answers say that `name` is: a route is itself, any other name its model.
    ///
    /// # Errors
    /// When there is none; the error names near ones.
    pub fn name_of(&self, name: &str, kind: Kind) -> Result<ModelName, Error> {
        if self.routes.contains_key(name) {
            return Ok(ModelName(name.to_owned()));
        }
        self.resolve(name, kind).map(|entry| entry.name)
    }
}

/// Up to three of `known` that look like `name`, the likest first.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let name = name.to_lowercase();
    let mut near: Vec<(f64, &str)> = known
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= 0.7)
        .collect();
    near.sort_by(|(one, a), (other, b)| other.total_cmp(one).then(a.cmp(b)));
    near.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_named() {
        let known = ["SmolLM2-135M-Instruct", "default", "fast", "embed"];
        assert_eq!(nearest("smollm2-135m", known.into_iter()), ["SmolLM2-135M-Instruct"]);
        assert_eq!(nearest("defualt", known.into_iter()), ["default"]);
        assert!(nearest("zzz", known.into_iter()).is_empty());
    }

    #[test]
    fn an_unknown_model_is_an_error() {
        let error = Catalogue::default().resolve("x", Kind::Chat).unwrap_err();
        assert_eq!(error.reason(), "MODEL_NOT_FOUND");
    }
}
