//! Whether a model's file is there and is what config.yaml says it is.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What config.yaml says of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// In lowercase hexadecimal.
    pub sha256: Option<String>,
    /// Its length.
    pub size_bytes: Option<u64>,
    /// The bytes it begins with.
    pub magic: Option<&'static [u8]>,
}

/// A model's file. A file whose length and time of change are those of the last check is not read
/// again; that is also kept beside it, so that a start is quick.
#[derive(Debug)]
pub struct ModelFile {
    path: PathBuf,
    expected: Expected,
    hashed: Mutex<Option<Hashed>>,
    /// What was found when it was tried, of the file with this length and time of change.
    fault: Mutex<Option<(u64, u64, String)>>,
}

/// A hash, and the state of the file when it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Hashed {
    size: u64,
    modified_nanos: u64,
    sha256: String,
    /// llama.cpp has loaded it without a crash.
    #[serde(default)]
    proven: bool,
}

const MEND: &str = "run ./deploy/bootstrap to fetch it again";

impl ModelFile {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(path: PathBuf, expected: Expected) -> Self {
        Self { path, expected, hashed: Mutex::new(None), fault: Mutex::new(None) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length now; 0 when it is not there.
    #[must_use]
    pub fn size(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    /// Checks that it is there and is what was expected. Reads it all when a hash is expected and
    /// it changed since the last check: call it where blocking is allowed.
    ///
    /// # Errors
    /// What is wrong: which file, what was expected, how to mend it.
    pub fn verify(&self) -> Result<(), String> {
        let path = self.path.display();
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => format!("{path} is missing; {MEND}"),
            _ => format!("{path} cannot be read ({error}); check its permissions"),
        };
        let mut file = File::open(&self.path).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        if !meta.is_file() {
            return Err(format!("{path} is no file; {MEND}"));
        }
        if let Some(size) = self.expected.size_bytes
            && size != meta.len()
        {
            return Err(format!(
                "{path} is corrupt: it has {} bytes, {size} were expected; delete it and {MEND}",
                meta.len()
            ));
        }
        if let Some(magic) = self.expected.magic {
            let mut begin = vec![0; magic.len()];
            let read = file.read_exact(&mut begin);
            if read.is_err() || begin != magic {
                return Err(format!(
                    "{path} is corrupt: it begins with {:?}, {:?} was expected; delete it and {MEND}",
                    String::from_utf8_lossy(&begin),
                    String::from_utf8_lossy(magic)
                ));
            }
        }
        let Some(expected) = &self.expected.sha256 else { return Ok(()) };
        let actual = self.sha256(&meta).map_err(unreadable)?;
        if actual != *expected {
            return Err(format!(
                "{path} is corrupt: its sha256 is {actual}, {expected} was expected; delete it \
                 and {MEND}"
            ));
        }
        Ok(())
    }

    /// Whether it may be loaded without being tried first: it is what config.yaml says by its hash,
    /// or was tried as it is now. Reads it all when it changed: call it where blocking is allowed,
    /// after [`Self::verify`].
    #[must_use]
    pub fn is_proven(&self) -> bool {
        if self.expected.sha256.is_some() {
            return true;
        }
        let hashed = fs::metadata(&self.path).and_then(|meta| self.hashed(&meta));
        hashed.is_ok_and(|hashed| hashed.proven)
    }

    /// It was tried: it is sound, or that is wrong with it. Soundness is remembered beside the file.
    pub fn tried(&self, fault: Option<&str>) {
        let Ok(meta) = fs::metadata(&self.path) else { return };
        let modified = modified_nanos(&meta).unwrap_or(0);
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) =
            fault.map(|fault| (meta.len(), modified, fault.to_owned()));
        if fault.is_some() {
            return;
        }
        if let Ok(hashed) = self.hashed(&meta) {
            let proven = Hashed { proven: true, ..hashed };
            self.remember(&proven);
            *self.hashed.lock().unwrap_or_else(PoisonError::into_inner) = Some(proven);
        }
    }

    /// What was wrong when it was tried, if it is still the same file.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let (size, modified, fault) = fault.as_ref()?;
        let meta = fs::metadata(&self.path).ok()?;
        let same = meta.len() == *size && modified_nanos(&meta).unwrap_or(0) == *modified;
        same.then(|| fault.clone())
    }

    fn sha256(&self, meta: &fs::Metadata) -> io::Result<String> {
        self.hashed(meta).map(|hashed| hashed.sha256)
    }

    fn hashed(&self, meta: &fs::Metadata) -> io::Result<Hashed> {
        let modified_nanos = modified_nanos(meta)?;
        let current =
            |known: &Hashed| known.size == meta.len() && known.modified_nanos == modified_nanos;
        // Held while hashing: others wait for the result instead of hashing, too.
        let mut hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        let known = hashed.clone().or_else(|| self.remembered());
        if let Some(known) = known.clone().filter(current) {
            return Ok(hashed.insert(known).clone());
        }
        let sha256 = hash(&self.path)?;
        // Only its time has changed, for example by a copy.
        let proven = known.is_some_and(|known| known.proven && known.sha256 == sha256);
        let now = Hashed { size: meta.len(), modified_nanos, sha256, proven };
        self.remember(&now);
        Ok(hashed.insert(now).clone())
    }

    /// Where the last check is kept: a hidden file beside the model.
    fn note(&self) -> Option<PathBuf> {
        let name = self.path.file_name()?.to_str()?;
        Some(self.path.with_file_name(format!(".{name}.checked")))
    }

    fn remembered(&self) -> Option<Hashed> {
        let text = fs::read_to_string(self.note()?).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// A folder that cannot be written only costs time at the next start.
    fn remember(&self, hashed: &Hashed) {
        if let (Some(note), Ok(text)) = (self.note(), serde_json::to_string(hashed)) {
            let _ = fs::write(note, text);
        }
    }
}

fn modified_nanos(meta: &fs::Metadata) -> io::Result<u64> {
    let modified = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(u64::try_from(modified.as_nanos()).unwrap_or(u64::MAX))
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANOTHER_SHA256: &str = "d1e5f2b6ae5ca9be5cc5ee7c1ff4d4dbcd1e5a1a4dd2e7ab4ba1a9fa5dca1aab";

    fn file(text: &[u8], expected: Expected) -> (tempfile::TempDir, ModelFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        fs::write(&path, text).unwrap();
        (folder, ModelFile::new(path, expected))
    }

    #[test]
    fn what_is_expected_passes_and_is_remembered() {
        let (_folder, model) = file(b"GGUF", Expected::default());
        let sha256 = hash(model.path()).unwrap();
        let expected =
            Expected { sha256: Some(sha256.clone()), size_bytes: Some(4), magic: Some(b"GGUF") };
        let model = ModelFile::new(model.path().to_owned(), expected.clone());
        assert_eq!(model.verify(), Ok(()));
        let again = ModelFile::new(model.path().to_owned(), expected);
        assert_eq!(again.remembered().unwrap().sha256, sha256);
        assert_eq!(again.verify(), Ok(()));
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let (_folder, model) = file(b"GGUF", Expected::default());
        let expected =
            Expected { sha256: Some(hash(model.path()).unwrap()), ..Expected::default() };
        let model = ModelFile::new(model.path().to_owned(), expected);
        assert_eq!(model.verify(), Ok(()));
        fs::write(model.path(), b"GGUF, spoilt").unwrap();
        let problem = model.verify().unwrap_err();
        assert!(problem.contains("corrupt: its sha256 is") && problem.contains("bootstrap"));
    }

    #[test]
    fn what_was_tried_is_known_until_the_file_changes() {
        let (_folder, model) = file(b"GGUF", Expected::default());
        assert!(!model.is_proven());
        model.tried(Some("it crashed"));
        assert_eq!((model.is_proven(), model.fault().as_deref()), (false, Some("it crashed")));
        model.tried(None);
        assert_eq!((model.is_proven(), model.fault()), (true, None));
        let again = ModelFile::new(model.path().to_owned(), Expected::default());
        assert!(again.is_proven());
        fs::write(model.path(), b"GGUX").unwrap();
        assert!(!again.is_proven());
    }

    #[test]
    fn problems_say_which_file_what_was_expected_and_how_to_mend_it() {
        let sha256 = Some(ANOTHER_SHA256.to_owned());
        for (expected, says) in [
            (Expected { sha256, ..Expected::default() }, ANOTHER_SHA256),
            (Expected { size_bytes: Some(99), ..Expected::default() }, "99 were expected"),
            (Expected { magic: Some(b"GGUF"), ..Expected::default() }, "\"GGUF\" was expected"),
        ] {
            let (_folder, model) = file(b"junk that is no model", expected);
            let problem = model.verify().unwrap_err();
            assert!(problem.contains("model.gguf is corrupt"), "{problem}");
            assert!(problem.contains(says) && problem.contains("./deploy/bootstrap"), "{problem}");
        }
        let missing = ModelFile::new("/nowhere/model.gguf".into(), Expected::default());
        let problem = missing.verify().unwrap_err();
        assert!(problem.contains("/nowhere/model.gguf is missing"), "{problem}");
    }
}
