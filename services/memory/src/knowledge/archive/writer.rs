//! Writes a file.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{END, FORMAT, HEADER, Table};
use crate::knowledge::Namespace;

/// What is given away at once, in bytes, and a line more.
const PIECE: usize = 64 * 1024;

/// Writes lines, piece by piece.
#[derive(Debug, Default)]
pub struct Writer {
    digest: Sha256,
    rows: BTreeMap<&'static str, u64>,
    piece: Vec<u8>,
}

impl Writer {
    /// With the header.
    #[must_use]
    pub fn new(namespace: &Namespace, exported_at: DateTime<Utc>, vectors: bool) -> Self {
        let mut writer = Self::default();
        let header = json!({ HEADER: {
            "format": FORMAT,
            "namespace": namespace.0,
            "exported_at": exported_at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            "vectors": vectors,
        }});
        writer.piece.extend_from_slice(header.to_string().as_bytes());
        writer.piece.push(b'\n');
        writer
    }

    /// Adds a row, which is a JSON object; gives a piece when there is enough for one.
    pub fn row(&mut self, table: &Table, row: &str) -> Option<Vec<u8>> {
        for part in ["{\"", table.name, "\":", row, "}\n"] {
            self.piece.extend_from_slice(part.as_bytes());
        }
        *self.rows.entry(table.name).or_default() += 1;
        (self.piece.len() >= PIECE).then(|| self.take())
    }

    /// The last piece.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let mut last = self.take();
        let end =
            json!({ END: { "rows": self.rows, "sha256": hexadecimal(&self.digest.finalize()) } });
        last.extend_from_slice(end.to_string().as_bytes());
        last.push(b'\n');
        last
    }

    fn take(&mut self) -> Vec<u8> {
        let piece = std::mem::take(&mut self.piece);
        self.digest.update(&piece);
        piece
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
