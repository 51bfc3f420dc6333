//! What looks at a whole namespace: the context of an agent that begins, and the export.

use std::time::{Duration, Instant};

use alina_client::PeerChannel;
use alina_proto::memory::v1::{
    BuildContextRequest, ContextProfile, ExportNamespaceRequest,
    memory_service_client::MemoryServiceClient,
};
use futures::TryStreamExt;

use crate::NAMESPACE;

/// Contexts that are asked for; each is of another size, so that none comes from the cache.
const CONTEXTS: u32 = 41;
/// A namespace of millions is not written down in a minute.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// What the context of an agent that begins takes, in milliseconds: the median, and the most.
pub(crate) async fn session_starts(memory: &MemoryServiceClient<PeerChannel>) -> (f64, f64) {
    let mut took = Vec::new();
    for n in 0..CONTEXTS {
        let request = BuildContextRequest {
            namespace: NAMESPACE.to_owned(),
            token_budget: 1_000 + n,
            profile: ContextProfile::SessionStart.into(),
            ..BuildContextRequest::default()
        };
        let begun = Instant::now();
        let context = memory.clone().build_context(request).await.expect("a context").into_inner();
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        assert!(!context.context.is_empty(), "nothing is known");
    }
    took.sort_by(f64::total_cmp);
    (took[took.len() / 2], took[took.len() - 1])
}

/// An export of everything: its bytes, and the seconds it took.
pub(crate) async fn export(memory: &MemoryServiceClient<PeerChannel>) -> (usize, f64) {
    let request = ExportNamespaceRequest { namespace: NAMESPACE.to_owned(), ..Default::default() };
    let mut request = tonic::Request::new(request);
    request.set_timeout(PATIENCE);
    let begun = Instant::now();
    let mut pieces =
        memory.clone().export_namespace(request).await.expect("an export").into_inner();
    let mut bytes = 0;
    while let Some(piece) = pieces.try_next().await.expect("all of it") {
        bytes += piece.data.len();
    }
    (bytes, begun.elapsed().as_secs_f64())
}
