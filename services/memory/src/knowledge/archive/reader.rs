//! Reads a file as it arrives.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use super::{BadLine, END, FORMAT, HEADER, TABLES, Table, checked, writer::hexadecimal};
use crate::knowledge::Namespace;

/// The longest line: a document of 1 MiB, each byte of it escaped.
const LONGEST_LINE: usize = 8 << 20;

/// The first line.
#[derive(Debug, Clone, Deserialize)]
pub struct Header {
    format: u32,
    /// Whose memory it is.
    pub namespace: String,
}

#[derive(Deserialize)]
struct End {
    rows: BTreeMap<String, u64>,
    sha256: String,
}

/// A part of a file.
#[derive(Debug)]
pub enum Part {
    /// The first line.
    Header(Header),
    /// A row, from this line.
    Row(&'static Table, u64, Map<String, Json>),
}

/// Takes bytes in as they come, and gives whole parts.
#[derive(Debug, Default)]
pub struct Reader {
    begun: Vec<u8>,
    line: u64,
    digest: Sha256,
    rows: BTreeMap<String, u64>,
    /// The place in [`TABLES`] of the last row.
    place: usize,
    ended: Option<[u8; 32]>,
}

impl Reader {
    /// The parts that `bytes` complete.
    ///
    /// # Errors
    /// When a line is wrong.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Part>, BadLine> {
        let mut parts = Vec::new();
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (end, after) = rest.split_at(at + 1);
            let mut line = std::mem::take(&mut self.begun);
            line.extend_from_slice(end);
            rest = after;
            parts.extend(self.line(&line)?);
        }
        self.begun.extend_from_slice(rest);
        if self.begun.len() > LONGEST_LINE {
            return Err(BadLine::new(self.line + 1, "line", "must be at most 8 MiB"));
        }
        Ok(parts)
    }

    /// The digest of the whole, once all bytes are read.
    ///
    /// # Errors
    /// When the end is missing.
    pub fn finish(self) -> Result<[u8; 32], BadLine> {
        let missing = "is missing: the file is cut off";
        self.ended.filter(|_| self.begun.is_empty()).ok_or_else(|| {
            let line = self.line + 1;
            BadLine::new(line, END, if self.ended.is_some() { "must be last" } else { missing })
        })
    }

    /// How many rows there were, by table.
    #[must_use]
    pub fn rows(&self) -> &BTreeMap<String, u64> {
        &self.rows
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Part>, BadLine> {
        self.line += 1;
        let number = self.line;
        if self.ended.is_some() {
            return Err(BadLine::new(number, END, "must be last"));
        }
        let (name, value) = named(line).map_err(|rule| BadLine::new(number, "line", rule))?;
        if number == 1 {
            self.digest.update(line);
            return header(&name, value).map(|header| Some(Part::Header(header)));
        }
        if name == END {
            self.end(value)?;
            return Ok(None);
        }
        self.digest.update(line);
        let place = TABLES.iter().position(|table| table.name == name).ok_or_else(|| {
            BadLine::new(number, name.as_str(), "is no table that this version knows")
        })?;
        let table = &TABLES[place];
        if place < self.place {
            let problem = format!("must come before the rows of {}", TABLES[self.place].name);
            return Err(BadLine::new(number, name, problem));
        }
        self.place = place;
        *self.rows.entry(name).or_default() += 1;
        checked(table, number, value).map(|row| Some(Part::Row(table, number, row)))
    }

    fn end(&mut self, value: Json) -> Result<(), BadLine> {
        let end: End = serde_json::from_value(value)
            .map_err(|error| BadLine::new(self.line, END, error.to_string()))?;
        let digest: [u8; 32] = self.digest.clone().finalize().into();
        if end.sha256 != hexadecimal(&digest) {
            let problem = "is not that of the lines before: the file was changed or damaged";
            return Err(BadLine::new(self.line, "end.sha256", problem));
        }
        if end.rows != self.rows {
            let problem = format!("must be {:?}, which were read", self.rows);
            return Err(BadLine::new(self.line, "end.rows", problem));
        }
        self.ended = Some(digest);
        Ok(())
    }
}

/// The name and value of a line: an object with one field.
fn named(line: &[u8]) -> Result<(String, Json), String> {
    let line: Json =
        serde_json::from_slice(line).map_err(|error| format!("is no JSON: {error}"))?;
    let Json::Object(fields) = line else { return Err("must be an object".to_owned()) };
    let mut fields = fields.into_iter();
    match (fields.next(), fields.next()) {
        (Some(field), None) => Ok(field),
        _ => Err("must have one field, named after a table".to_owned()),
    }
}

fn header(name: &str, value: Json) -> Result<Header, BadLine> {
    if name != HEADER {
        return Err(BadLine::new(1, HEADER, "must come first: this is no export of a namespace"));
    }
    let header: Header = serde_json::from_value(value)
        .map_err(|error| BadLine::new(1, HEADER, error.to_string()))?;
    if header.format != FORMAT {
        let problem = format!("is {}; this version reads {FORMAT}", header.format);
        return Err(BadLine::new(1, format!("{HEADER}.format"), problem));
    }
    Ok(header)
}

impl Header {
    /// Whose memory it is.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        Namespace(self.namespace.clone())
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::{super::Writer, *};

    fn file() -> Vec<u8> {
        let namespace = Namespace("default".to_owned());
        let mut writer = Writer::new(&namespace, DateTime::UNIX_EPOCH, true);
        let id = "00000000-0000-7000-8000-000000000000";
        let rows = [
            ("names", format!(r#"{{"called":"ana\nb","entity_id":"{id}"}}"#)),
            ("grounds", format!(r#"{{"fact_id":"{id}","ground_id":"{id}"}}"#)),
        ];
        for (name, row) in rows {
            let table = TABLES.iter().find(|table| table.name == name).unwrap();
            assert!(writer.row(table, &row).is_none());
        }
        writer.finish()
    }

    fn read(file: &[u8], piece: usize) -> Result<Vec<Part>, BadLine> {
        let mut reader = Reader::default();
        let mut parts = Vec::new();
        for piece in file.chunks(piece.max(1)) {
            parts.extend(reader.feed(piece)?);
        }
        reader.finish().map(|_| parts)
    }

    #[test]
    fn what_was_written_is_read_however_it_is_cut() {
        let file = file();
        for piece in [1, 7, 64, file.len()] {
            let parts = read(&file, piece).unwrap();
            assert_eq!(parts.len(), 3);
            assert!(matches!(&parts[0], Part::Header(header) if header.namespace == "default"));
            let Part::Row(table, 2, row) = &parts[1] else { panic!("{parts:?}") };
            assert_eq!((table.name, &row["called"]), ("names", &Json::from("ana\nb")));
        }
    }

    #[test]
    fn order_counts_and_strangers_are_told() {
        let text = String::from_utf8(file()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let joined = |lines: &[&str]| format!("{}\n", lines.join("\n")).into_bytes();
        for (lines, line, field) in [
            (vec![lines[0], lines[2], lines[1], lines[3]], 3, "names"),
            (vec![lines[0], lines[1], lines[3]], 3, "end.sha256"),
            (vec![lines[1], lines[2], lines[3]], 1, HEADER),
            (vec![lines[0], r#"{"strangers":{}}"#], 2, "strangers"),
            (vec![lines[0], r#"{"names":{},"facts":{}}"#], 2, "line"),
            (vec![lines[0], lines[1], lines[2], lines[3], lines[1]], 5, END),
        ] {
            let bad = read(&joined(&lines), 1_000).unwrap_err();
            assert_eq!((bad.line, bad.field.as_str()), (line, field), "{bad}");
        }
        let newer = text.replace(r#""format":1"#, r#""format":2"#);
        assert_eq!(read(newer.as_bytes(), 9).unwrap_err().field, "alina_memory.format");
    }

    proptest! {
        #[test]
        fn a_file_that_is_cut_off_or_damaged_is_refused(
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let whole = file();
            let at = at.index(whole.len() - 1);
            prop_assert!(read(&whole[..=at.min(whole.len() - 2)], 50).is_err());
            let mut damaged = whole.clone();
            damaged[at] = byte;
            // Spaces where JSON ignores them, and digits of other cases, are the only exceptions.
            if damaged != whole && read(&damaged, 50).is_ok() {
                let last = whole.len() - whole.rsplit(|b| *b == b'\n').nth(1).unwrap().len() - 1;
                prop_assert!(at >= last, "{at}: {byte}");
            }
        }
    }
}
