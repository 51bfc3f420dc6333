//! Entities that are one.

use alina_proto::memory::v1::{
    ListMergeSuggestionsRequest, MergeEntitiesRequest, Neighbor, UnmergeEntityRequest,
};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::{
    Asked,
    correct::{consequences_json, write_consequences},
};
use crate::failure::Failure;

impl Asked {
    pub(super) async fn merge(mut self, into: String, from: String) -> Result<(), Failure> {
        let (namespace, requested_by) = (self.namespace, "user".to_owned());
        let request = MergeEntitiesRequest { namespace, into, from, requested_by };
        let done = self.memory.merge_entities(request).await?.into_inner();
        let followed = done.consequences.unwrap_or_default();
        let value =
            json!({ "changed": done.changed, "consequences": consequences_json(&followed) });
        self.output.show(&value, |out| {
            let told = if done.changed { "they are one" } else { "they were one before" };
            writeln!(out, "{} {told}", "✓".green())?;
            write_consequences(&followed, out)
        })
    }

    pub(super) async fn unmerge(mut self, name: String) -> Result<(), Failure> {
        let (namespace, requested_by) = (self.namespace, "user".to_owned());
        let request = UnmergeEntityRequest { namespace, name, requested_by };
        let done = self.memory.unmerge_entity(request).await?.into_inner();
        let followed = done.consequences.unwrap_or_default();
        let value =
            json!({ "changed": done.changed, "consequences": consequences_json(&followed) });
        self.output.show(&value, |out| {
            let told = if done.changed {
                "it stands for itself again"
            } else {
                "it was merged into nothing under that name"
            };
            writeln!(out, "{} {told}", "✓".green())?;
            write_consequences(&followed, out)
        })
    }

    pub(super) async fn suggestions(mut self, limit: u32) -> Result<(), Failure> {
        let request = ListMergeSuggestionsRequest { namespace: self.namespace, limit };
        let found = self.memory.list_merge_suggestions(request).await?.into_inner().suggestions;
        let name = |entity: &Option<Neighbor>| {
            entity.as_ref().map_or_else(String::new, |entity| entity.name.clone())
        };
        let value: Vec<Value> = found
            .iter()
            .map(|pair| {
                json!({
                    "one": name(&pair.one),
                    "other": name(&pair.other),
                    "trigram": pair.trigram,
                    "meaning": pair.meaning,
                    "part_of_name": pair.part_of_name,
                    "reasons": pair.reasons,
                })
            })
            .collect();
        self.output.show(&Value::Array(value), |out| {
            for pair in &found {
                let (one, other) = (name(&pair.one), name(&pair.other));
                writeln!(out, "{one} = {other}?  {}", pair.reasons.join(", ").dimmed())?;
            }
            if found.is_empty() {
                writeln!(out, "no two entities look like one")?;
            }
            Ok(())
        })
    }
}
