//! The order of what was found: a weighted sum of signals, calculated in microseconds.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{
    Item, Kind,
    pool::{Candidate, Pool},
    question::Question,
    signals::{COUNT, NAMES, Signals, signals},
    words::normalised,
};

/// How much each signal counts, in the order of [`NAMES`].
///
/// All but the first and the last four were fitted to dialogues by `benches/fit_ranking.py` (a
/// softmax over the candidates of each question, as in `ListNet`: Cao et al., ICML 2007;
/// regularised). Those dialogues have no facts, were all long ago, and their turns always stand
/// beside others: the weights of links, recency, importance, being found by itself and an item's own words are
/// set by hand. Each decides between candidates that are otherwise alike, and outweighs little.
const WEIGHTS: Signals =
    [1.0, 2.0, 3.8, 3.5, 3.6, 4.2, 2.7, 0.7, 2.1, 4.3, -0.6, 1.0, 0.3, 0.3, 0.3];

/// From these values on a signal is given as a reason.
const SPEAKS: f64 = 0.5;
/// By so much the words around must say more than those of the item, to be given as a reason.
const SPEAKS_BESIDE: f64 = 0.2;

/// An item with why it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What.
    pub item: Item,
    /// Only its order means anything.
    pub score: f64,
    /// For example "text rank 1" or "beside a hit in the same session".
    pub reasons: Vec<String>,
    /// What spoke for it.
    pub signals: Signals,
}

impl Found {
    /// What is given only because it is of late.
    #[must_use]
    pub fn recent(item: Item) -> Self {
        Self { item, score: 0.0, reasons: vec!["recent".to_owned()], signals: [0.0; COUNT] }
    }
}

/// The best `limit` of a pool. Items that say the same are collapsed into the better one; among
/// equals the later recorded comes first.
#[must_use]
pub fn rank(
    question: &Question,
    weights: &[f64],
    pool: Pool,
    now: DateTime<Utc>,
    limit: usize,
) -> Vec<Found> {
    let signals = signals(question, weights, &pool, now);
    let found = pool.candidates.into_iter().zip(signals);
    let found = found.map(|(candidate, signals)| Found {
        score: score(&signals),
        reasons: reasons(&candidate, &signals, question),
        item: candidate.item,
        signals,
    });
    let mut found: Vec<Found> = found.collect();
    found.sort_by(|one, other| {
        other
            .score
            .total_cmp(&one.score)
            .then_with(|| other.item.recorded_at.cmp(&one.item.recorded_at))
            .then_with(|| other.item.id.cmp(&one.item.id))
    });
    let mut found = collapse(found);
    found.truncate(limit);
    found
}

fn score(signals: &Signals) -> f64 {
    signals.iter().zip(WEIGHTS).map(|(signal, weight)| signal * weight).sum()
}

/// Of items that say the same, the first.
fn collapse(found: Vec<Found>) -> Vec<Found> {
    let mut first: HashMap<(Kind, String), usize> = HashMap::new();
    let mut kept: Vec<(Found, u32)> = Vec::with_capacity(found.len());
    for one in found {
        match first.get(&(one.item.kind, normalised(&one.item.text))) {
            Some(at) => kept[*at].1 += 1,
            None => {
                first.insert((one.item.kind, normalised(&one.item.text)), kept.len());
                kept.push((one, 1));
            }
        }
    }
    kept.into_iter()
        .map(|(mut found, times)| {
            if times > 1 {
                found.reasons.push(format!("said {times} times"));
            }
            found
        })
        .collect()
}

fn reasons(candidate: &Candidate, signals: &Signals, question: &Question) -> Vec<String> {
    let value = |name: &str| {
        let at = NAMES.iter().position(|one| *one == name);
        at.map_or(0.0, |at| signals[at])
    };
    let mut reasons: Vec<String> =
        candidate.places.iter().map(|(name, rank)| format!("{name} rank {rank}")).collect();
    if let Some(link) = &candidate.link {
        let about = if link.hops == 1 { "about" } else { "linked to" };
        reasons.push(format!("{about} {}", link.entity));
    }
    if candidate.places.is_empty() && candidate.link.is_none()
        || value("words_around") >= value("words") + SPEAKS_BESIDE
    {
        reasons.push("beside a hit in the same session".to_owned());
    }
    if value("actor") >= SPEAKS {
        let said = if candidate.item.kind == Kind::Episode { "said by" } else { "names" };
        let actor = match candidate.item.kind {
            Kind::Episode => candidate.item.actor.clone(),
            _ => question.actors.join(", "),
        };
        reasons.push(format!("{said} {actor}"));
    }
    if value("time") >= SPEAKS {
        reasons.push("of the time asked for".to_owned());
    }
    if value("tells_when") >= SPEAKS && candidate.item.kind == Kind::Episode {
        reasons.push("tells when".to_owned());
    }
    reasons
}

const _: () = assert!(WEIGHTS.len() == COUNT);

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;

    fn candidate(number: u128, text: &str, terms: u32, meaning: Option<f64>) -> Candidate {
        let at = DateTime::UNIX_EPOCH + TimeDelta::days(number as i64);
        let item = Item {
            id: Uuid::from_u128(number),
            kind: Kind::Episode,
            text: text.to_owned(),
            source: String::new(),
            actor: "Ana".to_owned(),
            session: "1".to_owned(),
            valid_from: at,
            valid_to: None,
            recorded_at: at,
        };
        let places = vec![("text", number as u32)];
        Candidate { item, terms, length: 5, meaning, places, taught: false, link: None }
    }

    fn texts(question: &str, pool: Pool) -> Vec<String> {
        let question = Question::read(question, &[], DateTime::UNIX_EPOCH);
        let found = rank(&question, &[1.0, 0.5], pool, DateTime::UNIX_EPOCH, 10);
        found.into_iter().map(|found| found.item.text).collect()
    }

    #[test]
    fn rare_words_meaning_and_what_stands_beside_decide() {
        let rarer = vec![candidate(1, "frequent", 0b10, None), candidate(2, "rare", 0b01, None)];
        let pool = Pool { candidates: rarer, neighbours: Vec::new() };
        assert_eq!(texts("q", pool), ["rare", "frequent"]);

        let nearer = vec![candidate(1, "far", 1, Some(0.2)), candidate(2, "near", 1, Some(0.6))];
        let pool = Pool { candidates: nearer, neighbours: Vec::new() };
        assert_eq!(texts("q", pool), ["near", "far"]);

        let alike = ["question", "answer", "other"].into_iter().zip(1..);
        let alike = alike.map(|(text, n)| candidate(n, text, u32::from(n == 1), None)).collect();
        let neighbours = vec![(Uuid::from_u128(1), Uuid::from_u128(2))];
        let pool = Pool { candidates: alike, neighbours };
        assert_eq!(texts("q", pool), ["question", "answer", "other"]);
    }

    #[test]
    fn what_has_no_vector_yet_is_not_put_last() {
        let candidates = vec![
            candidate(1, "near", 1, Some(0.6)),
            candidate(2, "new", 1, None),
            candidate(3, "far", 1, Some(0.2)),
        ];
        let pool = Pool { candidates, neighbours: Vec::new() };
        assert_eq!(texts("q", pool), ["near", "new", "far"]);
    }

    #[test]
    fn the_same_text_is_given_once_and_counted() {
        let candidates = vec![candidate(1, "Same!", 1, None), candidate(2, "same", 1, None)];
        let question = Question::read("q", &[], DateTime::UNIX_EPOCH);
        let pool = Pool { candidates, neighbours: Vec::new() };
        let found = rank(&question, &[1.0], pool, DateTime::UNIX_EPOCH, 10);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].reasons, ["text rank 2", "said 2 times"], "the later one is kept");
    }
}
