//! Tables and colours for people, JSON for programs.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use owo_colors::OwoColorize;
use serde_json::Value;

use crate::{arguments::Format, failure::Failure};

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub(crate) fn new(asked: Option<Format>) -> Self {
        let by_terminal = if io::stdout().is_terminal() { Format::Human } else { Format::Json };
        Self { format: asked.unwrap_or(by_terminal) }
    }

    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Shows `value` to programs, what `human` writes to people.
    pub(crate) fn show(
        self,
        value: &Value,
        human: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        let written = match self.format {
            Format::Json => writeln!(out, "{value}"),
            Format::Human => human(&mut out),
        };
        finished(written.and_then(|()| out.flush()))
    }

    /// Shows a line to people only.
    pub(crate) fn line(self, line: impl Display) -> Result<(), Failure> {
        if self.is_json() {
            return Ok(());
        }
        finished(writeln!(anstream::stdout(), "{line}"))
    }

    /// Shows text to people as it comes, without a line's end.
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        if self.is_json() {
            return Ok(());
        }
        let mut out = anstream::stdout().lock();
        finished(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }

    /// Shows what is meant for another program whatever the format, such as a shell's completions.
    pub(crate) fn script(self, text: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        finished(out.write_all(text).and_then(|()| out.flush()))
    }

    /// Shows a value to programs only.
    pub(crate) fn json(self, value: &Value) -> Result<(), Failure> {
        if !self.is_json() {
            return Ok(());
        }
        finished(writeln!(anstream::stdout(), "{value}"))
    }

    /// Tells why it failed.
    pub(crate) fn fail(self, failure: &Failure) -> ExitCode {
        let mut err = anstream::stderr();
        // Nobody is left to tell when standard error is closed.
        let _ = match self.format {
            Format::Json => writeln!(err, "{}", failure.json()),
            Format::Human => writeln!(err, "{} {failure}", "✗".red().bold()),
        };
        ExitCode::from(failure.exit_code())
    }
}

/// A reader that has gone, such as `head`, wants nothing more: that is no failure.
fn finished(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.map_err(Failure::from),
    }
}

/// A table with a header, as wide as the terminal at most.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table
}

/// A wire time as people read it: local, to the second.
pub(crate) fn when(at: Option<&prost_types::Timestamp>) -> String {
    at.and_then(alina_proto::time::date_time)
        .map(|at| at.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default()
}

/// A wire time as programs read it: RFC 3339, null when absent.
pub(crate) fn rfc3339(at: Option<&prost_types::Timestamp>) -> Value {
    at.and_then(alina_proto::time::date_time).map_or(Value::Null, |at| at.to_rfc3339().into())
}

/// Bytes as people read them.
pub(crate) fn bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let mib = bytes as f64 / 1_048_576.0;
    if mib >= 1024.0 { format!("{:.1} GiB", mib / 1024.0) } else { format!("{mib:.0} MiB") }
}

/// The beginning of a text, on one line.
pub(crate) fn brief(text: &str, length: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_characters_and_put_on_one_line() {
        assert_eq!(brief("a\n  b", 10), "a b");
        assert_eq!(brief("äöüß", 2), "äö…");
        assert_eq!(brief("äö", 2), "äö");
    }

    #[test]
    fn sizes_are_told_in_the_unit_that_fits() {
        assert_eq!(bytes(98_362_432), "94 MiB");
        assert_eq!(bytes(24 * 1024 * 1024 * 1024), "24.0 GiB");
    }

    #[test]
    fn times_are_null_to_programs_and_empty_to_people_when_absent() {
        assert_eq!(rfc3339(None), Value::Null);
        assert_eq!(when(None), "");
        let at = prost_types::Timestamp { seconds: 1_795_441_200, nanos: 0 };
        assert_eq!(rfc3339(Some(&at)), "2026-11-23T13:40:00+00:00");
    }

    #[test]
    fn a_table_has_its_header_and_rows() {
        let mut rows = table(["run", "state"]);
        rows.add_row(["0198", "succeeded"]);
        let text = rows.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("run") && lines[1].contains("state"), "{text}");
        assert!(lines[3].contains("0198") && lines[3].contains("succeeded"), "{text}");
    }
}
