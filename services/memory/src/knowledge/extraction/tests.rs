//! How often the rules are right, on labelled sentences; and that no text harms them.

use std::time::{Duration, Instant};

use chrono::{TimeZone, Utc};
use proptest::prelude::*;

use super::*;

const CASES: &str = include_str!("cases.txt");
/// Of what is stated, so much is true; of what is true, so much is stated.
const PRECISION: f64 = 0.98;
const RECALL: f64 = 0.9;

fn said() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 5, 10, 12, 0, 0).unwrap()
}

/// As the cases write it.
fn written(fact: &NewFact) -> String {
    let plain = |text: &str| text.replace(' ', "~");
    let since = fact.valid_from.map_or_else(String::new, |from| format!(" @{}", from.date_naive()));
    format!("{} {} {}{since}", plain(&fact.subject), fact.predicate, plain(&fact.object))
}

struct Case {
    actor: &'static str,
    text: &'static str,
    wanted: Vec<String>,
}

fn cases() -> Vec<Case> {
    let lines = CASES.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (text, wanted) = line.rsplit_once(" => ").expect("text => facts");
            let (actor, text) = text.split_once(" | ").expect("actor | text");
            let wanted = wanted.split("; ").map(|fact| fact.trim().to_owned());
            Case { actor, text, wanted: wanted.filter(|fact| fact != "-").collect() }
        })
        .collect()
}

#[test]
fn what_is_stated_is_found_and_little_else() {
    let cases = cases();
    let nothing = cases.iter().filter(|case| case.wanted.is_empty()).count();
    assert!(cases.len() >= 150 && nothing * 5 >= cases.len() * 2, "{} {nothing}", cases.len());
    let (mut right, mut found, mut wanted) = (0, 0, 0);
    for case in &cases {
        let stated: Vec<String> =
            stated(case.text, case.actor, said()).iter().map(written).collect();
        let hits = stated.iter().filter(|fact| case.wanted.contains(fact)).count();
        if hits != stated.len() || hits != case.wanted.len() {
            println!("{}: found {stated:?}, wanted {:?}", case.text, case.wanted);
        }
        right += hits;
        found += stated.len();
        wanted += case.wanted.len();
    }
    let (precision, recall) =
        (f64::from(right as u32) / found as f64, f64::from(right as u32) / wanted as f64);
    println!(
        "{} sentences, {nothing} of them state nothing; {wanted} facts, {found} found, {right} right: \
         precision {precision:.3}, recall {recall:.3}",
        cases.len()
    );
    assert!(precision >= PRECISION, "{precision}");
    assert!(recall >= RECALL, "{recall}");
}

#[test]
fn every_predicate_is_known_and_functional_as_told() {
    for case in cases() {
        for fact in stated(case.text, case.actor, said()) {
            let known = vocabulary::predicate(&fact.predicate);
            assert!(known.is_some() || fact.predicate.starts_with("favorite_"), "{fact:?}");
            assert_eq!(fact.functional, vocabulary::is_functional(&fact.predicate), "{fact:?}");
        }
    }
}

#[test]
fn nobody_speaks_when_no_actor_is_known() {
    assert!(stated("I live in Porto. My dog is called Rex.", "", said()).is_empty());
    assert_eq!(stated("Bea lives in Porto.", "", said()).len(), 1);
}

#[test]
fn long_texts_are_read_quickly() {
    let sentence = "Ana lives in Porto and likes coffee, tea and cake. ";
    let texts = [
        sentence.repeat(65_536 / sentence.len()),
        "Ana ".repeat(16_384),
        "a.".repeat(32_768),
        "Ana's ".repeat(10_922),
        "\"".repeat(65_536),
        "é’".repeat(13_107),
        "I like a, ".repeat(6_553),
        ": ".repeat(32_768),
        "x\n".repeat(32_768),
        "A".repeat(65_536),
    ];
    for text in texts {
        let begun = Instant::now();
        let _ = stated(&text, "Ana", said());
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(1_500), "{took:?} for {}…", &text[..8]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_harms(text in "\\PC{0,300}", actor in "\\PC{0,20}") {
        let _ = stated(&text, &actor, said());
    }

    /// Words of the rules in any order, with any signs between.
    #[test]
    fn no_words_harm(
        parts in proptest::collection::vec((
            prop::sample::select(vec![
                "I", "my", "Ana", "Ana's", "is", "was", "born", "in", "on", "the", "a", "lives", "moved",
                "to", "from", "Porto", "May", "3", "2026", "costs", "€5", "5 €", "likes", "don't", "Ana’s",
                "can’t", "İ", "ß's", "named", "dog", "and", "no", "longer", "anymore", "e-mail", "a@b.c",
                "turned", "meeting", "for", "years", "9999", "since", "99999999999999999999",
            ]),
            prop::sample::select(vec![" ", ", ", "-", ". ", "\n", " \"", "’", ": ", "", "; "]),
        ), 0..40)
    ) {
        let text: String = parts.iter().flat_map(|(word, sign)| [*word, *sign]).collect();
        for fact in stated(&text, "Zoë", said()) {
            prop_assert!(!fact.subject.is_empty() && !fact.object.is_empty());
            prop_assert!(fact.object.len() <= 512 && fact.subject.len() <= 512);
            prop_assert!(fact.valid_from.is_none_or(|from| from <= said()));
        }
    }
}
