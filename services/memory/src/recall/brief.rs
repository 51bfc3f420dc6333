//! What an agent that starts blank is told.

use std::{cmp::Reverse, collections::HashMap};

use uuid::Uuid;

use super::Recall;
use crate::{
    error::MemoryError,
    knowledge::{
        Item, Kind,
        brief::{self, Brief, DOCUMENTS, Line, Section, Source},
        ranking::Found,
    },
    store::{Action, Needed, Scope, Seen},
};

/// Facts that are told of, at most.
const MOST_FACTS: usize = 64;

impl Recall {
    /// The brief of `scope`; what is found for `query` is in it, if one is given. Tells whether it
    /// may be kept: without vectors less was found than could be in a moment.
    pub(crate) async fn session_start(
        &self,
        scope: &Scope,
        query: &str,
        as_of_is_given: bool,
        budget: u32,
    ) -> Result<(Brief, bool), MemoryError> {
        let (found, lasts) = self.asked(scope, query, as_of_is_given).await?;
        let others = found.iter().filter_map(Line::item_id).collect();
        let material = self.store.material(scope, others).await?;
        let named = |item: &Item, name: &str| {
            item.source == name || item.source.ends_with(&format!("/{name}"))
        };
        let (brief, bank): (Vec<Item>, Vec<Item>) =
            material.bank.into_iter().partition(|item| named(item, DOCUMENTS[0]));
        let (active, others): (Vec<Item>, Vec<Item>) =
            bank.into_iter().partition(|item| named(item, DOCUMENTS[1]));
        let bank = |items: Vec<Item>| lines(items, "memory bank");
        let mut sections = vec![
            Section { heading: "Project brief", share: 12, lines: bank(brief) },
            Section { heading: "Active context", share: 18, lines: bank(active) },
            Section {
                heading: "Open runs",
                share: 8,
                lines: logged(material.open_runs, "open run"),
            },
            Section {
                heading: "Last decisions",
                share: 12,
                lines: decisions(material.decisions_logged, material.decisions_said),
            },
            Section { heading: "Found for the task", share: 25, lines: found },
            Section { heading: "Facts", share: 15, lines: weighed(material.facts) },
            Section { heading: "Progress and background", share: 5, lines: bank(others) },
            Section {
                heading: "What happened last",
                share: 5,
                lines: lines(material.latest, "happened lately"),
            },
        ];
        doubt(&material.seen, &mut sections);
        Ok((brief::pack(sections, budget), lasts))
    }

    /// What is found for the query. How long ago something was is told from the last that was
    /// written down, so that the same state gives the same answer.
    async fn asked(
        &self,
        scope: &Scope,
        query: &str,
        as_of_is_given: bool,
    ) -> Result<(Vec<Line>, bool), MemoryError> {
        if query.is_empty() {
            return Ok((Vec::new(), true));
        }
        let mut now = scope.as_of;
        if !as_of_is_given {
            now = self.store.last_recorded(&scope.namespace).await?.unwrap_or(now);
        }
        let answer = Box::pin(self.search_from(scope, query, now)).await?;
        let told = answer.found.into_iter().filter(|found| found.item.kind != Kind::Entity);
        let lines = told.map(|Found { item, reasons, .. }| Line {
            source: Source::Item(item),
            reasons,
            doubts: Vec::new(),
        });
        Ok((lines.collect(), answer.vectors_used))
    }
}

/// Gives items the validity they had in the view, and their doubts; leaves out what was not believed.
/// Facts that are stale come last.
fn doubt(seen: &HashMap<Uuid, Seen>, sections: &mut [Section]) {
    for section in sections {
        section.lines.retain_mut(|line| {
            let Source::Item(item) = &mut line.source else { return true };
            let Some(seen) = seen.get(&item.id) else { return false };
            (item.valid_from, item.valid_to) = (seen.valid_from, seen.valid_to);
            line.doubts.clone_from(&seen.doubts);
            true
        });
        section.lines.sort_by_key(|line| !line.doubts.is_empty());
    }
}

fn lines(items: Vec<Item>, reason: &str) -> Vec<Line> {
    items.into_iter().map(|item| Line::of(item, reason)).collect()
}

fn logged(actions: Vec<Action>, reason: &str) -> Vec<Line> {
    let line = |Action { id, entry }: Action| Line {
        source: Source::Action(id, entry),
        reasons: vec![reason.to_owned()],
        doubts: Vec::new(),
    };
    actions.into_iter().map(line).collect()
}

/// The latest first, those of the log before others of the same time.
fn decisions(of_log: Vec<Action>, said: Vec<Item>) -> Vec<Line> {
    let mut all = logged(of_log, "decision in the log");
    all.extend(said.into_iter().map(|item| {
        let what =
            if item.kind == Kind::Fact { "decision as a fact" } else { "said as a decision" };
        Line::of(item, what)
    }));
    all.sort_by_key(|line| {
        Reverse(match &line.source {
            Source::Action(_, entry) => entry.at,
            Source::Item(item) => item.valid_from,
        })
    });
    all
}

/// The most needed first.
fn weighed(facts: Vec<Needed>) -> Vec<Line> {
    let weight = |fact: &Needed| {
        brief::weight(fact.functional, fact.known_of_subject, fact.resting, fact.about_actor)
    };
    let mut facts: Vec<(i64, Needed)> =
        facts.into_iter().map(|fact| (weight(&fact), fact)).collect();
    facts.sort_by_key(|(weight, fact)| {
        (Reverse(*weight), Reverse(fact.item.valid_from), fact.item.id)
    });
    facts.truncate(MOST_FACTS);
    facts.into_iter().map(|(_, fact)| needed(fact)).collect()
}

fn needed(fact: Needed) -> Line {
    let mut reasons = Vec::new();
    if fact.functional {
        reasons.push("holds until another does".to_owned());
    }
    if fact.about_actor {
        reasons.push("about somebody who takes part".to_owned());
    }
    match fact.resting {
        0 => {}
        1 => reasons.push("1 fact rests on it".to_owned()),
        many => reasons.push(format!("{many} facts rest on it")),
    }
    if reasons.is_empty() {
        reasons.push("began lately".to_owned());
    }
    Line { source: Source::Item(fact.item), reasons, doubts: Vec::new() }
}
