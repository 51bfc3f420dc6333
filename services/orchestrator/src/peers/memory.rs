//! What is recalled from the memory and written to it.

use std::time::Duration;

use alina_client::{Connector, deadline};
use alina_proto::{
    Service,
    memory::v1::{
        BuildContextRequest, ContextProfile, Episode as WireEpisode, FactInput, LogActionRequest,
        RememberRequest, SearchRequest,
    },
    time,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tonic::Status;

use super::PeerError;

/// The memory takes queries of at most 8,192 bytes.
const QUERY_BYTES: usize = 8_000;
/// The memory takes episodes of at most 65,536 bytes.
const EPISODE_BYTES: usize = 65_000;
/// The longest one call may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What memory knows of a query.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Recalled {
    /// Cited lines; empty when nothing is known.
    pub(crate) context: String,
    pub(crate) citations: Vec<Cited>,
}

/// Where a cited line comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cited {
    pub(crate) label: String,
    pub(crate) text: String,
    pub(crate) source: String,
    pub(crate) recorded_at: Option<DateTime<Utc>>,
}

/// Something to remember. The same key must come with the same content.
#[derive(Debug, Clone)]
pub(crate) struct Episode {
    pub(crate) idempotency_key: String,
    pub(crate) namespace: String,
    pub(crate) text: String,
    pub(crate) actor: String,
    pub(crate) session: String,
    pub(crate) source: String,
    pub(crate) occurred_at: Option<DateTime<Utc>>,
    pub(crate) facts: Vec<Fact>,
}

/// A statement to remember.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    pub(crate) subject: String,
    pub(crate) predicate: &'static str,
    pub(crate) object: String,
}

/// An entry of the log of actions.
#[derive(Debug, Clone)]
pub(crate) struct LogEntry {
    pub(crate) idempotency_key: String,
    pub(crate) namespace: String,
    pub(crate) action: String,
    pub(crate) summary: String,
    pub(crate) details: serde_json::Value,
    pub(crate) run_id: String,
}

/// The memory.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    connector: Connector,
}

impl Memory {
    pub(crate) fn new(connector: Connector) -> Self {
        Self { connector }
    }

    /// The best of what is known about a query, in at most so many tokens.
    pub(crate) async fn recall(
        &self,
        namespace: &str,
        query: &str,
        token_budget: u32,
    ) -> Result<Recalled, PeerError> {
        self.context(BuildContextRequest {
            namespace: namespace.to_owned(),
            query: cut(query, QUERY_BYTES).to_owned(),
            token_budget,
            ..BuildContextRequest::default()
        })
        .await
    }

    /// What agents who begin a session with nothing in mind have to know, with what is found for the
    /// goal, in at most so many tokens, without what lies in `session` itself.
    pub(crate) async fn begin(
        &self,
        namespace: &str,
        goal: &str,
        token_budget: u32,
        session: &str,
    ) -> Result<Recalled, PeerError> {
        self.context(BuildContextRequest {
            namespace: namespace.to_owned(),
            query: cut(goal, QUERY_BYTES).to_owned(),
            token_budget,
            exclude_session: session.to_owned(),
            profile: ContextProfile::SessionStart.into(),
            ..BuildContextRequest::default()
        })
        .await
    }

    async fn context(&self, request: BuildContextRequest) -> Result<Recalled, PeerError> {
        let mut client = self.connector.memory();
        let response = bounded(client.build_context(request)).await?;
        let citations = response.citations.into_iter().map(|citation| {
            let item = citation.item.unwrap_or_default();
            Cited {
                label: citation.label,
                text: item.text,
                source: item.source,
                recorded_at: item.recorded_at.as_ref().and_then(time::date_time),
            }
        });
        Ok(Recalled { context: response.context, citations: citations.collect() })
    }

    /// The texts that match a query best.
    pub(crate) async fn search(
        &self,
        namespace: &str,
        query: &str,
        limit: u32,
    ) -> Result<Vec<String>, PeerError> {
        let request = SearchRequest {
            namespace: namespace.to_owned(),
            query: cut(query, QUERY_BYTES).to_owned(),
            limit,
            ..Default::default()
        };
        let mut client = self.connector.memory();
        let response = bounded(client.search(request)).await?;
        Ok(response.results.into_iter().map(|result| result.text).collect())
    }

    /// Writes an episode with its facts; writing it again changes nothing.
    pub(crate) async fn remember(&self, episode: Episode) -> Result<String, PeerError> {
        let mut client = self.connector.memory();
        let response = bounded(client.remember(RememberRequest::from(episode))).await?;
        Ok(response.episode_id)
    }

    /// Appends to the log of actions; appending it again changes nothing.
    pub(crate) async fn log(&self, entry: LogEntry) -> Result<String, PeerError> {
        let request = LogActionRequest {
            namespace: entry.namespace,
            idempotency_key: entry.idempotency_key,
            actor: "service:orchestrator".to_owned(),
            action: entry.action,
            summary: entry.summary,
            details_json: entry.details.to_string(),
            run_id: entry.run_id,
        };
        let mut client = self.connector.memory();
        Ok(bounded(client.log_action(request)).await?.id)
    }
}

async fn bounded<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, PeerError> {
    deadline::within(TIMEOUT, call)
        .await
        .map(tonic::Response::into_inner)
        .map_err(|status| PeerError::new(Service::Memory, &status))
}

fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

impl From<Episode> for RememberRequest {
    fn from(episode: Episode) -> Self {
        Self {
            namespace: episode.namespace,
            idempotency_key: episode.idempotency_key,
            episode: Some(WireEpisode {
                text: cut(&episode.text, EPISODE_BYTES).to_owned(),
                actor: episode.actor,
                session: episode.session,
                source: episode.source,
                occurred_at: episode.occurred_at.map(time::timestamp),
            }),
            facts: episode.facts.into_iter().map(FactInput::from).collect(),
        }
    }
}

impl From<Fact> for FactInput {
    fn from(fact: Fact) -> Self {
        Self {
            subject: fact.subject,
            predicate: fact.predicate.to_owned(),
            object: fact.object,
            ..Default::default()
        }
    }
}
