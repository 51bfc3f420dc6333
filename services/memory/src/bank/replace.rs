//! A file gets another text without a person's edit being lost, whenever he makes it.
//!
//! The new text is written beside the file and the two are exchanged, which the kernel does at once;
//! what came out must be what was read. If it is not, a person was faster, and the two are exchanged
//! back. A person may also have opened the file before and write into what came out: it is kept for a
//! moment and looked at again (`late`).

use rustix::io::Errno;
use uuid::Uuid;

use super::folder::{Content, Folder, OWN, Spot};
use crate::knowledge::bank::etag;

/// What became of a write.
#[derive(Debug)]
pub(super) enum Written {
    /// It is in the file.
    Done,
    /// It is in the file, and what was there before is kept for a moment.
    Over(Replaced),
    /// The file is not as it was read: look again.
    Changed,
    /// It was in the file for an instant, in which a person may have opened it.
    TakenBack(Replaced),
    /// It cannot be written, and why.
    Impossible(String),
}

/// What was in a file before a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replaced {
    /// Of the document.
    pub(super) path: String,
    /// Where it is kept.
    pub(super) kept: String,
    /// What it was.
    pub(super) before: String,
    /// The etag of what came in its place.
    pub(super) after: String,
}

/// The path where what had the etag `before` is kept that `after` replaced.
pub(super) fn kept_path(path: &str, before: &str, after: &str) -> String {
    beside(path, &format!("{before}-{after}"))
}

/// The document's path and the two etags of the path of something kept.
pub(super) fn kept_parts(kept: &str) -> Option<(String, &str, &str)> {
    let (folder, name) = kept.rsplit_once('/').unwrap_or(("", kept));
    let (name, etags) = name.strip_prefix('.')?.rsplit_once(OWN)?;
    let (before, after) = etags.split_once('-')?;
    let etag = |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    (etag(before) && etag(after)).then_some((path, before, after))
}

/// The path of a hidden file beside `path`.
fn beside(path: &str, mark: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/.{name}{OWN}{mark}"),
        None => format!(".{path}{OWN}{mark}"),
    }
}

fn own_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

impl Folder {
    /// Writes `content` into the file at `path`, which has the text `before`.
    pub(super) fn replace(&self, path: &str, before: &str, content: &str) -> Written {
        self.try_replace(path, before, content).unwrap_or_else(impossible)
    }

    fn try_replace(&self, path: &str, before: &str, content: &str) -> Result<Written, Errno> {
        let spot = self.spot(path)?;
        let like = match spot.stat() {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Written::Changed),
            Err(error) => return Err(error),
        };
        let draft =
            spot.beside(own_name(&beside(path, &format!("new-{}", Uuid::new_v4().simple()))))?;
        if let Err(problem) = draft.create(content, Some(&like)) {
            return Ok(Written::Impossible(problem));
        }
        let (was, is) = (etag(before), etag(content));
        let kept_at = kept_path(path, &was, &is);
        let kept = spot.beside(own_name(&kept_at))?;
        match draft.rename(&kept) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                // The same was replaced by the same a moment ago, and is still kept.
                draft.delete();
                return Ok(Written::Changed);
            }
            Err(error) => {
                draft.delete();
                return Err(error);
            }
        }
        // As late as can be: what changes from here on is seen by what comes out.
        let unchanged = matches!(spot.read(), Content::Text(text, _) if text == before);
        let exchanged = if unchanged { kept.exchange(&spot) } else { Err(Errno::NOENT) };
        match exchanged {
            Ok(()) => {}
            Err(error) => {
                kept.delete();
                return if error == Errno::NOENT { Ok(Written::Changed) } else { Err(error) };
            }
        }
        spot.sync();
        let replaced =
            Replaced { path: path.to_owned(), kept: kept_at, before: before.to_owned(), after: is };
        if has(&kept, before) {
            return Ok(Written::Over(replaced));
        }
        Ok(give_back(&kept, &spot, content, replaced))
    }

    /// Writes `content` into a file that is not there.
    pub(super) fn create(&self, path: &str, content: &str) -> Written {
        self.try_create(path, content).unwrap_or_else(impossible)
    }

    fn try_create(&self, path: &str, content: &str) -> Result<Written, Errno> {
        let spot = self.spot(path)?;
        let draft =
            spot.beside(own_name(&beside(path, &format!("new-{}", Uuid::new_v4().simple()))))?;
        if let Err(problem) = draft.create(content, None) {
            return Ok(Written::Impossible(problem));
        }
        let renamed = draft.rename(&spot);
        if renamed.is_err() {
            draft.delete();
        }
        match renamed {
            Ok(()) => {
                spot.sync();
                Ok(Written::Done)
            }
            Err(Errno::EXIST) => Ok(Written::Changed),
            Err(error) => Err(error),
        }
    }

    /// Deletes the file at `path` if it has the text `content`.
    pub(super) fn erase(&self, path: &str, content: &str) -> Written {
        self.try_erase(path, content).unwrap_or_else(impossible)
    }

    /// What a stopped service left at `name`: a draft goes, what was being deleted comes back. Tells
    /// whether that could be done.
    pub(super) fn restore(&self, name: &str) -> bool {
        let Ok(left) = self.spot(name) else { return false };
        let gone = left.name.strip_prefix('.').and_then(|rest| rest.rsplit_once(OWN));
        match gone {
            Some((document, mark)) if mark.starts_with("gone-") => {
                left.beside(document).is_ok_and(|back| left.rename(&back).is_ok())
            }
            _ => {
                left.delete();
                true
            }
        }
    }

    fn try_erase(&self, path: &str, content: &str) -> Result<Written, Errno> {
        let spot = self.spot(path)?;
        let gone =
            spot.beside(own_name(&beside(path, &format!("gone-{}", Uuid::new_v4().simple()))))?;
        match spot.rename(&gone) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(Written::Changed),
            Err(error) => return Err(error),
        }
        if has(&gone, content) {
            gone.delete();
            spot.sync();
            return Ok(Written::Done);
        }
        gone.rename(&spot)?;
        Ok(Written::Changed)
    }
}

/// A person was faster: his text goes back into the file.
fn give_back(kept: &Spot, spot: &Spot, content: &str, replaced: Replaced) -> Written {
    match kept.exchange(spot) {
        Ok(()) if has(kept, content) => {
            let (is, was) = (replaced.after, etag(&replaced.before));
            let kept_at = kept_path(&replaced.path, &is, &was);
            let moved = kept.beside(own_name(&kept_at)).and_then(|to| kept.rename(&to));
            if moved.is_err() {
                kept.delete();
                return Written::Changed;
            }
            let (path, before) = (replaced.path, content.to_owned());
            Written::TakenBack(Replaced { path, kept: kept_at, before, after: was })
        }
        Ok(()) => {
            // He wrote once more just now: that is newer, and the other is what was written late.
            if kept.exchange(spot).is_err() {
                tracing::warn!(path = replaced.path, "a person's edit is kept beside the file");
            }
            Written::Over(replaced)
        }
        // Deleted just now. What came out is what was written late.
        Err(_) => Written::Over(replaced),
    }
}

fn has(spot: &Spot, content: &str) -> bool {
    matches!(spot.read(), Content::Text(text, _) if text == content)
}

fn impossible(error: Errno) -> Written {
    Written::Impossible(match error {
        Errno::INVAL | Errno::NOSYS | Errno::NOTSUP => {
            format!("the file system cannot exchange two files ({error}): nothing is written")
        }
        Errno::ROFS => "the file system is read-only".to_owned(),
        Errno::ACCESS | Errno::PERM => format!("{error}: the service may not write there"),
        other => other.to_string(),
    })
}
