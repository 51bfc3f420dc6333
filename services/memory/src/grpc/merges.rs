//! Entities that are one.

use alina_proto::memory::v1 as wire;
use alina_service::status::Violations;
use tonic::Status;

use super::{
    Grpc,
    convert::{checked_name, checked_namespace, short},
    failure::failure,
};
use crate::{
    knowledge::resolution::{ALIKE, NEAR},
    store::Suggestion,
};

impl Grpc {
    pub(super) async fn merged(
        &self,
        request: wire::MergeEntitiesRequest,
    ) -> Result<wire::MergeEntitiesResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        checked_name(&request.into, "into", &mut bad);
        checked_name(&request.from, "from", &mut bad);
        short(&request.requested_by, "requested_by", &mut bad);
        bad.finish()?;
        let names = (request.into.as_str(), request.from.as_str());
        let by = somebody(&request.requested_by);
        let merged = self.store.merge(&namespace, names, by).await;
        let (changed, consequences) = merged.map_err(failure)?;
        Ok(wire::MergeEntitiesResponse { changed, consequences: Some(consequences.into()) })
    }

    pub(super) async fn unmerged(
        &self,
        request: wire::UnmergeEntityRequest,
    ) -> Result<wire::UnmergeEntityResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        checked_name(&request.name, "name", &mut bad);
        short(&request.requested_by, "requested_by", &mut bad);
        bad.finish()?;
        let by = somebody(&request.requested_by);
        let unmerged = self.store.unmerge(&namespace, &request.name, by).await;
        let (changed, consequences) = unmerged.map_err(failure)?;
        Ok(wire::UnmergeEntityResponse { changed, consequences: Some(consequences.into()) })
    }

    pub(super) async fn suggested(
        &self,
        request: wire::ListMergeSuggestionsRequest,
    ) -> Result<wire::ListMergeSuggestionsResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        bad.check(request.limit <= 500, "limit", "must be at most 500");
        bad.finish()?;
        let limit = if request.limit == 0 { 50 } else { i64::from(request.limit) };
        let suggestions = self.store.merge_suggestions(&namespace, limit).await.map_err(failure)?;
        let suggestions = suggestions.into_iter().map(Into::into).collect();
        Ok(wire::ListMergeSuggestionsResponse { suggestions })
    }
}

fn somebody(requested_by: &str) -> &str {
    if requested_by.is_empty() { "user" } else { requested_by }
}

impl From<Suggestion> for wire::MergeSuggestion {
    fn from(suggestion: Suggestion) -> Self {
        let entity = |(id, name, kind): (uuid::Uuid, String, String)| wire::Neighbor {
            id: id.to_string(),
            name,
            r#type: kind,
            hops: 0,
        };
        let mut reasons = Vec::new();
        if suggestion.part {
            reasons.push("one name is a part of the other".to_owned());
        }
        if suggestion.trigram >= ALIKE {
            reasons.push(format!("spelt alike ({:.2})", suggestion.trigram));
        }
        if suggestion.meaning >= NEAR {
            reasons.push(format!("near in meaning ({:.2})", suggestion.meaning));
        }
        Self {
            one: Some(entity(suggestion.one)),
            other: Some(entity(suggestion.other)),
            trigram: suggestion.trigram,
            meaning: suggestion.meaning,
            part_of_name: suggestion.part,
            reasons,
        }
    }
}
