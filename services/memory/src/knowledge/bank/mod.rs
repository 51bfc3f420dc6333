//! The memory bank: documents that people edit as files and agents edit here.
//!
//! What both have is the base; who differs from it has edited. `step` decides what is to be done
//! about a document, `merge` puts both sides' edits together, `section` makes an agent's edit of one
//! section. Nothing here reads or writes anything.

pub mod merge;
pub mod section;
pub mod step;

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// What was learned, as a document that is made and never read.
pub const LEARNED: &str = "learned.md";

/// Folders in folders.
pub const DEEPEST: usize = 8;

/// The largest document, in bytes.
pub const LARGEST: usize = 1 << 20;

/// What a path must be, in words.
pub const PATH_RULE: &str = "must be a relative path of at most 512 bytes that ends in .md, without \
                             .., hidden names, NUL and \\, and neither learned.md nor a conflict file";

/// Between the name of a document and the hash of what is set aside.
const CONFLICT: &str = ".conflict-";

/// A content's short name: 32 hexadecimal digits of its SHA-256.
#[must_use]
pub fn etag(content: &str) -> String {
    Sha256::digest(content).iter().take(16).fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether `path` can be that of a file's in the folder.
#[must_use]
pub fn is_plain_path(path: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.');
    path.len() <= 512
        && path.ends_with(".md")
        && !path.contains(['\0', '\\'])
        && path.split('/').all(plain)
        && path.split('/').count() <= DEEPEST
}

/// Whether `path` can be that of a document that people and agents edit.
#[must_use]
pub fn is_document(path: &str) -> bool {
    is_plain_path(path) && path != LEARNED && !is_conflict(path)
}

/// Whether `path` is that of a file that was set aside.
#[must_use]
pub fn is_conflict(path: &str) -> bool {
    let name = path.strip_suffix(".md").and_then(|stem| stem.rsplit_once(CONFLICT));
    name.is_some_and(|(_, hash)| {
        hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Where `content` is set aside that could not be put into the document at `path`.
#[must_use]
pub fn conflict_path(path: &str, content: &str) -> String {
    let stem = path.strip_suffix(".md").unwrap_or(path);
    let tag = etag(content);
    format!("{stem}{CONFLICT}{}.md", tag.get(..8).unwrap_or(&tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for good in ["a.md", "a/b c.md", "ä.md", "a..b.md"] {
            assert!(is_document(good), "{good}");
        }
        let deep = format!("{}a.md", "x/".repeat(DEEPEST));
        for bad in [
            "",
            "a",
            "a.txt",
            "/a.md",
            "../a.md",
            "a/../b.md",
            "a//b.md",
            ".a.md",
            "a/.git/b.md",
            "a\0.md",
            "a\\b.md",
            "learned.md",
            "a.conflict-0011aabb.md",
            "./a.md",
            ".md",
            &deep,
        ] {
            assert!(!is_document(bad), "{bad}");
        }
    }

    #[test]
    fn conflicts_have_names_of_their_own() {
        let path = conflict_path("a/b.md", "text");
        assert!(path.starts_with("a/b.conflict-") && is_conflict(&path), "{path}");
        assert!(is_plain_path(&path));
        assert_ne!(path, conflict_path("a/b.md", "other text"));
        assert!(!is_conflict("a.conflict-later.md") && !is_conflict("a.md"));
    }
}
