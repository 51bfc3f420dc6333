//! The memory through its real program, over a real PostgreSQL and Redis.

#![cfg(test)]

mod bank;
mod belief;
mod caching;
mod extracting;
mod finding;
mod forgetting;
mod graph;
mod hostile;
mod insisting;
mod killed;
mod merging;
mod migrating;
mod reading;
mod reset;
mod streaming;
mod tenants;
mod watching;
mod writing;

use alina_client::{Connector, PeerChannel};
use alina_proto::memory::v1::{
    Episode, FactInput, RememberRequest, RememberResponse, SearchRequest, SearchResult,
    memory_service_client::MemoryServiceClient,
};

pub(crate) type Memory = MemoryServiceClient<PeerChannel>;

pub(crate) fn memory(connector: &Connector) -> Memory {
    connector.memory()
}

pub(crate) fn episode(text: &str) -> RememberRequest {
    let episode = Episode { text: text.to_owned(), actor: "user".to_owned(), ..Episode::default() };
    RememberRequest { episode: Some(episode), ..RememberRequest::default() }
}

pub(crate) fn fact(subject: &str, predicate: &str, object: &str) -> FactInput {
    FactInput {
        subject: subject.to_owned(),
        predicate: predicate.to_owned(),
        object: object.to_owned(),
        ..FactInput::default()
    }
}

pub(crate) async fn remember(memory: &Memory, request: RememberRequest) -> RememberResponse {
    memory.clone().remember(request).await.expect("it is written").into_inner()
}

pub(crate) async fn search(memory: &Memory, query: &str) -> Vec<SearchResult> {
    let request = SearchRequest { query: query.to_owned(), ..SearchRequest::default() };
    memory.clone().search(request).await.expect("a search").into_inner().results
}
