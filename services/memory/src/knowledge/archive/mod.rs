//! A whole namespace as JSON Lines: a header, the rows of each table, an end that proves that nothing
//! is missing.
//!
//! ```text
//! {"alina_memory":{"format":1,"namespace":"default","exported_at":"2026-05-01T12:00:00Z","vectors":true}}
//! {"items":{"id":"0198…","kind":1,"text":"…", …}}
//! …
//! {"end":{"rows":{"items":1, …},"sha256":"…"}}
//! ```
//!
//! Tables come in the order of [`TABLES`], rows in the order of their keys; a field that is absent is
//! null. Times are RFC 3339 in UTC, bytes are hexadecimal after `\x`, a vector is the base64 of its
//! 16-bit numbers, big-endian. The digest is that of all lines before the end, line feeds included.
//! What is calculated from the rows is not in it: the words of the text index and their counts, names
//! of actors.

mod reader;
mod rows;
mod tables;
mod writer;

pub use self::{
    reader::{Header, Part, Reader},
    rows::checked,
    tables::{Column, TABLES, Table, Value},
    writer::Writer,
};

/// Of the format.
pub const FORMAT: u32 = 1;
/// Names the header.
const HEADER: &str = "alina_memory";
/// Names the last line.
const END: &str = "end";

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {field}: {problem}")]
pub struct BadLine {
    /// From 1.
    pub line: u64,
    /// For example `items.valid_from`.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

impl BadLine {
    fn new(line: u64, field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { line, field: field.into(), problem: problem.into() }
    }
}
