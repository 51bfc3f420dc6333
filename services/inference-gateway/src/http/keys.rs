//! The API keys in force, and whose they are.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use crate::chat::AgentId;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Keys are held and found as hashes: how long a search takes says nothing about a key. A key
/// without an agent stands for whom its requests name.
type ByHash = HashMap<[u8; 32], Option<AgentId>>;

/// Keys of a file.
#[derive(Debug)]
pub(super) struct Keys {
    file: PathBuf,
    by_hash: RwLock<ByHash>,
    seen: Mutex<(Instant, Stamp)>,
}

/// What tells one version of a file from another.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    inode: u64,
    length: u64,
}

impl Keys {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read or is no list of keys; never says what stands in it.
    pub(super) fn open(file: PathBuf) -> Result<Self, String> {
        let (by_hash, stamp) = read(&file)?;
        let seen = Mutex::new((Instant::now(), stamp));
        Ok(Self { file, by_hash: RwLock::new(by_hash), seen })
    }

    /// Whose `key` is; none when it is no key.
    pub(super) fn agent(&self, key: &str) -> Option<Option<AgentId>> {
        self.renew();
        let by_hash = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        by_hash.get(&hash(key)).cloned()
    }

    fn renew(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0.elapsed() < LOOK {
            return;
        }
        seen.0 = Instant::now();
        if stamp(&self.file).is_ok_and(|stamp| stamp == seen.1) {
            return;
        }
        // The old keys stay in force when the new ones cannot be read: nobody is let in or locked
        // out by half a file.
        match read(&self.file) {
            Ok((by_hash, stamp)) => {
                seen.1 = stamp;
                tracing::info!(keys = by_hash.len(), "API keys read anew");
                *self.by_hash.write().unwrap_or_else(PoisonError::into_inner) = by_hash;
            }
            Err(problem) => tracing::warn!(problem, "API keys not read anew"),
        }
    }
}

fn stamp(file: &PathBuf) -> Result<Stamp, String> {
    let metadata = fs::metadata(file)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    Ok(Stamp {
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        inode: metadata.ino(),
        length: metadata.len(),
    })
}

fn read(file: &PathBuf) -> Result<(ByHash, Stamp), String> {
    // Looked at first: a change while it is read is seen the next time.
    let stamp = stamp(file)?;
    let text = fs::read_to_string(file)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let keys = parse(&text).map_err(|problem| format!("{}{problem}", file.display()))?;
    Ok((keys, stamp))
}

fn parse(text: &str) -> Result<ByHash, String> {
    let mut keys = ByHash::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| Err(format!(", line {number}: {what}"));
        let (agent, key) = match line.split_once(':') {
            Some((agent, key)) => (Some(agent.trim()), key.trim()),
            None => (None, line),
        };
        if agent.is_some_and(|agent| !super::caller::is_name(agent) || agent.is_empty()) {
            return wrong("the agent must be 1 to 128 bytes without control characters");
        }
        if !(8..=512).contains(&key.len()) || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return wrong("the key must be 8 to 512 printable ASCII characters without blanks");
        }
        if keys.insert(hash(key), agent.map(AgentId::new)).is_some() {
            return wrong("the key is there already");
        }
    }
    if keys.is_empty() {
        return Err(": must hold at least one line `agent: key` or `key`".to_owned());
    }
    Ok(keys)
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_agents() {
        let text = "# ours\nresearcher: alpha-1234\n\n writer : beta:56789 \ngamma-4321\n";
        let keys = parse(text).unwrap();
        let agent = |key: &str| {
            keys.get(&hash(key)).map(|agent| agent.as_ref().map(|agent| agent.0.as_str()))
        };
        assert_eq!(agent("alpha-1234"), Some(Some("researcher")));
        assert_eq!(agent("beta:56789"), Some(Some("writer")));
        assert_eq!(agent("gamma-4321"), Some(None));
        assert_eq!(agent("alpha-123"), None);
    }

    #[test]
    fn what_is_no_list_is_refused_without_its_contents() {
        for (text, says) in [
            ("", "at least one line"),
            ("a secret key", "line 1: the key must be 8"),
            (": secret-key-1", "line 1: the agent"),
            ("a: short", "line 1: the key must be 8"),
            ("a: secret key", "line 1: the key must be 8"),
            ("a: secret-key-1\nb: secret-key-1", "line 2: the key is there already"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(says), "{problem}");
            assert!(!problem.contains("secret"), "{problem}");
        }
    }

    #[test]
    fn a_changed_file_is_read_anew_and_a_spoilt_one_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        fs::write(&file, "a: first-key-1").unwrap();
        let keys = Keys::open(file.clone()).unwrap();
        let soon = || keys.seen.lock().unwrap().0 = Instant::now() - 2 * LOOK;
        assert!(keys.agent("first-key-1").is_some() && keys.agent("second-key-2").is_none());
        fs::write(&file, "a: second-key-2").unwrap();
        soon();
        assert!(keys.agent("first-key-1").is_none() && keys.agent("second-key-2").is_some());
        fs::write(&file, "spoilt by half").unwrap();
        soon();
        assert!(keys.agent("second-key-2").is_some());
    }
}
