//! Whether a file is a model, and the one that was asked for.

use std::{
    fmt::Write as _,
    fs::File,
    io::{Read, Write},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{Progress, at, blocking};
use crate::failure::Failure;

const CHUNK: usize = 1 << 20;

/// Its length and sha256, when it is a GGUF file with the `expected` sha256.
pub(super) async fn check(
    path: &Path,
    expected: Option<&str>,
    progress: &Progress,
) -> Result<(u64, String), Failure> {
    let is_model = begins_with(path, b"GGUF")?;
    let bytes = path.metadata().map_err(|error| at(path, &error))?.len();
    if !is_model {
        let said = format!("what came ({bytes} bytes) is no GGUF file");
        return Err(
            Failure::other(said).hint("give the address of the file, not of a page about it")
        );
    }
    let sha256 = blocking(progress, |progress| sha256(path, progress)).await?;
    match expected {
        Some(expected) if expected != sha256 => {
            let said = format!("what came has sha256 {sha256} instead of {expected}");
            Err(Failure::other(said).hint("it was deleted; fetch it again, or from elsewhere"))
        }
        _ => Ok((bytes, sha256)),
    }
}

fn begins_with(path: &Path, magic: &[u8]) -> Result<bool, Failure> {
    let mut begin = Vec::new();
    let mut file = File::open(path).map_err(|error| at(path, &error))?.take(magic.len() as u64);
    file.read_to_end(&mut begin).map_err(|error| at(path, &error))?;
    Ok(begin == magic)
}

/// In lowercase hexadecimal.
pub(crate) fn sha256(path: &Path, progress: &Progress) -> Result<String, Failure> {
    let file = File::open(path).map_err(|error| at(path, &error))?;
    let total = file.metadata().map_err(|error| at(path, &error))?.len();
    progress.bytes("checking", Some(total), 0);
    let mut hash = Sha256::new();
    let hashed = pump(file, progress, |bytes| {
        hash.update(bytes);
        Ok(())
    });
    hashed.map_err(|error| at(path, &error))?;
    Ok(hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Copies a file.
pub(super) fn copy(from: &Path, to: &Path, progress: &Progress) -> Result<(), Failure> {
    let file = File::open(from).map_err(|error| at(from, &error))?;
    let meta = file.metadata().map_err(|error| at(from, &error))?;
    if !meta.is_file() {
        return Err(Failure::other(format!("{} is no file", from.display())));
    }
    progress.bytes("copying", Some(meta.len()), 0);
    write(file, to, progress)
}

/// Writes all of `from` to a new file `to`, and sees it to the disk.
pub(super) fn write(from: impl Read, to: &Path, progress: &Progress) -> Result<(), Failure> {
    let mut file = File::create(to).map_err(|error| at(to, &error))?;
    let written = pump(from, progress, |bytes| file.write_all(bytes));
    written.and_then(|()| file.sync_all()).map_err(|error| at(to, &error))
}

fn pump(
    mut from: impl Read,
    progress: &Progress,
    mut to: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => {
                to(&buffer[..read])?;
                progress.add(read as u64);
            }
        }
    }
}
