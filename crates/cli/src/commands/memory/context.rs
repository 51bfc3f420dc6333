//! What an agent would be told.

use alina_proto::memory::v1::{BuildContextRequest, ContextProfile, SearchResult};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::Asked;
use crate::{
    arguments::{MemoryContext, Profile},
    failure::Failure,
    output::{rfc3339, when},
};

impl Asked {
    pub(super) async fn context(mut self, wish: MemoryContext) -> Result<(), Failure> {
        // Without a question there is only one.
        let start = wish.profile == Some(Profile::SessionStart) || wish.query.is_none();
        let profile =
            if start { ContextProfile::SessionStart } else { ContextProfile::Unspecified };
        let request = BuildContextRequest {
            namespace: self.namespace,
            query: wish.query.unwrap_or_default(),
            token_budget: wish.budget,
            as_of: wish.times.as_of,
            known_at: wish.times.known_at,
            profile: profile.into(),
            ..BuildContextRequest::default()
        };
        let built = self.memory.build_context(request).await?.into_inner();
        let cited: Vec<(String, SearchResult)> = built
            .citations
            .into_iter()
            .map(|cited| (cited.label, cited.item.unwrap_or_default()))
            .collect();
        let citations: Vec<Value> =
            cited.iter().map(|(label, item)| citation(label, item)).collect();
        let value =
            json!({ "context": built.context, "tokens": built.tokens, "citations": citations });
        self.output.show(&value, |out| {
            if built.context.is_empty() {
                return writeln!(out, "nothing is known");
            }
            write!(out, "{}", built.context)?;
            writeln!(out)?;
            for (label, item) in &cited {
                let at = when(item.recorded_at.as_ref());
                let line = format!("{label} {} · {at} · {}", item.id, item.reasons.join(", "));
                writeln!(out, "{}", line.dimmed())?;
            }
            Ok(())
        })
    }
}

fn citation(label: &str, item: &SearchResult) -> Value {
    json!({
        "label": label,
        "id": item.id,
        "kind": item.kind().as_str_name().trim_start_matches("ITEM_KIND_").to_lowercase(),
        "text": item.text,
        "source": item.source,
        "reasons": item.reasons,
        "recorded_at": rfc3339(item.recorded_at.as_ref()),
        "stale": item.stale,
    })
}
