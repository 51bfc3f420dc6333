//! Facts in what was said, by rules: what a sentence states plainly becomes a fact, anything else
//! does not. A wrong fact costs more than a missing one, so that a sentence that asks, supposes,
//! wishes, plans, reports somebody else's words or denies states nothing.
//!
//! - `sentence`: a text falls into sentences, these into words
//! - `guards`: which sentences state nothing
//! - `phrase`: who and what is spoken of; `when`: since when it is true
//! - `rules`: what is stated, clause by clause; `people` and `things` hold the rules
//! - `lexicon`: the words these know
//! - `vocabulary`: the predicates there are
//! - `proposed`: facts that a model proposes, as far as the text bears them out
//!
//! How often it is right is measured by `tests`, over `cases.txt`.

mod guards;
mod lexicon;
mod people;
mod phrase;
pub mod proposed;
mod rules;
mod sentence;
#[cfg(test)]
mod tests;
mod things;
pub mod vocabulary;
mod when;

use chrono::{DateTime, Utc};

use self::{
    phrase::Subject,
    rules::{Reading, read},
    sentence::sentences,
};
use super::NewFact;

/// Of a text at most so many facts are taken.
pub const MOST_FACTS: usize = 32;

/// What `text`, said by `actor` at `said`, states.
#[must_use]
pub fn stated(text: &str, actor: &str, said: DateTime<Utc>) -> Vec<NewFact> {
    let mut reading = Reading { speaker: speaker(actor), said, they: None };
    let mut facts: Vec<NewFact> = Vec::new();
    for sentence in sentences(text) {
        if facts.len() >= MOST_FACTS {
            break;
        }
        let found = read(&sentence, &reading);
        reading.they = spoken_of(&found, reading.speaker.as_deref());
        for fact in found {
            let known = facts.iter().any(|one| same(one, &fact));
            if !known && facts.len() < MOST_FACTS {
                facts.push(fact);
            }
        }
    }
    facts
}

/// Whether two facts say the same.
#[must_use]
pub fn same(one: &NewFact, other: &NewFact) -> bool {
    one.predicate == other.predicate
        && one.subject.to_lowercase() == other.subject.to_lowercase()
        && one.object.to_lowercase() == other.object.to_lowercase()
}

/// Whom "I" stands for: "planner" when "agent:planner" speaks.
fn speaker(actor: &str) -> Option<String> {
    let name = actor.rsplit(':').next().unwrap_or(actor).trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Whom "she" or "he" can stand for in the next sentence: the one person this sentence was about, if
/// it names no other.
fn spoken_of(found: &[NewFact], speaker: Option<&str>) -> Option<Subject> {
    let first = found.first()?;
    let other = |fact: &NewFact| {
        fact.subject != first.subject
            || (fact.object_is_entity && vocabulary::is_person(&fact.predicate))
    };
    let somebody = Some(first.subject.as_str()) != speaker && !found.iter().any(other);
    somebody.then(|| Subject::Named(first.subject.clone()))
}
