//! Why, and what is linked to what.

use std::collections::{HashMap, HashSet};

use alina_proto::memory::v1::{
    ExplainRequest, Fact, ItemKind, Neighbor, NeighborsRequest, PathRequest, Reason, Standing,
};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::{Asked, day, tree::Tree};
use crate::{
    arguments::Times,
    failure::Failure,
    output::{brief, rfc3339},
};

/// What is asked for.
pub(super) struct Around {
    pub(super) entity: String,
    pub(super) hops: u32,
    pub(super) limit: u32,
    pub(super) predicates: Vec<String>,
}

impl Asked {
    pub(super) async fn explain(mut self, id: String, times: Times) -> Result<(), Failure> {
        let (as_of, known_at) = (times.as_of, times.known_at);
        let request = ExplainRequest { namespace: self.namespace, id, as_of, known_at };
        let told = self.memory.explain(request).await?.into_inner();
        let reasons: Vec<Value> = told.reasons.iter().map(reason_json).collect();
        let value = json!({ "reasons": reasons, "truncated": told.truncated });
        self.output.show(&value, |out| {
            if let Some(first) = told.reasons.first() {
                let all = told.reasons.iter().map(|reason| (reason.id.as_str(), reason));
                reason_tree(&first.id, &all.collect(), &mut HashSet::new()).write(out)?;
            }
            if told.truncated {
                writeln!(out, "{}", "there is more below".yellow())?;
            }
            Ok(())
        })
    }

    pub(super) async fn neighbors(mut self, around: Around, times: Times) -> Result<(), Failure> {
        let Around { entity, hops, limit, predicates } = around;
        let request = NeighborsRequest {
            namespace: self.namespace,
            entity,
            hops,
            limit,
            predicates,
            as_of: times.as_of,
            known_at: times.known_at,
            include_stale: None,
        };
        let told = self.memory.neighbors(request).await?.into_inner();
        let value = json!({
            "neighbors": told.neighbors.iter().map(neighbor_json).collect::<Vec<_>>(),
            "facts": told.facts.iter().map(fact_json).collect::<Vec<_>>(),
            "truncated": told.truncated,
        });
        self.output.show(&value, |out| {
            neighbor_tree(&told.neighbors, &told.facts).write(out)?;
            if told.truncated {
                writeln!(out, "{}", "there is more: see --limit".yellow())?;
            }
            Ok(())
        })
    }

    pub(super) async fn path(
        mut self,
        from: String,
        to: String,
        max_hops: u32,
        times: Times,
    ) -> Result<(), Failure> {
        let request = PathRequest {
            namespace: self.namespace,
            from,
            to,
            max_hops,
            as_of: times.as_of,
            known_at: times.known_at,
            include_stale: None,
        };
        let told = self.memory.path(request).await?.into_inner();
        let value = json!({
            "found": told.found,
            "entities": told.entities.iter().map(neighbor_json).collect::<Vec<_>>(),
            "facts": told.facts.iter().map(fact_json).collect::<Vec<_>>(),
            "truncated": told.truncated,
        });
        self.output.show(&value, |out| {
            if told.truncated {
                return writeln!(
                    out,
                    "too much lies between them; with fewer --max-hops it is sought in less"
                );
            }
            if !told.found {
                return writeln!(out, "no way of {max_hops} facts or fewer");
            }
            if let Some(first) = told.entities.first() {
                writeln!(out, "{}", titled(first))?;
            }
            for (fact, reached) in told.facts.iter().zip(told.entities.iter().skip(1)) {
                writeln!(out, "  {}", link(fact, reached))?;
            }
            Ok(())
        })
    }
}

fn standing(reason: &Reason) -> &'static str {
    match reason.standing() {
        Standing::Unspecified => "",
        Standing::Holds => "holds",
        Standing::Stale => "stale",
        Standing::Ended => "ended",
        Standing::Future => "future",
        Standing::Retracted => "retracted",
        Standing::Unknown => "unknown",
    }
}

fn reason_json(reason: &Reason) -> Value {
    json!({
        "id": reason.id,
        "kind": reason.kind().as_str_name().trim_start_matches("ITEM_KIND_").to_lowercase(),
        "text": reason.text,
        "standing": standing(reason),
        "because": reason.because,
        "derived_from": reason.derived_from,
        "valid_from": rfc3339(reason.valid_from.as_ref()),
        "valid_to": rfc3339(reason.valid_to.as_ref()),
        "recorded_at": rfc3339(reason.recorded_at.as_ref()),
        "actor": reason.actor,
        "source": reason.source,
    })
}

/// What rests on several is told of once.
fn reason_tree<'r>(
    id: &'r str,
    all: &HashMap<&str, &'r Reason>,
    told: &mut HashSet<&'r str>,
) -> Tree {
    let Some(reason) = all.get(id) else {
        return Tree { line: format!("… {}", id.dimmed()), under: Vec::new() };
    };
    let line = reason_line(reason);
    if !told.insert(id) {
        return Tree { line: format!("{line} {}", "(see above)".dimmed()), under: Vec::new() };
    }
    let under = reason.derived_from.iter().map(|ground| reason_tree(ground, all, told));
    Tree { line, under: under.collect() }
}

fn reason_line(reason: &Reason) -> String {
    let text = brief(&reason.text, 160);
    let since = day(reason.valid_from.as_ref(), "");
    let (said, at) = match reason.kind() {
        ItemKind::Episode if reason.actor.is_empty() => (format!("“{text}”"), since),
        ItemKind::Episode => (format!("“{text}”"), format!("{} · {since}", reason.actor)),
        ItemKind::Section => (text, reason.source.clone()),
        _ => (text, span(reason.valid_from.as_ref(), reason.valid_to.as_ref())),
    };
    let because = brief(&reason.because, 160);
    match reason.standing() {
        Standing::Holds => format!("{} {said}  {}", "✓".green(), at.dimmed()),
        // Those it rests on say what.
        Standing::Stale => format!("{} {said}  {} {}", "?".yellow(), at.dimmed(), "stale".yellow()),
        _ => format!("{} {said}  {} {}", "✗".red(), at.dimmed(), because.red()),
    }
}

fn span(from: Option<&prost_types::Timestamp>, to: Option<&prost_types::Timestamp>) -> String {
    format!("{} … {}", day(from, ""), day(to, "")).trim_end().to_owned()
}

pub(super) fn fact_json(fact: &Fact) -> Value {
    json!({
        "id": fact.id,
        "subject": fact.subject,
        "subject_id": fact.subject_id,
        "predicate": fact.predicate,
        "object": fact.object,
        "object_id": fact.object_id,
        "valid_from": rfc3339(fact.valid_from.as_ref()),
        "valid_to": rfc3339(fact.valid_to.as_ref()),
        "recorded_at": rfc3339(fact.recorded_at.as_ref()),
        "retracted_at": rfc3339(fact.retracted_at.as_ref()),
        "episode_id": fact.episode_id,
        "derived_from": fact.derived_from,
        "functional": fact.functional,
        "stale": fact.stale,
        "stale_because": fact.stale_because,
    })
}

fn neighbor_json(near: &Neighbor) -> Value {
    json!({ "id": near.id, "name": near.name, "type": near.r#type, "hops": near.hops })
}

/// Every fact once, under the entity it was reached from.
fn neighbor_tree(neighbors: &[Neighbor], facts: &[Fact]) -> Tree {
    let Some(first) = neighbors.first() else { return Tree::default() };
    let by_id: HashMap<&str, &Neighbor> =
        neighbors.iter().map(|near| (near.id.as_str(), near)).collect();
    // The nearest first: each entity has its line where it was reached first.
    let mut under: HashMap<&str, Vec<(&Fact, &Neighbor, bool)>> = HashMap::new();
    let mut told = HashSet::from([first.id.as_str()]);
    for fact in facts {
        let ends = (by_id.get(fact.subject_id.as_str()), by_id.get(fact.object_id.as_str()));
        let (Some(subject), Some(object)) = ends else { continue };
        let (near, far) =
            if subject.hops <= object.hops { (subject, object) } else { (object, subject) };
        let new = told.insert(&far.id);
        under.entry(&near.id).or_default().push((fact, far, new));
    }
    grown(titled(first), &first.id, &under)
}

fn grown(line: String, id: &str, under: &HashMap<&str, Vec<(&Fact, &Neighbor, bool)>>) -> Tree {
    let links = under.get(id).into_iter().flatten();
    let trees = links.map(|(fact, far, new)| {
        let line = link(fact, far);
        if *new { grown(line, &far.id, under) } else { Tree { line, under: Vec::new() } }
    });
    Tree { line, under: trees.collect() }
}

fn titled(near: &Neighbor) -> String {
    let name = near.name.bold();
    if near.r#type.is_empty() { name.to_string() } else { format!("{name} ({})", near.r#type) }
}

/// A fact as a way to `reached`.
fn link(fact: &Fact, reached: &Neighbor) -> String {
    let predicate = fact.predicate.replace('_', " ");
    let forwards = fact.object_id == reached.id;
    let arrow = if forwards { format!("{predicate} →") } else { format!("← {predicate}") };
    let since = span(fact.valid_from.as_ref(), fact.valid_to.as_ref());
    let stale = if fact.stale { " stale".yellow().to_string() } else { String::new() };
    format!("{} {}  {}{stale}", arrow.cyan(), titled(reached), since.dimmed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(tree: &Tree) -> String {
        let mut text = Vec::new();
        tree.write(&mut text).unwrap();
        anstream::adapter::strip_str(&String::from_utf8(text).unwrap()).to_string()
    }

    #[test]
    fn every_fact_is_drawn_once_under_where_it_was_reached_from() {
        let near = |id: &str, hops| Neighbor {
            id: id.to_owned(),
            name: id.to_uppercase(),
            r#type: String::new(),
            hops,
        };
        let fact = |subject: &str, object: &str| Fact {
            subject_id: subject.to_owned(),
            predicate: "knows".to_owned(),
            object_id: object.to_owned(),
            ..Fact::default()
        };
        let all = [near("a", 0), near("b", 1), near("c", 1), near("d", 2)];
        let facts = [fact("a", "b"), fact("c", "a"), fact("b", "c"), fact("b", "d")];
        let text = drawn(&neighbor_tree(&all, &facts));
        let lines: Vec<&str> = text.lines().map(|line| line.trim_end_matches([' ', '…'])).collect();
        assert_eq!(
            lines,
            ["A", "├─ knows → B", "│  ├─ knows → C", "│  └─ knows → D", "└─ ← knows C"]
        );
    }

    #[test]
    fn a_diamond_is_explained_once() {
        let reason = |id: &str, derived_from: &[&str], standing: Standing| Reason {
            id: id.to_owned(),
            kind: ItemKind::Fact.into(),
            text: id.to_owned(),
            standing: standing.into(),
            derived_from: derived_from.iter().map(|&id| id.to_owned()).collect(),
            ..Reason::default()
        };
        let all = [
            reason("top", &["left", "right"], Standing::Stale),
            reason("left", &["root"], Standing::Stale),
            reason("right", &["root"], Standing::Stale),
            reason("root", &[], Standing::Ended),
        ];
        let by_id = all.iter().map(|reason| (reason.id.as_str(), reason)).collect();
        let text = drawn(&reason_tree("top", &by_id, &mut HashSet::new()));
        assert_eq!(text.matches("root").count(), 2, "{text}");
        assert_eq!(text.matches("(see above)").count(), 1, "{text}");
    }
}
