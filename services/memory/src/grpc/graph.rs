//! Why, when, and what is linked to what.

use alina_proto::{memory::v1 as wire, time::timestamp};
use alina_service::status::Violations;
use chrono::{DateTime, Utc};
use tonic::Status;
use uuid::Uuid;

use super::{
    Grpc,
    convert::{checked_id, checked_name, checked_namespace, item_kind, short, time},
    facts::checked_view,
    failure::failure,
};
use crate::{
    knowledge::belief::{Standing, View},
    store::{Near, Period, Place, Reason, TimelineEntry, Walk},
};

const MAX_PREDICATES: usize = 64;

impl From<Standing> for wire::Standing {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Holds => Self::Holds,
            Standing::Stale => Self::Stale,
            Standing::Ended => Self::Ended,
            Standing::Future => Self::Future,
            Standing::Retracted => Self::Retracted,
            Standing::Unknown => Self::Unknown,
        }
    }
}

impl From<Reason> for wire::Reason {
    fn from(Reason { item, standing, because, derived_from }: Reason) -> Self {
        Self {
            id: item.id.to_string(),
            kind: item_kind(item.kind).into(),
            text: item.text,
            standing: wire::Standing::from(standing).into(),
            because,
            derived_from: derived_from.iter().map(ToString::to_string).collect(),
            valid_from: Some(timestamp(item.valid_from)),
            valid_to: item.valid_to.map(timestamp),
            recorded_at: Some(timestamp(item.recorded_at)),
            actor: item.actor,
            source: item.source,
        }
    }
}

impl From<TimelineEntry> for wire::TimelineEntry {
    fn from(entry: TimelineEntry) -> Self {
        Self {
            fact: Some(entry.fact.into()),
            beliefs: entry.beliefs.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Near> for wire::Neighbor {
    fn from(near: Near) -> Self {
        Self { id: near.id.to_string(), name: near.name, r#type: near.kind, hops: near.hops }
    }
}

impl Grpc {
    pub(super) async fn explained(
        &self,
        request: wire::ExplainRequest,
    ) -> Result<wire::ExplainResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        let id = checked_id(&request.id, "id", &mut bad);
        let (as_of, known_at) = (request.as_of.as_ref(), request.known_at.as_ref());
        let view = checked_view(as_of, known_at, None, &mut bad);
        bad.finish()?;
        let told = self.store.explain(&namespace, id.unwrap_or_default(), &view).await;
        let (reasons, truncated) = told.map_err(failure)?;
        let reasons = reasons.into_iter().map(Into::into).collect();
        Ok(wire::ExplainResponse { reasons, truncated })
    }

    pub(super) async fn timeline_of(
        &self,
        request: wire::TimelineRequest,
    ) -> Result<wire::TimelineResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        checked_name(&request.entity, "entity", &mut bad);
        short(&request.predicate, "predicate", &mut bad);
        let from = time(request.from.as_ref(), "from", &mut bad);
        let to = time(request.to.as_ref(), "to", &mut bad);
        let ordered = from.is_none() || to.is_none() || from <= to;
        bad.check(ordered, "to", "must not be before from");
        bad.check(request.page_size <= 500, "page_size", "must be 1 to 500, or 0 for 100");
        let after = match request.page_token.as_str() {
            "" => None,
            token => {
                let place = place(token);
                bad.check(place.is_some(), "page_token", "must be a next_page_token or empty");
                place
            }
        };
        let (as_of, known_at) = (request.as_of.as_ref(), request.known_at.as_ref());
        let view = checked_view(as_of, known_at, None, &mut bad);
        bad.finish()?;
        let size = if request.page_size == 0 { 100 } else { request.page_size };
        let predicate = request.predicate;
        let period = Period { predicate, from, to, after, limit: i64::from(size) };
        let told = self.store.timeline(&namespace, &request.entity, &period, &view).await;
        let entries = told.map_err(failure)?;
        let full = entries.len() == size as usize;
        let last = entries.last().filter(|_| full).map(|entry| &entry.fact);
        let next = last.map(|last| format!("{}:{}", last.valid_from.timestamp_micros(), last.id));
        Ok(wire::TimelineResponse {
            entries: entries.into_iter().map(Into::into).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    pub(super) async fn around(
        &self,
        request: wire::NeighborsRequest,
    ) -> Result<wire::NeighborsResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        checked_name(&request.entity, "entity", &mut bad);
        bad.check(request.hops <= 4, "hops", "must be 1 to 4, or 0 for 1");
        bad.check(request.limit <= 500, "limit", "must be 1 to 500, or 0 for 100");
        let few = request.predicates.len() <= MAX_PREDICATES;
        bad.check(few, "predicates", "must be at most 64");
        for (place, predicate) in request.predicates.iter().take(MAX_PREDICATES).enumerate() {
            checked_name(predicate, format!("predicates[{place}]"), &mut bad);
        }
        let view = view_of(&request.as_of, &request.known_at, request.include_stale, &mut bad);
        bad.finish()?;
        let limit = if request.limit == 0 { 100 } else { request.limit };
        let walk = Walk {
            hops: request.hops.max(1),
            limit: limit as usize,
            predicates: request.predicates,
        };
        let around = self.store.neighbors(&namespace, &request.entity, &walk, &view).await;
        let around = around.map_err(failure)?;
        Ok(wire::NeighborsResponse {
            neighbors: around.entities.into_iter().map(Into::into).collect(),
            facts: around.facts.into_iter().map(Into::into).collect(),
            truncated: around.truncated,
        })
    }

    pub(super) async fn way(
        &self,
        request: wire::PathRequest,
    ) -> Result<wire::PathResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        checked_name(&request.from, "from", &mut bad);
        checked_name(&request.to, "to", &mut bad);
        bad.check(request.max_hops <= 6, "max_hops", "must be 1 to 6, or 0 for 4");
        let view = view_of(&request.as_of, &request.known_at, request.include_stale, &mut bad);
        bad.finish()?;
        let hops = if request.max_hops == 0 { 4 } else { request.max_hops };
        let ends = (request.from.as_str(), request.to.as_str());
        let route = self.store.path(&namespace, ends, hops, &view).await.map_err(failure)?;
        Ok(wire::PathResponse {
            found: route.found,
            facts: route.facts.into_iter().map(Into::into).collect(),
            entities: route.entities.into_iter().map(Into::into).collect(),
            truncated: route.truncated,
        })
    }
}

fn view_of(
    as_of: &Option<prost_types::Timestamp>,
    known_at: &Option<prost_types::Timestamp>,
    include_stale: Option<bool>,
    bad: &mut Violations,
) -> View {
    checked_view(as_of.as_ref(), known_at.as_ref(), include_stale, bad)
}

/// A place in a timeline, as a page's token tells it.
fn place(token: &str) -> Option<Place> {
    let (micros, id) = token.split_once(':')?;
    let at = DateTime::<Utc>::from_timestamp_micros(micros.parse().ok()?)?;
    Some((at, Uuid::try_parse(id).ok()?))
}
