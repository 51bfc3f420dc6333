//! Deleting for good.

use alina_proto::memory::v1::{ForgetRequest, forget_request::Target};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::Asked;
use crate::{
    arguments::{Forget, ForgetTarget},
    failure::Failure,
    output::{rfc3339, when},
};

fn target(asked: ForgetTarget) -> Option<Target> {
    let ForgetTarget { id, entity, actor, session, document } = asked;
    let id = id.map(Target::Id).or(entity.map(Target::Entity)).or(actor.map(Target::Actor));
    id.or(session.map(Target::Session)).or(document.map(Target::Document))
}

impl Asked {
    pub(super) async fn forget(mut self, forget: Forget) -> Result<(), Failure> {
        let request = ForgetRequest {
            namespace: self.namespace,
            target: target(forget.target),
            mentions: forget.mentions,
            requested_by: "user".to_owned(),
            dry_run: !forget.yes,
        };
        let gone = self.memory.forget(request).await?.into_inner();
        let exports: Vec<Value> = gone
            .exports
            .iter()
            .map(|export| json!({ "at": rfc3339(export.at.as_ref()), "items": export.items }))
            .collect();
        let value = json!({
            "deleted": forget.yes,
            "episodes": gone.episodes,
            "facts": gone.facts,
            "entities": gone.entities,
            "sections": gone.sections,
            "tombstones": gone.tombstones,
            "vectors": gone.vectors,
            "caches_cleared": gone.caches_cleared,
            "exports": exports,
            "remaining_mentions": gone.remaining_mentions,
        });
        self.output.show(&value, |out| {
            let (sign, done) =
                if forget.yes { ("✓", "deleted") } else { ("…", "would be deleted") };
            writeln!(
                out,
                "{} {done}: {} episodes, {} facts, {} entities, {} sections, {} vectors; {} entries \
                 of the log",
                sign.green(),
                gone.episodes,
                gone.facts,
                gone.entities,
                gone.sections,
                gone.vectors,
                gone.tombstones
            )?;
            for export in &gone.exports {
                let at = when(export.at.as_ref());
                writeln!(out, "  an export of {at} holds {} of it", export.items)?;
            }
            for place in &gone.remaining_mentions {
                writeln!(out, "  still named in {place}")?;
            }
            if forget.yes && !gone.caches_cleared {
                writeln!(out, "  {}", "Redis is away: cached answers go by themselves".yellow())?;
            }
            if !forget.yes {
                writeln!(out, "  {}", "nothing was deleted: repeat with --yes".yellow())?;
            }
            Ok(())
        })
    }
}
