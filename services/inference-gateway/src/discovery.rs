//! Models that config.yaml does not name: each `*.gguf` in the folder of models is one,
//! called as its file is without the ending. A file that comes is there at once, one that goes is
//! gone.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::{catalogue::Entry, chat::ModelName, config::is_name};

/// Makes a model of a file.
type Make = Box<dyn Fn(ModelName, PathBuf) -> Entry + Send + Sync>;

/// The folder, and what was found in it.
pub struct Folder {
    path: PathBuf,
    /// Files that have names in config.yaml.
    named: HashSet<PathBuf>,
    make: Make,
    found: Mutex<BTreeMap<String, Entry>>,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folder").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Folder {
    /// Of `path`; the files `named` are not looked at.
    pub fn new(
        path: PathBuf,
        named: impl IntoIterator<Item = PathBuf>,
        make: impl Fn(ModelName, PathBuf) -> Entry + Send + Sync + 'static,
    ) -> Self {
        let (make, found) = (Box::new(make), Mutex::default());
        Self { path, named: named.into_iter().collect(), make, found }
    }

    /// The model `name`, if its file is there.
    pub fn find(&self, name: &str) -> Option<Entry> {
        if !is_name(name) || name.starts_with('.') {
            return None;
        }
        let path = self.path.join(format!("{name}.gguf"));
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if self.named.contains(&path) || !path.is_file() {
            found.remove(name);
            return None;
        }
        let make = || (self.make)(ModelName(name.to_owned()), path);
        Some(found.entry(name.to_owned()).or_insert_with(make).clone())
    }

    /// All models, by name.
    pub fn all(&self) -> Vec<Entry> {
        let names = self.names();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.retain(|name, _| names.contains(name));
        drop(found);
        names.iter().filter_map(|name| self.find(name)).collect()
    }

    /// The models' names, in order.
    pub fn names(&self) -> Vec<String> {
        // A folder that is not there has none.
        let files = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        let mut names: Vec<String> = files.filter_map(|file| stem(&file.path())).collect();
        names.sort_unstable();
        names
    }
}

fn stem(path: &Path) -> Option<String> {
    let is_model = path.extension().is_some_and(|ending| ending == "gguf");
    let stem = path.file_stem()?.to_str()?;
    (is_model && is_name(stem) && !stem.starts_with('.')).then(|| stem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_models_have_names() {
        assert_eq!(stem(Path::new("/m/a-1.Q4_0.gguf")).as_deref(), Some("a-1.Q4_0"));
        for other in ["/m/.hidden.gguf", "/m/a.gguf.part", "/m/a b.gguf", "/m/a.bin", "/m/.gguf"] {
            assert_eq!(stem(Path::new(other)), None, "{other}");
        }
    }
}
