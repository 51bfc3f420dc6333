//! Between the wire and the domain.

use std::fmt::Write;

use alina_proto::{
    memory::v1::{
        Action as WireAction, BankDocument, Citation, Fact, FactInput, GetEntityResponse,
        ImportBankRequest, ItemKind, LogActionRequest, RememberRequest, SearchRequest,
        SearchResult,
    },
    time::{date_time, timestamp},
};
use alina_service::status::{self, Violations};
use chrono::{DateTime, Utc};
use tonic::{Code, Status};

use crate::{
    error::MemoryError,
    knowledge::{Item, Kind, Namespace, NewEpisode, NewFact, ranking::Found, signals::NAMES},
    store::{Action, Document, Entity, NewAction, Scope},
};

const MAX_TEXT_BYTES: usize = 65_536;
const MAX_NAME_BYTES: usize = 512;
const MAX_FACTS: usize = 256;
const MAX_DOCUMENTS: usize = 256;
const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// What was learned since the documents were written.
pub(super) const LEARNED_PATH: &str = "learned.md";

fn short(text: &str, field: impl Into<String>, bad: &mut Violations) {
    let fits = text.len() <= MAX_NAME_BYTES && !text.contains('\0');
    bad.check(fits, field, "must be at most 512 bytes without NUL");
}

fn long(text: &str, field: impl Into<String>, bad: &mut Violations) {
    let fits = (1..=MAX_TEXT_BYTES).contains(&text.len()) && !text.contains('\0');
    bad.check(fits, field, "must be 1 to 65,536 bytes without NUL");
}

pub(super) fn checked_name(text: &str, field: impl Into<String>, bad: &mut Violations) {
    let fits = (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.contains('\0');
    bad.check(fits, field, "must be 1 to 512 bytes without NUL");
}

pub(super) fn checked_namespace(text: &str, bad: &mut Violations) -> Namespace {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    let fits = text.len() <= 64 && text.chars().all(plain);
    bad.check(fits, "namespace", "must be at most 64 letters, digits and any of - _ . :");
    Namespace(if text.is_empty() { "default".to_owned() } else { text.to_owned() })
}

fn time(
    wire: Option<&prost_types::Timestamp>,
    field: impl Into<String>,
    bad: &mut Violations,
) -> Option<DateTime<Utc>> {
    let at = wire.map(date_time);
    bad.check(at != Some(None), field, "must be a time between the years 1 and 9999");
    at.flatten()
}

type Checked = (Namespace, String, Option<NewEpisode>, Vec<NewFact>);

pub(super) fn checked_remember(request: RememberRequest) -> Result<Checked, Status> {
    let mut bad = Violations::default();
    let namespace = checked_namespace(&request.namespace, &mut bad);
    short(&request.idempotency_key, "idempotency_key", &mut bad);
    let given = request.episode.is_some() || !request.facts.is_empty();
    bad.check(given, "episode", "or at least one of facts is required");
    bad.check(request.facts.len() <= MAX_FACTS, "facts", "must be at most 256");
    let episode = request.episode.map(|episode| {
        long(&episode.text, "episode.text", &mut bad);
        short(&episode.actor, "episode.actor", &mut bad);
        short(&episode.session, "episode.session", &mut bad);
        short(&episode.source, "episode.source", &mut bad);
        let occurred_at = time(episode.occurred_at.as_ref(), "episode.occurred_at", &mut bad);
        NewEpisode {
            text: episode.text,
            actor: episode.actor,
            session: episode.session,
            source: episode.source,
            occurred_at,
        }
    });
    let facts = request.facts.into_iter().enumerate();
    let facts = facts.map(|(index, fact)| checked_fact(index, fact, &mut bad)).collect();
    bad.finish()?;
    Ok((namespace, request.idempotency_key, episode, facts))
}

fn checked_fact(index: usize, fact: FactInput, bad: &mut Violations) -> NewFact {
    let at = |field: &str| format!("facts[{index}].{field}");
    checked_name(&fact.subject, at("subject"), bad);
    checked_name(&fact.predicate, at("predicate"), bad);
    checked_name(&fact.object, at("object"), bad);
    let valid_from = time(fact.valid_from.as_ref(), at("valid_from"), bad);
    let valid_to = time(fact.valid_to.as_ref(), at("valid_to"), bad);
    // Absent, valid_from is the episode's time, which the caller knows.
    let ordered = valid_to.is_none() || valid_from.is_some_and(|from| Some(from) <= valid_to);
    bad.check(ordered, at("valid_to"), "must not be before valid_from, which it needs");
    NewFact {
        subject: fact.subject,
        predicate: fact.predicate,
        object: fact.object,
        object_is_entity: fact.object_is_entity,
        valid_from,
        valid_to,
        functional: fact.functional,
    }
}

pub(super) fn checked_scope(request: &SearchRequest) -> Result<Scope, Status> {
    let mut bad = Violations::default();
    let namespace = checked_namespace(&request.namespace, &mut bad);
    let query = (1..=super::MAX_QUERY_BYTES).contains(&request.query.len())
        && !request.query.contains('\0');
    bad.check(query, "query", "must be 1 to 8,192 bytes without NUL");
    bad.check(request.limit <= 100, "limit", "must be 1 to 100, or 0 for 10");
    let as_of = time(request.as_of.as_ref(), "as_of", &mut bad);
    let kinds: Vec<Option<Kind>> = request
        .kinds()
        .map(|kind| match kind {
            ItemKind::Unspecified => None,
            ItemKind::Episode => Some(Kind::Episode),
            ItemKind::Fact => Some(Kind::Fact),
            ItemKind::Entity => Some(Kind::Entity),
            ItemKind::Section => Some(Kind::Section),
        })
        .collect();
    bad.check(kinds.iter().all(Option::is_some), "kinds", "must be kinds of items");
    bad.finish()?;
    let kinds: Vec<Kind> = kinds.into_iter().flatten().collect();
    let limit = if request.limit == 0 { 10 } else { request.limit };
    let everything = Scope::everything(namespace, i64::from(limit));
    Ok(Scope {
        kinds: if kinds.is_empty() { everything.kinds.clone() } else { kinds },
        as_of: as_of.unwrap_or(everything.as_of),
        ..everything
    })
}

pub(super) fn checked_action(
    request: LogActionRequest,
) -> Result<(Namespace, String, NewAction), Status> {
    let mut bad = Violations::default();
    let namespace = checked_namespace(&request.namespace, &mut bad);
    short(&request.idempotency_key, "idempotency_key", &mut bad);
    checked_name(&request.actor, "actor", &mut bad);
    checked_name(&request.action, "action", &mut bad);
    long(&request.summary, "summary", &mut bad);
    short(&request.run_id, "run_id", &mut bad);
    let size = request.details_json.len() <= MAX_TEXT_BYTES;
    bad.check(size, "details_json", "must be at most 65,536 bytes");
    let details = match request.details_json.as_str() {
        "" => None,
        text => serde_json::from_str(text).ok().filter(serde_json::Value::is_object),
    };
    let object = details.is_some() || request.details_json.is_empty();
    // PostgreSQL's jsonb cannot hold it.
    let nul = request.details_json.contains("\\u0000");
    bad.check(object && !nul, "details_json", "must be a JSON object without \\u0000, or empty");
    bad.finish()?;
    let action = NewAction {
        actor: request.actor,
        action: request.action,
        summary: request.summary,
        details,
        run_id: request.run_id,
    };
    Ok((namespace, request.idempotency_key, action))
}

pub(super) fn checked_documents(
    request: ImportBankRequest,
) -> Result<(Namespace, Vec<Document>), Status> {
    let mut bad = Violations::default();
    let namespace = checked_namespace(&request.namespace, &mut bad);
    let count = (1..=MAX_DOCUMENTS).contains(&request.documents.len());
    bad.check(count, "documents", "must be 1 to 256");
    let mut paths = std::collections::HashSet::new();
    for (index, document) in request.documents.iter().enumerate() {
        let at = |field: &str| format!("documents[{index}].{field}");
        checked_name(&document.path, at("path"), &mut bad);
        let inside =
            !document.path.starts_with('/') && !document.path.split('/').any(|p| p == "..");
        bad.check(inside, at("path"), "must be relative and without ..");
        bad.check(paths.insert(&document.path), at("path"), "must not be given twice");
        let content =
            document.content.len() <= MAX_DOCUMENT_BYTES && !document.content.contains('\0');
        bad.check(content, at("content"), "must be at most 1 MiB without NUL");
    }
    bad.finish()?;
    let documents = request.documents.into_iter();
    let documents = documents.map(|BankDocument { path, content }| Document { path, content });
    Ok((namespace, documents.collect()))
}

/// A result that tells its signals.
pub(super) fn explained_response(found: Found) -> SearchResult {
    let signals = NAMES.iter().zip(found.signals);
    let signals = signals.map(|(name, value)| ((*name).to_owned(), value)).collect();
    SearchResult { signals, ..result_response(found) }
}

pub(super) fn result_response(found: Found) -> SearchResult {
    let Found { item, score, reasons, .. } = found;
    let kind = match item.kind {
        Kind::Episode => ItemKind::Episode,
        Kind::Fact => ItemKind::Fact,
        Kind::Entity => ItemKind::Entity,
        Kind::Section => ItemKind::Section,
    };
    SearchResult {
        id: item.id.to_string(),
        kind: kind.into(),
        text: item.text,
        score,
        reasons,
        source: item.source,
        actor: item.actor,
        session: item.session,
        valid_from: Some(timestamp(item.valid_from)),
        valid_to: item.valid_to.map(timestamp),
        recorded_at: Some(timestamp(item.recorded_at)),
        ..SearchResult::default()
    }
}

pub(super) fn citation((number, found): (u32, Found)) -> Citation {
    Citation { label: format!("[{number}]"), item: Some(result_response(found)) }
}

pub(super) fn entity_response(entity: Entity) -> GetEntityResponse {
    let facts = entity.facts.into_iter().map(|fact| Fact {
        id: fact.id.to_string(),
        subject: fact.subject,
        predicate: fact.predicate,
        object: fact.object,
        valid_from: Some(timestamp(fact.valid_from)),
        valid_to: fact.valid_to.map(timestamp),
        recorded_at: Some(timestamp(fact.recorded_at)),
        episode_id: fact.episode_id.map(|id| id.to_string()).unwrap_or_default(),
    });
    GetEntityResponse {
        id: entity.id.to_string(),
        name: entity.name,
        aliases: entity.aliases,
        facts: facts.collect(),
    }
}

impl From<Action> for WireAction {
    fn from(action: Action) -> Self {
        Self {
            id: action.id.to_string(),
            at: Some(timestamp(action.at)),
            actor: action.what.actor,
            action: action.what.action,
            summary: action.what.summary,
            details_json: action
                .what
                .details
                .map(|details| details.to_string())
                .unwrap_or_default(),
            run_id: action.what.run_id,
        }
    }
}

/// `learned.md`: facts and what happened lately; nothing when there is neither.
pub(super) fn learned(items: &[Item]) -> Option<BankDocument> {
    let mut content = String::from("# Learned\n");
    for (kind, title) in [(Kind::Fact, "Facts"), (Kind::Episode, "What happened")] {
        let of_kind: Vec<&Item> = items.iter().filter(|item| item.kind == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(content, "\n## {title}\n");
        for item in of_kind {
            let text = item.text.split_whitespace().collect::<Vec<_>>().join(" ");
            let day = item.valid_from.format("%Y-%m-%d");
            let source = if item.source.is_empty() { "" } else { &item.source };
            let _ = writeln!(content, "- {day}: {text} ({source})");
        }
    }
    let any = items.iter().any(|item| matches!(item.kind, Kind::Fact | Kind::Episode));
    any.then(|| BankDocument { path: LEARNED_PATH.to_owned(), content })
}

pub(super) fn failure(error: MemoryError) -> Status {
    let message = error.to_string();
    match error {
        MemoryError::StoreUnavailable(_) => {
            status::error(Code::Unavailable, "STORE_UNAVAILABLE", message)
        }
        MemoryError::KeyReused(_) => status::error(Code::AlreadyExists, "KEY_REUSED", message),
        MemoryError::NoEntity(name) => {
            status::resource(Code::NotFound, "NOT_FOUND", "entity", name, message)
        }
        MemoryError::Store(_) | MemoryError::StoredAnswer(_) => {
            tracing::error!(error = message, "a request failed");
            Status::internal("a fault in the service; see its log")
        }
    }
}
