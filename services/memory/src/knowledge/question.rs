//! What a question asks for: of whom, of when, and about what.

use chrono::{DateTime, Utc};

use super::{
    time::{self, Span},
    words::{Word, without, words},
};

/// Words that begin questions, whose capital means nothing.
const BEGINNINGS: [&str; 44] = [
    "who", "whom", "whose", "what", "when", "where", "which", "why", "how", "is", "are", "was",
    "were", "am", "do", "does", "did", "has", "have", "had", "can", "could", "will", "would",
    "shall", "should", "may", "might", "must", "in", "on", "at", "by", "for", "from", "of", "with",
    "the", "a", "an", "and", "or", "to", "tell",
];
/// Units whose measure is asked for by "how long", or by "what date".
const UNITS: [&str; 6] = ["long", "date", "day", "month", "year", "time"];
/// Names have at most so many words.
const LONGEST_NAME: usize = 3;
/// Of a question so many words are looked at for names.
const MOST_WORDS: usize = 64;

/// Shorter words resemble too many names.
const SHORTEST_MISSPELT: usize = 4;
/// So many of a question's words are compared with all names there are.
const MOST_MISSPELT: usize = 16;

/// Somebody who is called as some words of a question are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// Who.
    pub actor: String,
    /// How, as it is written.
    pub called: String,
    /// The words of the question, in lower case.
    pub asked: String,
}

/// Whether what is asked for comes before or after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// "before the move".
    Before,
    /// "after the move", "since the move".
    After,
}

/// A question, understood as far as words go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What it is about: without names of actors and expressions of time; the whole question when
    /// nothing else is left.
    pub content: String,
    /// Whose words are asked for.
    pub actors: Vec<String>,
    /// Of when; empty when it does not say. Any of these is meant.
    pub spans: Vec<Span>,
    /// Before or after what; the event's words.
    pub event: Option<(Side, String)>,
    /// Whether it asks for a time.
    pub asks_when: bool,
}

/// What could be a name in `query`, in lower case: every word, and every two and three in a row.
#[must_use]
pub fn possible_names(query: &str) -> Vec<String> {
    let mut words = words(query);
    words.truncate(MOST_WORDS);
    let mut names = Vec::new();
    for length in 1..=LONGEST_NAME {
        for run in words.windows(length) {
            names.push(joined(run));
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// What in `query` could be a misspelt name, in lower case: words with a capital and pairs of them,
/// or, when nothing has one, every longer word.
#[must_use]
pub fn misspelt_names(query: &str) -> Vec<String> {
    let mut words = words(query);
    words.truncate(MOST_WORDS);
    let ordinary = |word: &Word| BEGINNINGS.contains(&word.lower.as_str());
    let capitals = words.iter().any(|word| word.capital && !ordinary(word));
    let could = |word: &Word| {
        !ordinary(word)
            && if capitals { word.capital } else { word.lower.len() >= SHORTEST_MISSPELT }
    };
    let mut names = Vec::new();
    for run in words.windows(1).chain(words.windows(2).filter(|_| capitals)) {
        if run.iter().all(could) {
            names.push(joined(run));
        }
    }
    names.truncate(MOST_MISSPELT);
    names
}

impl Question {
    /// Reads `query`, asked at `now`, knowing who is called as some of its words are.
    #[must_use]
    pub fn read(query: &str, called: &[Called], now: DateTime<Utc>) -> Self {
        let of = words(query);
        let mut taken = vec![false; of.len()];
        let expression = time::expression(&of, now);
        let mut spans = Vec::new();
        if let Some(expression) = expression {
            taken[expression.words.clone()].fill(true);
            spans = expression.spans;
        }
        let actors = take_names(&of, called, &mut taken);
        let event = if spans.is_empty() { event(query, &of) } else { None };
        let mut content = without(query, &of, |at| taken[at]);
        if words(&content).iter().all(|word| BEGINNINGS.contains(&word.lower.as_str())) {
            content = query.to_owned();
        }
        Self { content, actors, spans, event, asks_when: asks_when(&of) }
    }
}

/// The actors named, their words marked as taken; longer names first.
fn take_names(words: &[Word], called: &[Called], taken: &mut [bool]) -> Vec<String> {
    let lower_case = words.iter().all(|word| !word.capital);
    let mut actors: Vec<String> = Vec::new();
    for length in (1..=LONGEST_NAME.min(words.len())).rev() {
        for at in 0..=words.len() - length {
            let run = &words[at..at + length];
            if taken[at..at + length].iter().any(|taken| *taken) {
                continue;
            }
            let asked = joined(run);
            for called in called {
                if called.asked != asked || !meant(called, run, at == 0, lower_case) {
                    continue;
                }
                taken[at..at + length].fill(true);
                if !actors.contains(&called.actor) {
                    actors.push(called.actor.clone());
                }
            }
        }
    }
    actors
}

/// Whether the words are meant as a name: "Will" in "did Will come", not in "will it rain".
fn meant(called: &Called, run: &[Word], first: bool, lower_case: bool) -> bool {
    let ordinary =
        run.len() == 1 && run.iter().all(|word| BEGINNINGS.contains(&word.lower.as_str()));
    let name_has_capital = called.called.chars().next().is_some_and(char::is_uppercase);
    let written_so = run.iter().all(|word| word.capital) || !name_has_capital || lower_case;
    written_so && !(ordinary && (first || lower_case))
}

fn joined(run: &[Word]) -> String {
    run.iter().map(|word| word.lower.as_str()).collect::<Vec<_>>().join(" ")
}

/// "before the move", "after we met Rex".
fn event(query: &str, words: &[Word]) -> Option<(Side, String)> {
    let at = words
        .iter()
        .rposition(|word| matches!(word.lower.as_str(), "before" | "after" | "since" | "until"))?;
    let side = match words[at].lower.as_str() {
        "before" | "until" => Side::Before,
        _ => Side::After,
    };
    let first = words.get(at + 1)?;
    Some((side, query[first.bytes.start..].to_owned()))
}

fn asks_when(words: &[Word]) -> bool {
    let is = |at: usize, text: &str| words.get(at).is_some_and(|word| word.lower == text);
    let unit = |at: usize| words.get(at).is_some_and(|word| UNITS.contains(&word.lower.as_str()));
    words.iter().enumerate().any(|(at, word)| match word.lower.as_str() {
        // "When" asks at the beginning; later it mostly links.
        "when" => at == 0,
        "how" => is(at + 1, "long"),
        "what" | "which" => unit(at + 1),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(actor: &str, called: &str, asked: &str) -> Called {
        Called { actor: actor.into(), called: called.into(), asked: asked.into() }
    }

    fn read(query: &str, names: &[Called]) -> Question {
        Question::read(query, names, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn names_and_times_are_taken_out_of_the_content() {
        let names = [called("Ana", "Ana", "ana"), called("agent:planner", "planner", "planner")];
        let question = read("When did Ana's dog come to Porto in May 2023?", &names);
        assert_eq!(question.content, "When did dog come to Porto?");
        assert_eq!(question.actors, ["Ana"]);
        assert_eq!(question.spans.len(), 1);
        assert!(question.asks_when);
        let question = read("what did the planner say", &names);
        assert_eq!((question.content.as_str(), question.asks_when), ("what did the say", false));
    }

    #[test]
    fn a_question_of_nothing_but_names_stays_whole() {
        let question = read("Who is Ana?", &[called("Ana", "Ana", "ana")]);
        assert_eq!(question.content, "Who is Ana?");
        assert_eq!(question.actors, ["Ana"]);
    }

    #[test]
    fn ordinary_words_are_no_names() {
        let names = [called("Will", "Will", "will"), called("Rose", "Rose", "rose")];
        assert!(read("Will the price that rose fall?", &names).actors.is_empty());
        assert_eq!(read("What did Will say?", &names).actors, ["Will"]);
    }

    #[test]
    fn misspelt_names_have_capitals_if_anything_has() {
        assert_eq!(misspelt_names("Where does Anna Lopes work?"), ["anna", "lopes", "anna lopes"]);
        assert_eq!(misspelt_names("where does anna work"), ["anna", "work"]);
    }

    #[test]
    fn an_event_bounds_a_question() {
        let question = read("Where did we live before the move to Porto?", &[]);
        assert_eq!(question.event, Some((Side::Before, "the move to Porto?".to_owned())));
        assert_eq!(read("Where do we live?", &[]).event, None);
    }
}
