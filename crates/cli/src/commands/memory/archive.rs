//! A whole namespace, out and in.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use alina_proto::memory::v1::{
    ExportFormat, ExportNamespaceRequest, ImportNamespaceRequest, ImportNamespaceResponse,
};
use owo_colors::OwoColorize;
use serde_json::json;
use tokio::sync::mpsc;

use super::Asked;
use crate::{arguments::MemoryExport, failure::Failure, fetch::Progress};

/// What is sent at once, in bytes.
const PIECE: usize = 256 * 1024;
/// Pieces that wait to be sent.
const WAITING: usize = 4;

/// Standard input or output.
fn is_standard(file: &Path) -> bool {
    file.as_os_str() == "-"
}

impl Asked {
    pub(super) async fn give_out(mut self, wish: MemoryExport) -> Result<(), Failure> {
        let request = ExportNamespaceRequest {
            namespace: self.namespace.clone(),
            format: match wish.format {
                crate::arguments::ExportFormat::Jsonl => ExportFormat::JsonLines.into(),
                crate::arguments::ExportFormat::Graphml => ExportFormat::Graphml.into(),
            },
            without_vectors: wish.without_vectors,
            as_of: wish.times.as_of,
            known_at: wish.times.known_at,
            ..ExportNamespaceRequest::default()
        };
        let mut pieces = self.memory.export_namespace(request).await?.into_inner();
        let progress = Progress::new(!self.output.is_json() && !is_standard(&wish.file));
        progress.bytes("export", None, 0);
        let mut target = Target::open(&wish.file)?;
        let mut bytes = 0;
        while let Some(piece) = pieces.message().await? {
            target.out.write_all(&piece.data)?;
            bytes += piece.data.len() as u64;
            progress.add(piece.data.len() as u64);
        }
        target.finish()?;
        progress.end();
        if is_standard(&wish.file) {
            return Ok(());
        }
        self.output.show(&json!({ "file": wish.file, "bytes": bytes }), |out| {
            writeln!(out, "{} {bytes} bytes in {}", "✓".green(), wish.file.display())
        })
    }

    pub(super) async fn take_in(mut self, file: &Path) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::other(format!("{}: {error}", file.display()));
        let progress = Progress::new(!self.output.is_json());
        let source: Box<dyn Read + Send> = if is_standard(file) {
            progress.bytes("import", None, 0);
            Box::new(io::stdin())
        } else {
            let file = File::open(file).map_err(failed)?;
            progress.bytes("import", file.metadata().ok().map(|about| about.len()), 0);
            Box::new(file)
        };
        let (give, pieces) = mpsc::channel(WAITING);
        let (namespace, counted) = (self.namespace.clone(), progress.clone());
        let reading = tokio::task::spawn_blocking(move || read(source, namespace, &give, &counted));
        let pieces = futures::stream::unfold(pieces, |mut pieces| async {
            pieces.recv().await.map(|piece| (piece, pieces))
        });
        let answer = self.memory.import_namespace(pieces).await;
        progress.end();
        // Why it could not be read tells more than that it is cut off.
        if let Ok(Err(error)) = reading.await {
            return Err(failed(error));
        }
        self.tell(&answer?.into_inner())
    }

    fn tell(&self, done: &ImportNamespaceResponse) -> Result<(), Failure> {
        let value = json!({
            "namespace": done.namespace,
            "rows": done.rows,
            "repeated_import": done.repeated_import,
            "actions_intact": done.actions_intact,
        });
        self.output.show(&value, |out| {
            let rows = |table: &str| done.rows.get(table).copied().unwrap_or_default();
            let (items, facts, actions) = (rows("items"), rows("facts"), rows("actions"));
            let held =
                format!("{items} items, {facts} of them facts, {actions} entries of the log");
            if done.repeated_import {
                return writeln!(out, "{} {} holds this file already", "✓".green(), done.namespace);
            }
            writeln!(out, "{} {}: {held}", "✓".green(), done.namespace)?;
            if !done.actions_intact {
                let hint = "the log was not intact when it was exported; see alina memory verify";
                writeln!(out, "{}", hint.yellow())?;
            }
            Ok(())
        })
    }
}

/// Reads all of it, as fast as it is sent.
fn read(
    mut source: Box<dyn Read + Send>,
    namespace: String,
    give: &mpsc::Sender<ImportNamespaceRequest>,
    progress: &Progress,
) -> io::Result<()> {
    let mut namespace = Some(namespace);
    loop {
        let mut data = vec![0; PIECE];
        let count = source.read(&mut data)?;
        if count == 0 {
            return Ok(());
        }
        data.truncate(count);
        // The first tells whose it is.
        let namespace = namespace.take().unwrap_or_default();
        if give.blocking_send(ImportNamespaceRequest { namespace, data }).is_err() {
            // The service has had enough, and says why.
            return Ok(());
        }
        progress.add(count as u64);
    }
}

/// Where an export goes: a file is there when it is whole.
struct Target {
    out: Box<dyn Write + Send>,
    /// The file and what it is called until it is whole.
    file: Option<(PathBuf, PathBuf)>,
}

impl Target {
    fn open(file: &Path) -> Result<Self, Failure> {
        if is_standard(file) {
            return Ok(Self { out: Box::new(io::stdout()), file: None });
        }
        let mut part = file.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let out = File::create(&part)
            .map_err(|error| Failure::other(format!("{}: {error}", part.display())))?;
        Ok(Self { out: Box::new(out), file: Some((file.to_owned(), part)) })
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.out.flush()?;
        if let Some((file, part)) = self.file.take() {
            std::fs::rename(part, file)?;
        }
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some((_, part)) = &self.file {
            // Half an export is of no use.
            let _ = std::fs::remove_file(part);
        }
    }
}
