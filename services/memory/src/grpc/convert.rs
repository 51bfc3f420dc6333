//! Between the wire and the domain.

use std::fmt::Write;

use alina_proto::{
    memory::v1::{
        BankDocument, Citation, FactInput, GetEntityResponse, ImportBankRequest, ItemKind,
        RememberRequest, SearchRequest, SearchResult,
    },
    time::{date_time, timestamp},
};
use alina_service::status::Violations;
use chrono::{DateTime, Utc};
use tonic::Status;
use uuid::Uuid;

use crate::{
    knowledge::{
        Item, Kind, Namespace, NewEpisode, NewFact,
        bank::{LARGEST, LEARNED},
        belief,
        ranking::Found,
        signals::NAMES,
    },
    recall::Doubts,
    store::{Document, Entity, Scope},
};

pub(super) const MAX_TEXT_BYTES: usize = 65_536;
const MAX_NAME_BYTES: usize = 512;
const MAX_FACTS: usize = 256;
const MAX_GROUNDS: usize = 64;
const MAX_DOCUMENTS: usize = 256;

pub(super) fn short(text: &str, field: impl Into<String>, bad: &mut Violations) {
    let fits = text.len() <= MAX_NAME_BYTES && !text.contains('\0');
    bad.check(fits, field, "must be at most 512 bytes without NUL");
}

pub(super) fn long(text: &str, field: impl Into<String>, bad: &mut Violations) {
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

pub(super) fn time(
    wire: Option<&prost_types::Timestamp>,
    field: impl Into<String>,
    bad: &mut Violations,
) -> Option<DateTime<Utc>> {
    let at = wire.map(date_time);
    bad.check(at != Some(None), field, "must be a time between the years 1 and 9999");
    at.flatten()
}

/// An id as the service gives them.
pub(super) fn checked_id(
    text: &str,
    field: impl Into<String>,
    bad: &mut Violations,
) -> Option<Uuid> {
    // The plain form only: 32 digits in groups.
    let id = Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
    bad.check(id.is_some(), field, "must be an id that this service gave");
    id
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
    let facts: Vec<NewFact> =
        facts.map(|(index, fact)| checked_fact(index, fact, &mut bad)).collect();
    let links: Vec<Vec<usize>> = facts.iter().map(|fact| fact.derived_from_facts.clone()).collect();
    if let Some(place) = belief::circular(&links) {
        let field = format!("facts[{place}].derived_from_facts");
        bad.add(field, "must be places of other facts of the request, and not lead in a circle");
    }
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
    let grounds = fact.derived_from.len() + fact.derived_from_facts.len() <= MAX_GROUNDS;
    bad.check(grounds, at("derived_from"), "must be at most 64, derived_from_facts included");
    let ids = fact.derived_from.iter().enumerate();
    let derived_from = ids.filter_map(|(place, id)| {
        let field = format!("facts[{index}].derived_from[{place}]");
        checked_id(id, field, bad)
    });
    let derived_from = derived_from.collect();
    short(&fact.subject_type, at("subject_type"), bad);
    short(&fact.object_type, at("object_type"), bad);
    let typed = fact.object_is_entity || fact.object_type.is_empty();
    bad.check(typed, at("object_type"), "must be empty unless object_is_entity");
    let places = fact.derived_from_facts.iter();
    let derived_from_facts =
        places.map(|place| usize::try_from(*place).unwrap_or(usize::MAX)).collect();
    NewFact {
        subject: fact.subject,
        predicate: fact.predicate,
        object: fact.object,
        object_is_entity: fact.object_is_entity,
        valid_from,
        valid_to,
        functional: fact.functional,
        derived_from,
        derived_from_facts,
        subject_type: fact.subject_type,
        object_type: fact.object_type,
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
    let known_at = time(request.known_at.as_ref(), "known_at", &mut bad);
    let kinds: Vec<Option<Kind>> = request
        .kinds()
        .map(|kind| match kind {
            ItemKind::Unspecified | ItemKind::Action => None,
            ItemKind::Episode => Some(Kind::Episode),
            ItemKind::Fact => Some(Kind::Fact),
            ItemKind::Entity => Some(Kind::Entity),
            ItemKind::Section => Some(Kind::Section),
        })
        .collect();
    bad.check(
        kinds.iter().all(Option::is_some),
        "kinds",
        "must be EPISODE, FACT, ENTITY or SECTION",
    );
    bad.finish()?;
    let kinds: Vec<Kind> = kinds.into_iter().flatten().collect();
    let limit = if request.limit == 0 { 10 } else { request.limit };
    let everything = Scope::everything(namespace, i64::from(limit));
    Ok(Scope {
        kinds: if kinds.is_empty() { everything.kinds.clone() } else { kinds },
        as_of: as_of.unwrap_or(everything.as_of),
        known_at,
        include_stale: request.include_stale.unwrap_or(true),
        ..everything
    })
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
        let content = document.content.len() <= LARGEST && !document.content.contains('\0');
        bad.check(content, at("content"), "must be at most 1 MiB without NUL");
    }
    bad.finish()?;
    let documents = request.documents.into_iter();
    let documents = documents.map(|BankDocument { path, content }| Document { path, content });
    Ok((namespace, documents.collect()))
}

/// A result that tells its signals.
pub(super) fn explained_response(found: Found, doubts: &mut Doubts) -> SearchResult {
    let signals = NAMES.iter().zip(found.signals);
    let signals = signals.map(|(name, value)| ((*name).to_owned(), value)).collect();
    SearchResult { signals, ..result_response(found, doubts) }
}

pub(super) fn item_kind(kind: Kind) -> ItemKind {
    match kind {
        Kind::Episode => ItemKind::Episode,
        Kind::Fact => ItemKind::Fact,
        Kind::Entity => ItemKind::Entity,
        Kind::Section => ItemKind::Section,
    }
}

pub(super) fn result_response(found: Found, doubts: &mut Doubts) -> SearchResult {
    let Found { item, score, reasons, .. } = found;
    let stale_because = doubts.remove(&item.id).unwrap_or_default();
    SearchResult {
        id: item.id.to_string(),
        kind: item_kind(item.kind).into(),
        text: item.text,
        score,
        reasons,
        source: item.source,
        actor: item.actor,
        session: item.session,
        valid_from: Some(timestamp(item.valid_from)),
        valid_to: item.valid_to.map(timestamp),
        recorded_at: Some(timestamp(item.recorded_at)),
        stale: !stale_because.is_empty(),
        stale_because,
        ..SearchResult::default()
    }
}

pub(super) fn citation(number: u32, found: Found, doubts: &mut Doubts) -> Citation {
    Citation { label: format!("[{number}]"), item: Some(result_response(found, doubts)) }
}

pub(super) fn entity_response(entity: Entity) -> GetEntityResponse {
    GetEntityResponse {
        id: entity.id.to_string(),
        name: entity.name,
        aliases: entity.aliases,
        facts: entity.facts.into_iter().map(Into::into).collect(),
        r#type: entity.kind,
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
    any.then(|| BankDocument { path: LEARNED.to_owned(), content })
}
