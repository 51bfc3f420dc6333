//! Searching text and markdown files under the configured folders. Everything is bounded, and
//! links are not followed: nothing outside the folders is ever read.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};

use super::{CallFor, Called, Tool, text, text_argument, words_of};
use crate::text::{excerpt, words};

const MAX_FILES: usize = 1_000;
const MAX_FILE_BYTES: u64 = 512 * 1024;
const MAX_DEPTH: usize = 8;
const MAX_RESULTS: usize = 3;
const EXCERPT_BYTES: usize = 400;

/// Finds the paragraphs that have the most of the query's words.
pub(super) struct SearchDocuments {
    folders: Arc<[PathBuf]>,
}

impl SearchDocuments {
    pub(super) fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders: folders.into() }
    }
}

impl Tool for SearchDocuments {
    fn name(&self) -> &'static str {
        "search_documents"
    }

    fn description(&self) -> &'static str {
        "searches local documents"
    }

    fn arguments(&self) -> Value {
        text_argument("query", "a few words", 100)
    }

    fn example(&self, task: &str) -> Value {
        json!({ "query": words_of(task) })
    }

    fn call<'a>(&'a self, arguments: &'a Value, _: &'a CallFor) -> BoxFuture<'a, Called> {
        let folders = Arc::clone(&self.folders);
        let query = text(arguments, "query").to_owned();
        async move {
            let found = tokio::task::spawn_blocking(move || search(&folders, &query)).await;
            Ok(found.map_err(|_| "the documents could not be searched".to_owned()))
        }
        .boxed()
    }
}

struct Paragraph {
    place: String,
    text: String,
    words: Vec<String>,
}

fn search(folders: &[PathBuf], query: &str) -> String {
    let wanted: HashSet<String> = words(query).collect();
    let mut paragraphs = Vec::new();
    let mut left = MAX_FILES;
    for folder in folders {
        collect(folder, folder, 0, &mut left, &mut paragraphs);
    }
    let mut ranked = rank(&wanted, paragraphs);
    ranked.truncate(MAX_RESULTS);
    if ranked.is_empty() {
        return "nothing found".to_owned();
    }
    let lines: Vec<_> = ranked
        .iter()
        .map(|paragraph| {
            format!("{}: {}", paragraph.place, excerpt(&paragraph.text, EXCERPT_BYTES))
        })
        .collect();
    lines.join("\n")
}

/// The best first: each word found counts the more the rarer it is and the more often it occurs,
/// long paragraphs count less (BM25).
fn rank(wanted: &HashSet<String>, paragraphs: Vec<Paragraph>) -> Vec<Paragraph> {
    let total = paragraphs.len() as f64;
    let length =
        paragraphs.iter().map(|one| one.words.len()).sum::<usize>() as f64 / total.max(1.0);
    let mut scores = vec![0.0_f64; paragraphs.len()];
    for word in wanted {
        let counts: Vec<usize> = paragraphs
            .iter()
            .map(|paragraph| paragraph.words.iter().filter(|other| *other == word).count())
            .collect();
        let having = counts.iter().filter(|count| **count > 0).count() as f64;
        let rarity = (1.0 + (total - having + 0.5) / (having + 0.5)).ln();
        for ((score, count), paragraph) in scores.iter_mut().zip(&counts).zip(&paragraphs) {
            let count = *count as f64;
            let relative = paragraph.words.len() as f64 / length.max(1.0);
            *score += rarity * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * relative));
        }
    }
    let mut scored: Vec<_> =
        scores.into_iter().zip(paragraphs).filter(|(score, _)| *score > 0.0).collect();
    scored.sort_by(|(one, a), (other, b)| other.total_cmp(one).then(a.place.cmp(&b.place)));
    scored.into_iter().map(|(_, paragraph)| paragraph).collect()
}

/// Reads the documents below `folder`, in the order of their names.
fn collect(
    root: &Path,
    folder: &Path,
    depth: usize,
    left: &mut usize,
    paragraphs: &mut Vec<Paragraph>,
) {
    // A folder that does not exist is empty.
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        // The entry's own type: a link is neither folder nor file.
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if kind.is_dir() && depth < MAX_DEPTH {
            collect(root, &path, depth + 1, left, paragraphs);
        } else if kind.is_file() && is_document(&path) && *left > 0 {
            *left -= 1;
            read(root, &path, paragraphs);
        }
    }
}

fn is_document(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| matches!(extension, "md" | "markdown" | "txt"))
}

fn read(root: &Path, path: &Path, paragraphs: &mut Vec<Paragraph>) {
    if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.len() > MAX_FILE_BYTES) {
        return;
    }
    let Ok(bytes) = std::fs::read(path) else { return };
    let content = String::from_utf8_lossy(&bytes).replace('\0', "");
    let place = path.strip_prefix(root).unwrap_or(path).display().to_string();
    let mut heading = String::new();
    for block in content.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        if block.starts_with('#') && !block.contains('\n') {
            heading = block.trim_start_matches('#').trim().to_owned();
            continue;
        }
        // Words of the heading and of the file's name lead to the paragraph, too.
        let words = words(&format!("{place} {heading} {block}")).collect();
        paragraphs.push(Paragraph { place: place.clone(), text: block.to_owned(), words });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        folder
    }

    #[test]
    fn the_paragraph_with_the_rare_words_comes_first() {
        let folder = folder(&[
            ("city.md", "# Trams\n\nTram 28 climbs to Graça.\n\nTrams are yellow."),
            ("deep/food.txt", "Custard tarts are sold in Belém."),
            ("code.rs", "Graça Graça Graça"),
        ]);
        let found = search(&[folder.path().to_owned()], "tram to graça");
        assert!(found.starts_with("city.md: Tram 28 climbs"), "{found}");
        assert!(!found.contains("code.rs"), "{found}");
        let found = search(&[folder.path().to_owned()], "custard");
        assert_eq!(found, "deep/food.txt: Custard tarts are sold in Belém.");
        assert_eq!(search(&[folder.path().to_owned()], "moon"), "nothing found");
        assert_eq!(search(&[PathBuf::from("/nowhere/at/all")], "tram"), "nothing found");
    }

    #[test]
    fn nothing_outside_the_folders_is_read() {
        let secret = folder(&[("secret.txt", "the password is swordfish")]);
        let open = folder(&[("note.txt", "a password is needed")]);
        let links =
            [(secret.path().to_owned(), "out"), (secret.path().join("secret.txt"), "f.txt")];
        for (target, name) in links {
            std::os::unix::fs::symlink(target, open.path().join(name)).unwrap();
        }
        let found = search(&[open.path().to_owned()], "password");
        assert_eq!(found, "note.txt: a password is needed");
    }

    #[test]
    fn large_files_are_left_out() {
        let size = usize::try_from(MAX_FILE_BYTES).unwrap() + 1;
        let folder = folder(&[("large.txt", &"tram ".repeat(size / 5 + 1)), ("s.txt", "tram")]);
        assert_eq!(search(&[folder.path().to_owned()], "tram"), "s.txt: tram");
    }
}
