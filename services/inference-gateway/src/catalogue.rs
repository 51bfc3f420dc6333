//! Names of models, and what they stand for.

use std::{collections::HashMap, sync::Arc};

use crate::{
    chat::{ChatModel, EmbeddingModel, ModelName},
    config::Kind,
    discovery::Folder,
    embedded::EmbeddedModel,
    embeddings::MiniLm,
    error::Error,
    ollama::{RemoteModel, Server},
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
}

/// Who does a model's work.
#[derive(Debug, Clone)]
pub enum Source {
    /// llama.cpp in this process.
    Embedded(Arc<EmbeddedModel>),
    /// Candle in this process.
    MiniLm(Arc<MiniLm>),
    /// An Ollama server.
    Ollama(Arc<RemoteModel>),
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
            Self::MiniLm(model) => model.load().await,
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
            Source::MiniLm(model) => pinned(&|pinned| model.pin(pinned)),
            _ => {
                let (model, backend) = (self.name.clone(), self.backend().to_owned());
                return Err(Error::Unsupported { model, backend, what: "loading and unloading" });
            }
        }
        match (change.loaded, &self.source) {
            (Some(true), source) => source.load().await,
            (Some(false), Source::Embedded(model)) => model.unload().await,
            (Some(false), Source::MiniLm(model)) => model.unload().await,
            _ => Ok(()),
        }
    }

    /// "embedded" or the name of an Ollama back end.
    #[must_use]
    pub fn backend(&self) -> &str {
        match &self.source {
            Source::Embedded(_) | Source::MiniLm(_) => "embedded",
            Source::Ollama(model) => model.server().name(),
        }
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
            Source::MiniLm(model) => Ok(Arc::clone(model) as Arc<dyn EmbeddingModel>),
            Source::Ollama(model) if self.kind == Kind::Embedding => {
                Ok(Arc::clone(model) as Arc<dyn EmbeddingModel>)
            }
            _ => Err(Error::WrongKind { name: self.name.clone(), problem }),
        }
    }
}

/// All models by name.
#[derive(Debug, Default)]
pub struct Catalogue {
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    servers: Vec<Arc<Server>>,
    folder: Option<Folder>,
}

impl Catalogue {
    /// The configured models, and the servers that may have more.
    #[must_use]
    pub fn new(entries: Vec<Entry>, servers: Vec<Arc<Server>>) -> Self {
        let mut by_name = HashMap::new();
        for (at, entry) in entries.iter().enumerate() {
            for name in entry.aliases.iter().chain([&entry.name.0]) {
                by_name.insert(name.clone(), at);
            }
        }
        Self { entries, by_name, servers, folder: None }
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

    /// The Ollama servers.
    #[must_use]
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// The model that `name` stands for: a configured name or alias, a file of the folder, or "<server>/<model>" for
    /// any model of an Ollama server, then used for `kind`.
    ///
    /// # Errors
    /// When there is none; the error names near ones.
    pub fn resolve(&self, name: &str, kind: Kind) -> Result<Entry, Error> {
        if let Some(entry) = self.by_name.get(name).and_then(|at| self.entries.get(*at)) {
            return Ok(entry.clone());
        }
        if let Some(entry) = self.folder.as_ref().and_then(|folder| folder.find(name)) {
            return Ok(entry);
        }
        if let Some((prefix, model)) = name.split_once('/')
            && !model.is_empty()
            && let Some(server) = self.servers.iter().find(|server| server.name() == prefix)
        {
            let name = ModelName(name.to_owned());
            let model = RemoteModel::new(Arc::clone(server), model.to_owned(), name.clone());
            return Ok(Entry {
                name,
                aliases: Vec::new(),
                kind,
                context_length: 0,
                max_tokens: 512,
                sampling: crate::chat::Sampling::default(),
                pinned: false,
                source: Source::Ollama(Arc::new(model)),
            });
        }
        let found = self.folder.as_ref().map(Folder::names).unwrap_or_default();
        let known = self.by_name.keys().chain(&found).map(String::as_str);
        Err(Error::ModelNotFound { name: name.to_owned(), near: nearest(name, known) })
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
