//! What speaks for a candidate, in numbers from 0 to 1, whatever the question and the store's size.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};

use super::{
    Kind,
    pool::{Candidate, Pool, Terms},
    question::Question,
    time::{self, Span},
    words::words,
};

/// How many signals there are.
pub const COUNT: usize = 15;
/// Their names, in order.
pub const NAMES: [&str; COUNT] = [
    "words",
    "words_before",
    "words_around",
    "meaning",
    "meaning_around",
    "meaning_session",
    "actor",
    "length",
    "tells_when",
    "time",
    "question",
    "link",
    "recency",
    "importance",
    "found",
];
/// Signals of one candidate, in the order of [`NAMES`].
pub type Signals = [f64; COUNT];

/// What is said of a time is mostly said within so many days after it.
const TOLD_WITHIN_DAYS: f64 = 14.0;
/// A longer span than this tells little.
const LONG_SPAN_DAYS: i64 = 100;
const OF_LONG_SPANS: f64 = 0.3;
/// After so many days half of the recency is left.
const HALF_LIFE_DAYS: f64 = 30.0;
/// An episode of so many different words says as much as a longer one.
const FULL_LENGTH: f64 = 40.0;
/// Of what is no episode: neither short nor long.
const NO_LENGTH: f64 = 0.7;
/// Of a text so much is read for expressions of time.
const READ_BYTES: usize = 2_000;

/// The signals of all candidates, in their order. `weights` are those of the question's terms.
#[must_use]
pub fn signals(
    question: &Question,
    weights: &[f64],
    pool: &Pool,
    now: DateTime<Utc>,
) -> Vec<Signals> {
    let beside = pool.beside();
    let candidates = &pool.candidates;
    let meanings = meanings(candidates);
    let sessions = best_of_sessions(candidates, &meanings);
    let share = |ats: &[usize]| {
        let terms = ats.iter().fold(0, |terms, at| terms | candidates[*at].terms);
        share(terms, weights)
    };
    (0..candidates.len())
        .map(|at| {
            let candidate = &candidates[at];
            let item = &candidate.item;
            let around = beside.around(at, 2, 2);
            let mean = around.iter().map(|at| meanings[*at]).sum::<f64>() / around.len() as f64;
            let session = sessions.get(item.session.as_str()).copied();
            let episode = item.kind == Kind::Episode;
            let text = head(&item.text);
            let tells = question.asks_when && (!episode || time::tells_when(&words(text)));
            [
                share(&[at]),
                share(&beside.around(at, 1, 0)),
                share(&around),
                meanings[at],
                mean,
                session.unwrap_or(meanings[at]),
                f64::from(by_actor(candidate, question)),
                length(candidate),
                f64::from(tells),
                in_spans(candidate, &question.spans),
                f64::from(episode && asks(&item.text)),
                link(candidate),
                recency(candidate, now),
                f64::from(candidate.taught),
                f64::from(!candidate.places.is_empty()),
            ]
        })
        .collect()
}

/// Whether these terms say most of what the question's do.
#[must_use]
pub fn fits(terms: Terms, weights: &[f64]) -> bool {
    share(terms, weights) >= 0.5
}

/// The part of the question's weight that these terms have.
fn share(terms: Terms, weights: &[f64]) -> f64 {
    let all: f64 = weights.iter().sum();
    let had = weights.iter().enumerate().filter(|(n, _)| terms >> n & 1 == 1);
    let had: f64 = had.map(|(_, weight)| weight).sum();
    if all > 0.0 { had / all } else { 0.0 }
}

/// Of each candidate; one that has no vector yet is taken for one of the middle.
fn meanings(candidates: &[Candidate]) -> Vec<f64> {
    let known: Vec<f64> = candidates.iter().filter_map(|one| one.meaning).collect();
    let mean = if known.is_empty() { 0.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
    candidates.iter().map(|one| one.meaning.unwrap_or(mean)).collect()
}

/// The best meaning in each session.
fn best_of_sessions<'p>(candidates: &'p [Candidate], meanings: &[f64]) -> HashMap<&'p str, f64> {
    let mut best: HashMap<&str, f64> = HashMap::new();
    for (candidate, meaning) in candidates.iter().zip(meanings) {
        let session = candidate.item.session.as_str();
        if candidate.item.kind == Kind::Episode && !session.is_empty() {
            let entry = best.entry(session).or_insert(*meaning);
            *entry = entry.max(*meaning);
        }
    }
    best
}

/// Whether it was said by one who is asked for, or says something of one.
fn by_actor(candidate: &Candidate, question: &Question) -> bool {
    let item = &candidate.item;
    let named = |actor: &String| match item.kind {
        Kind::Episode => item.actor == *actor,
        _ => head(&item.text).contains(actor.as_str()),
    };
    question.actors.iter().any(named)
}

fn length(candidate: &Candidate) -> f64 {
    match candidate.item.kind {
        Kind::Episode | Kind::Entity => {
            (f64::from(candidate.length).ln_1p() / FULL_LENGTH.ln_1p()).min(1.0)
        }
        Kind::Fact | Kind::Section => NO_LENGTH,
    }
}

/// How well it fits the time asked for: 1 within it, less the longer after it.
fn in_spans(candidate: &Candidate, spans: &[Span]) -> f64 {
    let item = &candidate.item;
    let from = item.valid_from.date_naive();
    let to = match item.kind {
        Kind::Episode => Some(from),
        _ => item.valid_to.map(|to| to.date_naive()),
    };
    spans.iter().map(|span| in_span(from, to, span)).fold(0.0, f64::max)
}

fn in_span(from: NaiveDate, to: Option<NaiveDate>, span: &Span) -> f64 {
    let weight = if span.days() > LONG_SPAN_DAYS { OF_LONG_SPANS } else { 1.0 };
    let began = from < span.to;
    let ended = to.is_some_and(|to| to < span.from);
    match (began, ended) {
        (true, false) => weight,
        (false, _) => {
            weight * (-((from - span.to).num_days() as f64 + 1.0) / TOLD_WITHIN_DAYS).exp()
        }
        (_, true) => 0.0,
    }
}

/// Whether a text does nothing but end in a question; what stands in brackets after it, such as
/// an image's description, is not looked at.
fn asks(text: &str) -> bool {
    let text = text.trim_end();
    let said = text.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')).map(|(said, _)| said);
    said.unwrap_or(text).trim_end().ends_with('?')
}

fn link(candidate: &Candidate) -> f64 {
    candidate.link.as_ref().map_or(0.0, |link| 1.0 / f64::from(link.hops.max(1)))
}

fn recency(candidate: &Candidate, now: DateTime<Utc>) -> f64 {
    let days = (now - candidate.item.valid_from).num_days().max(0);
    (-(days as f64) / HALF_LIFE_DAYS).exp2()
}

fn head(text: &str) -> &str {
    let end = text.len().min(READ_BYTES);
    let end = (0..=end).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}
