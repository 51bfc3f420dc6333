//! Whole namespaces, out and in, as streams of bytes.

use std::{pin::pin, sync::Arc, time::Duration};

use alina_proto::memory::v1::{
    ExportFormat, ExportNamespaceRequest, ExportNamespaceResponse, ImportNamespaceRequest,
    ImportNamespaceResponse,
};
use alina_service::status::Violations;
use futures::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming, codegen::BoxStream};

use super::{
    Grpc,
    convert::checked_namespace,
    facts::checked_view,
    failure::{failure, idle, slow_reader, stopping, too_many_archives},
};
use crate::{
    error::MemoryError,
    knowledge::{
        Namespace,
        archive::{Part, Reader},
    },
    store::{Begun, Import, Store, TakenIn},
};

/// Exports and imports at once: each holds a connection.
const MOST_ARCHIVES: usize = 4;
/// Pieces that wait for whoever reads an export.
const WAITING: usize = 4;
/// How long a piece waits to be taken, and how long the next part of an import is waited for.
const IDLE: Duration = Duration::from_secs(60);

/// Counts exports and imports.
#[derive(Debug, Clone)]
pub(crate) struct Archives {
    free: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Archives {
    /// None yet; all end at `shutdown`.
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        Self { free: Arc::new(Semaphore::new(MOST_ARCHIVES)), shutdown }
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Status> {
        let free = Arc::clone(&self.free).try_acquire_owned();
        free.map_err(|_| too_many_archives(MOST_ARCHIVES))
    }

    /// Hands pieces on as they are taken; whoever does not read holds no transaction open for long.
    fn handed(
        &self,
        place: OwnedSemaphorePermit,
        pieces: impl Stream<Item = Result<Vec<u8>, MemoryError>> + Send + 'static,
    ) -> BoxStream<ExportNamespaceResponse> {
        let (give, taken) = mpsc::channel(WAITING);
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            let _place = place;
            let handing = async {
                let mut pieces = pin!(pieces);
                while let Some(piece) = pieces.next().await {
                    let piece = piece.map(|data| ExportNamespaceResponse { data });
                    let last = piece.is_err();
                    // Nobody reads any more when it cannot be given.
                    match tokio::time::timeout(IDLE, give.send(piece.map_err(failure))).await {
                        Ok(Ok(())) if !last => {}
                        Ok(_) => return,
                        Err(_) => {
                            let _ = give.try_send(Err(slow_reader(IDLE)));
                            return;
                        }
                    }
                }
            };
            if shutdown.run_until_cancelled(handing).await.is_none() {
                let _ = give.try_send(Err(stopping()));
            }
        });
        Box::pin(ReceiverStream::new(taken))
    }
}

impl Grpc {
    pub(super) fn exported(
        &self,
        request: &ExportNamespaceRequest,
    ) -> Result<BoxStream<ExportNamespaceResponse>, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        let format = ExportFormat::try_from(request.format).ok();
        bad.check(format.is_some(), "format", "must be UNSPECIFIED, JSON_LINES or GRAPHML");
        let graph = format == Some(ExportFormat::Graphml);
        let (as_of, known_at) = (request.as_of.as_ref(), request.known_at.as_ref());
        let view = checked_view(as_of, known_at, request.include_stale, &mut bad);
        let rule = "is for GRAPHML: JSON_LINES has all that was ever true or known";
        bad.check(graph || as_of.is_none(), "as_of", rule);
        bad.check(graph || known_at.is_none(), "known_at", rule);
        bad.check(graph || request.include_stale.is_none(), "include_stale", rule);
        bad.check(!graph || !request.without_vectors, "without_vectors", "is for JSON_LINES");
        bad.finish()?;
        let place = self.archives.place()?;
        let store = &self.store;
        Ok(if graph {
            self.archives.handed(place, store.graphml(namespace, view))
        } else {
            self.archives.handed(place, store.archived(namespace, !request.without_vectors))
        })
    }

    pub(super) async fn taken_in(
        &self,
        mut requests: Streaming<ImportNamespaceRequest>,
    ) -> Result<ImportNamespaceResponse, Status> {
        let _place = self.archives.place()?;
        let mut intake =
            Intake { store: &self.store, reader: Reader::default(), state: State::New };
        let mut asked_for = None;
        loop {
            let next = tokio::time::timeout(IDLE, requests.message());
            let next = self.archives.shutdown.run_until_cancelled(next).await;
            let next = next.ok_or_else(stopping)?.map_err(|_| idle(IDLE))??;
            let Some(ImportNamespaceRequest { namespace, data }) = next else { break };
            // Only the first tells.
            let asked_for = asked_for.get_or_insert(namespace);
            intake.take(asked_for, &data).await?;
        }
        let answer = intake.finish().await?;
        self.written.notify_one();
        Ok(answer)
    }
}

/// A file on its way in.
struct Intake<'s> {
    store: &'s Store,
    reader: Reader,
    state: State,
}

enum State {
    /// Without a header.
    New,
    /// Into an empty namespace.
    Filling(Namespace, Box<Import>),
    /// Into one that was filled from the file with this digest: it may be this very file.
    Comparing(Namespace, Vec<u8>),
}

impl Intake<'_> {
    async fn take(&mut self, asked_for: &str, data: &[u8]) -> Result<(), Status> {
        for part in self.reader.feed(data).map_err(|bad| failure(bad.into()))? {
            match (part, &mut self.state) {
                (Part::Header(header), _) => {
                    let namespace = checked_target(asked_for, &header.namespace)?;
                    let begun = self.store.begin_import(&namespace).await.map_err(failure)?;
                    self.state = match begun {
                        Begun::Empty(import) => State::Filling(namespace, import),
                        Begun::FilledFrom(digest) => State::Comparing(namespace, digest),
                    };
                }
                (Part::Row(table, line, row), State::Filling(_, import)) => {
                    import.add(table, line, row).await.map_err(failure)?;
                }
                (Part::Row(..), State::New | State::Comparing(..)) => {}
            }
        }
        Ok(())
    }

    async fn finish(self) -> Result<ImportNamespaceResponse, Status> {
        let rows = self.reader.rows().clone();
        let digest = self.reader.finish().map_err(|bad| failure(bad.into()))?;
        let (namespace, taken, again) = match self.state {
            // The reader has seen an end, so there was a header.
            State::New => (Namespace(String::new()), TakenIn { rows, intact: true }, true),
            State::Filling(namespace, import) => {
                let taken = import.finish(&digest, rows).await.map_err(failure)?;
                (namespace, taken, false)
            }
            State::Comparing(namespace, filled_from) if filled_from == digest => {
                let intact = self.store.verify(&namespace, None).await.map_err(failure)?;
                (namespace, TakenIn { rows, intact: intact.broken.is_none() }, true)
            }
            State::Comparing(namespace, _) => {
                return Err(failure(MemoryError::NamespaceNotEmpty(namespace.0)));
            }
        };
        Ok(ImportNamespaceResponse {
            namespace: namespace.0,
            rows: taken.rows.into_iter().collect(),
            repeated_import: again,
            actions_intact: taken.intact,
        })
    }
}

/// The namespace that is filled: that of the file.
fn checked_target(asked_for: &str, of_file: &str) -> Result<Namespace, Status> {
    let mut bad = Violations::default();
    checked_namespace(asked_for, &mut bad);
    let namespace = checked_namespace(of_file, &mut bad);
    let same = asked_for.is_empty() || asked_for == of_file;
    let rule = format!(
        "must be empty or `{of_file}`, of which the file is: the log's hashes hold the name, and ids are \
         of one namespace"
    );
    bad.check(same, "namespace", rule);
    bad.finish()?;
    Ok(namespace)
}
