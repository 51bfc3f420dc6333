//! Deleting for good.

use alina_proto::{
    memory::v1::{Export, ForgetRequest, ForgetResponse, forget_request::Target as WireTarget},
    time::timestamp,
};
use alina_service::status::Violations;
use tonic::Status;

use super::{
    Grpc,
    convert::{checked_id, checked_name, checked_namespace, short},
    failure::failure,
};
use crate::{
    knowledge::Namespace,
    store::{Forgotten, Target, Wish},
};

fn checked(request: ForgetRequest) -> Result<(Namespace, Wish), Status> {
    let mut bad = Violations::default();
    let namespace = checked_namespace(&request.namespace, &mut bad);
    let mut name = |text: String, field: &str| {
        checked_name(&text, field, &mut bad);
        text
    };
    let target = match request.target {
        None => None,
        Some(WireTarget::Id(id)) => checked_id(&id, "id", &mut bad).map(Target::Item),
        Some(WireTarget::Entity(text)) => Some(Target::Entity(name(text, "entity"))),
        Some(WireTarget::Actor(text)) => Some(Target::Actor(name(text, "actor"))),
        Some(WireTarget::Session(text)) => Some(Target::Session(name(text, "session"))),
        Some(WireTarget::Document(text)) => Some(Target::Document(name(text, "document"))),
    };
    let named = matches!(target, Some(Target::Entity(_) | Target::Actor(_)));
    bad.check(
        named || !request.mentions,
        "mentions",
        "must be false unless entity or actor is set",
    );
    short(&request.requested_by, "requested_by", &mut bad);
    let Some(target) = target else {
        bad.add("target", "one of id, entity, actor, session and document is required");
        bad.finish()?;
        return Err(Status::invalid_argument("target is required"));
    };
    bad.finish()?;
    let requested_by = match request.requested_by {
        nobody if nobody.is_empty() => "user".to_owned(),
        somebody => somebody,
    };
    let (mentions, dry_run) = (request.mentions, request.dry_run);
    Ok((namespace, Wish { target, mentions, requested_by, dry_run }))
}

impl Grpc {
    pub(super) async fn forgotten(&self, request: ForgetRequest) -> Result<ForgetResponse, Status> {
        let (namespace, wish) = checked(request)?;
        let forgotten = self.store.forget(&namespace, &wish).await.map_err(failure)?;
        // Files of what is forgotten are to go.
        self.bank.changed(&namespace);
        let caches_cleared = !wish.dry_run && self.cache.clear(&namespace).await;
        Ok(response(forgotten, caches_cleared))
    }
}

fn response(forgotten: Forgotten, caches_cleared: bool) -> ForgetResponse {
    let [episodes, facts, entities, sections] = forgotten.items;
    let exports = forgotten.exports.iter().map(|export| Export {
        at: Some(timestamp(export.at)),
        items: u32::try_from(export.items).unwrap_or(u32::MAX),
    });
    ForgetResponse {
        episodes,
        facts,
        entities,
        sections,
        tombstones: forgotten.tombstones,
        vectors: forgotten.vectors,
        caches_cleared,
        exports: exports.collect(),
        remaining_mentions: forgotten.remaining,
    }
}
