//! Somebody who edits files as people's editors do, and an agent who edits documents.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use alina_proto::memory::v1::edit_document_request::Edit;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tonic::Code;

use super::{edit, get, send};
use crate::Memory;

/// The documents both edit.
pub(super) const PATHS: [&str; 4] = ["one.md", "two.md", "three.md", "sub/four.md"];

pub(super) const HEADINGS: [&str; 4] = ["Alpha", "Beta", "Gamma", "Delta"];

/// What every document is at first.
pub(super) fn first(path: &str) -> String {
    let sections = HEADINGS.map(|title| format!("## {title}\n\n- {title} of {path}\n- more\n"));
    format!("# Document {path}\n\n{}", sections.join("\n"))
}

/// A person at an editor.
pub(super) struct Person {
    folder: PathBuf,
    random: StdRng,
    /// His lines that have to be in the files: of which file, and the line.
    pub(super) lines: BTreeSet<(String, String)>,
    /// Others' lines that he saw and deleted.
    pub(super) deleted: BTreeSet<String>,
    /// Lines of conflict files that he read and deleted.
    pub(super) resolved: BTreeSet<String>,
    written: u32,
}

impl Person {
    pub(super) fn new(folder: &Path, seed: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            random: StdRng::seed_from_u64(seed),
            lines: BTreeSet::new(),
            deleted: BTreeSet::new(),
            resolved: BTreeSet::new(),
            written: 0,
        }
    }

    /// Edits a file in one of many ways.
    pub(super) async fn edit(&mut self) {
        let path = (*PATHS.choose(&mut self.random).expect("paths")).to_owned();
        self.written += 1;
        let line = format!("- person {}", self.written);
        match self.random.random_range(0..100) {
            0..20 => self.append(&path, &line),
            20..23 => self.delete(&path),
            23..28 => self.resolve(),
            _ => {
                let Ok(text) = fs::read_to_string(self.folder.join(&path)) else {
                    return self.save(&path, &first(&path)).await;
                };
                // He takes his time over it, now and then.
                if self.random.random_bool(0.3) {
                    self.pause(20).await;
                }
                let new = self.changed(&path, &text, &line);
                self.save(&path, &new).await;
            }
        }
    }

    pub(super) async fn pause(&mut self, most_ms: u64) {
        let millis = self.random.random_range(0..=most_ms);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// `text` with a line more, another or less.
    fn changed(&mut self, path: &str, text: &str, line: &str) -> String {
        let mut lines: Vec<&str> = text.lines().collect();
        let own: Vec<usize> = (0..lines.len())
            .filter(|at| !lines[*at].is_empty() && !lines[*at].starts_with('#'))
            .collect();
        match (self.random.random_range(0..10), own.choose(&mut self.random).copied()) {
            (0..2, Some(at)) => self.gone(path, lines.remove(at)),
            (2..4, Some(at)) => {
                let old = std::mem::replace(&mut lines[at], line);
                self.gone(path, old);
                self.lines.insert((path.to_owned(), line.to_owned()));
            }
            _ => {
                let at = self.random.random_range(1..=lines.len().max(1)).min(lines.len());
                lines.insert(at, line);
                self.lines.insert((path.to_owned(), line.to_owned()));
            }
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn gone(&mut self, path: &str, line: &str) {
        if !self.lines.remove(&(path.to_owned(), line.to_owned())) {
            self.deleted.insert(line.to_owned());
        }
    }

    /// As `echo >> file` does.
    fn append(&mut self, path: &str, line: &str) {
        let file = OpenOptions::new().append(true).open(self.folder.join(path));
        if let Ok(mut file) = file {
            file.write_all(format!("{line}\n").as_bytes()).unwrap();
            self.lines.insert((path.to_owned(), line.to_owned()));
        }
    }

    /// What was in the file in the end was deleted by him.
    fn delete(&mut self, path: &str) {
        let trash = self.folder.with_extension("trash");
        if fs::rename(self.folder.join(path), &trash).is_ok() {
            for line in fs::read_to_string(&trash).unwrap().lines() {
                self.gone(path, line);
            }
            // Lines that came late into what he had replaced, too.
            self.lines.retain(|(of, _)| of != path);
        }
    }

    /// Reads what is set aside, and deletes it.
    pub(super) fn resolve(&mut self) {
        let trash = self.folder.with_extension("trash");
        for folder in [self.folder.clone(), self.folder.join("sub")] {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let conflict = path.to_string_lossy().contains(".conflict-");
                if conflict && fs::rename(&path, &trash).is_ok() {
                    let text = fs::read_to_string(&trash).unwrap();
                    self.resolved.extend(text.lines().map(str::to_owned));
                }
            }
        }
    }

    async fn save(&mut self, path: &str, text: &str) {
        let file = self.folder.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        match self.random.random_range(0..4) {
            // A new file in the place of the old, as vim and most others do.
            0 => {
                let new = file.with_extension("tmp~");
                fs::write(&new, text).unwrap();
                fs::rename(new, file).unwrap();
            }
            // The old one is put aside first.
            1 => {
                let _ = fs::rename(&file, file.with_extension("md~"));
                fs::write(file, text).unwrap();
            }
            // Emptied and written in pieces, as a slow program does.
            2 => {
                let mut open = fs::File::create(file).unwrap();
                for part in text.as_bytes().chunks(text.len() / 3 + 1) {
                    if self.random.random_bool(0.3) {
                        self.pause(5).await;
                    }
                    open.write_all(part).unwrap();
                }
            }
            _ => fs::write(file, text).unwrap(),
        }
    }
}

/// An agent that edits by the service's word.
pub(super) struct Agent {
    memory: Memory,
    random: StdRng,
    /// Its lines that were acknowledged.
    pub(super) lines: BTreeSet<String>,
    written: u32,
    pub(super) refused: u32,
}

impl Agent {
    pub(super) fn new(memory: Memory, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed.wrapping_add(1));
        Self { memory, random, lines: BTreeSet::new(), written: 0, refused: 0 }
    }

    pub(super) async fn pause(&mut self, most_ms: u64) {
        let millis = self.random.random_range(0..=most_ms);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// Edits a document; again until it is acknowledged or refused.
    pub(super) async fn edit(&mut self) {
        let path = *PATHS.choose(&mut self.random).expect("paths");
        let heading = *HEADINGS.choose(&mut self.random).expect("headings");
        self.written += 1;
        let line = format!("- agent {}", self.written);
        let Some(mut request) = self.request(path, heading, &line).await else { return };
        request.idempotency_key = line.clone();
        loop {
            match send(&self.memory, request.clone()).await {
                Ok(_) => {
                    self.lines.insert(line);
                    return;
                }
                // The service was killed: whether it was written, the key will tell.
                Err(status)
                    if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(status) => {
                    let clear = [Code::Aborted, Code::NotFound, Code::InvalidArgument];
                    let full = Code::FailedPrecondition;
                    assert!(clear.contains(&status.code()) || status.code() == full, "{status:?}");
                    self.refused += 1;
                    return;
                }
            }
        }
    }

    async fn request(
        &mut self,
        path: &str,
        heading: &str,
        line: &str,
    ) -> Option<alina_proto::memory::v1::EditDocumentRequest> {
        if self.random.random_bool(0.4) {
            return Some(edit(path, &[heading], Edit::Append(line.to_owned()), ""));
        }
        let read = get(&self.memory, path).await.ok()?;
        let whole = self.random.random_bool(0.3);
        let (text, etag) = if whole {
            (read.document?.content, read.etag)
        } else {
            let found = read
                .sections
                .into_iter()
                .find(|at| at.heading.last().is_some_and(|h| h == heading));
            let found = found?;
            (found.text, found.etag)
        };
        let mut lines: Vec<&str> = text.lines().collect();
        lines.insert(self.random.random_range(0..=lines.len()), line);
        let new = Edit::Replace(lines.join("\n") + "\n");
        let headings: &[&str] = if whole { &[] } else { &[heading] };
        Some(edit(path, headings, new, &etag))
    }
}
