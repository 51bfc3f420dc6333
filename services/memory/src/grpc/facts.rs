//! Facts, their corrections, and the times reads are of.

use alina_proto::{memory::v1 as wire, time::timestamp};
use alina_service::status::Violations;
use chrono::Utc;
use prost_types::Timestamp;
use tonic::Status;

use super::{
    Grpc,
    convert::{checked_id, checked_name, checked_namespace, short, time},
    failure::failure,
};
use crate::{
    knowledge::belief::{self, Version, View},
    store::{Cost, KnownFact},
};

/// Of when a read is.
pub(super) fn checked_view(
    as_of: Option<&Timestamp>,
    known_at: Option<&Timestamp>,
    include_stale: Option<bool>,
    bad: &mut Violations,
) -> View {
    View {
        as_of: time(as_of, "as_of", bad).unwrap_or_else(Utc::now),
        known_at: time(known_at, "known_at", bad),
        include_stale: include_stale.unwrap_or(true),
    }
}

impl From<KnownFact> for wire::Fact {
    fn from(fact: KnownFact) -> Self {
        Self {
            id: fact.id.to_string(),
            subject: fact.subject,
            predicate: fact.predicate,
            object: fact.object,
            valid_from: Some(timestamp(fact.valid_from)),
            valid_to: fact.valid_to.map(timestamp),
            recorded_at: Some(timestamp(fact.recorded_at)),
            episode_id: fact.episode_id.map(|id| id.to_string()).unwrap_or_default(),
            stale: !fact.doubts.is_empty(),
            stale_because: fact.doubts,
            derived_from: fact.derived_from.iter().map(ToString::to_string).collect(),
            retracted_at: fact.retracted_at.map(timestamp),
            functional: fact.functional,
            subject_id: fact.subject_id.to_string(),
            object_id: fact.object_id.map(|id| id.to_string()).unwrap_or_default(),
        }
    }
}

impl From<Version> for wire::Belief {
    fn from(version: Version) -> Self {
        Self {
            valid_from: Some(timestamp(version.valid_from)),
            valid_to: version.valid_to.map(timestamp),
            since: Some(timestamp(version.since)),
            until: version.until.map(timestamp),
            reason: version.reason,
        }
    }
}

/// So many ids are told of each kind.
const MOST_TOLD: usize = 1_000;

impl From<belief::Consequences> for wire::Consequences {
    fn from(followed: belief::Consequences) -> Self {
        let told =
            |ids: Vec<uuid::Uuid>| ids.iter().take(MOST_TOLD).map(ToString::to_string).collect();
        Self {
            now_stale: told(followed.now_stale),
            now_holding: told(followed.now_holding),
            revised: told(followed.revised),
        }
    }
}

impl Grpc {
    pub(super) async fn retracted(
        &self,
        request: wire::RetractRequest,
    ) -> Result<wire::RetractResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        let id = checked_id(&request.id, "id", &mut bad);
        short(&request.reason, "reason", &mut bad);
        bad.finish()?;
        // Checked above.
        let id = id.unwrap_or_default();
        let done = self.store.retract(&namespace, id, &request.reason).await;
        let (changed, consequences) = done.map_err(failure)?;
        Ok(wire::RetractResponse { changed, consequences: Some(consequences.into()) })
    }

    pub(super) async fn restored(
        &self,
        request: wire::RestoreRequest,
    ) -> Result<wire::RestoreResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        let id = checked_id(&request.id, "id", &mut bad);
        bad.finish()?;
        let done = self.store.restore(&namespace, id.unwrap_or_default()).await;
        let (changed, consequences) = done.map_err(failure)?;
        Ok(wire::RestoreResponse { changed, consequences: Some(consequences.into()) })
    }

    pub(super) async fn revised(
        &self,
        request: wire::ReviseRequest,
    ) -> Result<wire::ReviseResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        let id = checked_id(&request.id, "id", &mut bad);
        let from = time(request.valid_from.as_ref(), "valid_from", &mut bad);
        let to = time(request.valid_to.as_ref(), "valid_to", &mut bad);
        let ordered = from.is_none() || to.is_none() || from <= to;
        bad.check(ordered, "valid_to", "must not be before valid_from");
        bad.finish()?;
        let done = self.store.revise(&namespace, id.unwrap_or_default(), from, to).await;
        let (from, to, consequences) = done.map_err(failure)?;
        Ok(wire::ReviseResponse {
            valid_from: Some(timestamp(from)),
            valid_to: to.map(timestamp),
            consequences: Some(consequences.into()),
        })
    }

    pub(super) async fn described(
        &self,
        request: wire::DescribeEntityRequest,
    ) -> Result<wire::DescribeEntityResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        checked_name(&request.name, "name", &mut bad);
        short(&request.r#type, "type", &mut bad);
        let most = crate::store::MOST_ALIASES;
        bad.check(request.add_aliases.len() <= most, "add_aliases", "must be at most 64");
        for (place, alias) in request.add_aliases.iter().enumerate() {
            checked_name(alias, format!("add_aliases[{place}]"), &mut bad);
        }
        bad.finish()?;
        let entity = self
            .store
            .describe(&namespace, &request.name, &request.r#type, &request.add_aliases)
            .await
            .map_err(failure)?;
        self.written.notify_one();
        Ok(wire::DescribeEntityResponse {
            id: entity.id.to_string(),
            name: entity.name,
            r#type: entity.kind,
            aliases: entity.aliases,
        })
    }
}

impl From<Cost> for wire::ExtractionCost {
    fn from(cost: Cost) -> Self {
        Self {
            episodes: cost.episodes.unsigned_abs(),
            facts: cost.facts.unsigned_abs(),
            refused: cost.refused.unsigned_abs(),
            tokens: cost.tokens.unsigned_abs(),
            time: Some(prost_types::Duration {
                seconds: cost.micros / 1_000_000,
                nanos: i32::try_from(cost.micros % 1_000_000 * 1_000).unwrap_or(0),
            }),
        }
    }
}
