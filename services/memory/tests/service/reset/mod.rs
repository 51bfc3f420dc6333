//! What is left after everything is wiped and restored: all of it, to the byte.

mod archive;
mod begin;
mod life;
mod restore;

use alina_proto::memory::v1::{
    BuildContextRequest, BuildContextResponse, ContextProfile, ExportNamespaceRequest,
    ImportNamespaceRequest, ImportNamespaceResponse, SearchRequest, VerifyActionsRequest,
    VerifyActionsResponse, WatchRequest, WatchResponse,
};
use alina_testkit::Suite;
use futures::TryStreamExt;
use prost::Message;
use tonic::Status;

use crate::{Memory, hostile::raw::RawClient};

/// Whose life it is.
const NAMESPACE: &str = "home";

fn session_start(budget: u32) -> BuildContextRequest {
    BuildContextRequest {
        namespace: NAMESPACE.to_owned(),
        token_budget: budget,
        profile: ContextProfile::SessionStart.into(),
        ..BuildContextRequest::default()
    }
}

async fn begun(memory: &Memory, request: BuildContextRequest) -> BuildContextResponse {
    memory.clone().build_context(request).await.expect("a context").into_inner()
}

/// The answer's bytes as they come, at several budgets, without a query and with these.
async fn briefs(url: &str, queries: &[&str]) -> Vec<Vec<u8>> {
    let raw = RawClient::to(url).await;
    let mut briefs = Vec::new();
    for budget in [64, 400, 2_000, 16_000] {
        for query in [&[""], queries].concat() {
            let query = query.to_owned();
            let request = BuildContextRequest { query, ..session_start(budget) };
            let answer = raw.call("BuildContext", request.encode_to_vec().into()).await;
            briefs.push(answer.expect("a context").to_vec());
        }
    }
    briefs
}

async fn exported(memory: &Memory, request: ExportNamespaceRequest) -> Vec<u8> {
    let pieces = memory.clone().export_namespace(request).await.expect("an export").into_inner();
    let pieces: Vec<_> = pieces.try_collect().await.expect("all of it");
    pieces.into_iter().flat_map(|piece| piece.data).collect()
}

fn everything() -> ExportNamespaceRequest {
    ExportNamespaceRequest { namespace: NAMESPACE.to_owned(), ..Default::default() }
}

/// Takes a file in, cut into pieces of this size.
async fn imported(
    memory: &Memory,
    file: &[u8],
    piece: usize,
) -> Result<ImportNamespaceResponse, Status> {
    let pieces: Vec<_> = file
        .chunks(piece)
        .map(|data| ImportNamespaceRequest { data: data.to_vec(), ..Default::default() })
        .collect();
    let answer = memory.clone().import_namespace(futures::stream::iter(pieces)).await;
    answer.map(tonic::Response::into_inner)
}

async fn verified(memory: &Memory) -> VerifyActionsResponse {
    let request = VerifyActionsRequest { namespace: NAMESPACE.to_owned(), ..Default::default() };
    memory.clone().verify_actions(request).await.expect("a log").into_inner()
}

async fn changes(memory: &Memory, after_sequence: u64) -> Vec<WatchResponse> {
    let namespace = NAMESPACE.to_owned();
    let request = WatchRequest { namespace, after_sequence, until_now: true };
    let changes = memory.clone().watch(request).await.expect("changes").into_inner();
    changes.try_collect().await.expect("all of them")
}

/// What is found for some questions, as of a time that does not pass, with vectors or without.
async fn found(memory: &Memory, vectors: bool) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for query in ["where does Ana live", "the gym", "what was decided about the harbour", "tea"] {
        let request = SearchRequest {
            namespace: NAMESPACE.to_owned(),
            query: query.to_owned(),
            limit: 50,
            as_of: Some(life::day(500)),
            ..SearchRequest::default()
        };
        let mut answer =
            memory.clone().search(request.clone()).await.expect("a search").into_inner();
        // The model may have to be loaded.
        for _ in 0..30 {
            if answer.vectors_used == vectors {
                break;
            }
            answer = memory.clone().search(request.clone()).await.expect("a search").into_inner();
        }
        assert!(!answer.results.is_empty() && answer.vectors_used == vectors, "{query}");
        found.push(answer.encode_to_vec());
    }
    found
}

/// Waits until words are counted, facts extracted, and vectors made if somebody makes them.
async fn settled(suite: &Suite, vectors: bool) {
    let pool = suite.db().pool().await;
    for _ in 0..300 {
        let left: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM memory.uncounted) + (SELECT count(*) FROM memory.items
                      WHERE $1 AND embedding IS NULL AND NOT embedding_refused)
                  + (SELECT count(*) FROM memory.unextracted q JOIN memory.items i
                       ON i.namespace = q.namespace AND i.id = item_id AND retracted_at IS NULL)",
        )
        .bind(vectors)
        .fetch_one(&pool)
        .await
        .expect("an answer");
        if left == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("words, facts or vectors are missing still");
}
