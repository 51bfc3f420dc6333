//! Cases of belief as text, one step a line:
//!
//! ```text
//! case what it is about
//!   say EPISODE DATE ACTOR/SESSION words …
//!   fact FACT SUBJECT PREDICATE OBJECT [!] [from DATE] [to DATE] [by GROUND,GROUND]
//!   batch … end                             the lines between are one request
//!   bank SECTION PATH words …               a document of one section, imported
//!   retract X [words] | restore X | revise X [from DATE] [to DATE]
//!     [=> [stale A,B] [holding C] [revised D]]
//!   forget id|entity|actor|session|document WHAT
//!   mark NAME                               a moment, for `known`
//!   sleep MILLISECONDS
//!   at DATE|now                             asserts are of then
//!   known NAME|now                          as it was known then
//!   holds|ended|future|retracted|unknown|deleted X Y …
//!   stale X Y … [for words]
//! ```
//!
//! `!` is functional; `_` in a name is a blank; `+1500` as a date is so many milliseconds from now.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum When {
    At(DateTime<Utc>),
    In(TimeDelta),
}

impl When {
    pub(super) fn time(self) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::In(later) => Utc::now() + later,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Fact {
    pub(super) label: String,
    pub(super) subject: String,
    pub(super) predicate: String,
    pub(super) object: String,
    pub(super) functional: bool,
    pub(super) from: Option<When>,
    pub(super) to: Option<When>,
    pub(super) by: Vec<String>,
}

impl Fact {
    pub(super) fn sentence(&self) -> String {
        format!("{} {} {}", self.subject, self.predicate.replace('_', " "), self.object)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) label: String,
    pub(super) at: When,
    pub(super) actor: String,
    pub(super) session: String,
    pub(super) text: String,
}

#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) stale: Vec<String>,
    pub(super) holding: Vec<String>,
    pub(super) revised: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Step {
    Remember(Option<Said>, Vec<Fact>),
    Bank { label: String, path: String, text: String },
    Retract(String, String, Option<Expected>),
    Restore(String, Option<Expected>),
    Revise(String, Option<When>, Option<When>, Option<Expected>),
    Forget(String, String),
    Mark(String),
    Sleep(Duration),
    At(Option<When>),
    Known(Option<String>),
    Assert { standing: String, labels: Vec<String>, because: String },
}

pub(super) fn cases(script: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut batch: Option<(Option<Said>, Vec<Fact>)> = None;
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        if verb == "case" {
            cases.push(Case { name: rest.to_owned(), steps: Vec::new() });
            continue;
        }
        let steps = &mut cases.last_mut().expect("a script begins with a case").steps;
        match (verb, &mut batch) {
            ("batch", _) => batch = Some((None, Vec::new())),
            ("end", Some(_)) => {
                let (said, facts) = batch.take().unwrap();
                steps.push(Step::Remember(said, facts));
            }
            ("say", Some((episode, _))) => *episode = Some(said(rest)),
            ("fact", Some((_, facts))) => facts.push(fact(rest)),
            ("say", None) => steps.push(Step::Remember(Some(said(rest)), Vec::new())),
            ("fact", None) => steps.push(Step::Remember(None, vec![fact(rest)])),
            _ => steps.push(step(verb, rest).unwrap_or_else(|| panic!("what is `{line}`?"))),
        }
    }
    cases
}

fn step(verb: &str, rest: &str) -> Option<Step> {
    let (before, expected) = match rest.split_once("=>") {
        Some((before, after)) => (before.trim(), Some(expectation(after))),
        None => (rest, None),
    };
    let mut words = before.split_whitespace();
    let mut word = || words.next().map(str::to_owned);
    Some(match verb {
        "bank" => {
            Step::Bank { label: word()?, path: word()?, text: words.collect::<Vec<_>>().join(" ") }
        }
        "retract" => Step::Retract(word()?, words.collect::<Vec<_>>().join(" "), expected),
        "restore" => Step::Restore(word()?, expected),
        "revise" => {
            let label = word()?;
            let words: Vec<&str> = words.collect();
            Step::Revise(label, after(&words, "from"), after(&words, "to"), expected)
        }
        "forget" => Step::Forget(word()?, words.collect::<Vec<_>>().join(" ").replace('_', " ")),
        "mark" => Step::Mark(word()?),
        "sleep" => Step::Sleep(Duration::from_millis(word()?.parse().ok()?)),
        "at" => Step::At(word().filter(|when| when != "now").map(|when| date(&when))),
        "known" => Step::Known(word().filter(|mark| mark != "now")),
        "holds" | "ended" | "future" | "retracted" | "unknown" | "deleted" | "stale" => {
            let (labels, because) = rest.split_once(" for ").unwrap_or((rest, ""));
            Step::Assert {
                standing: verb.to_owned(),
                labels: labels.split_whitespace().map(str::to_owned).collect(),
                because: because.to_owned(),
            }
        }
        _ => return None,
    })
}

fn said(rest: &str) -> Said {
    let mut parts = rest.splitn(4, ' ');
    let mut part = || parts.next().expect("say LABEL DATE ACTOR/SESSION words").to_owned();
    let (label, at, whose, text) = (part(), part(), part(), part());
    let (actor, session) = whose.split_once('/').expect("ACTOR/SESSION");
    Said { label, at: date(&at), actor: actor.to_owned(), session: session.to_owned(), text }
}

fn fact(rest: &str) -> Fact {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [label, subject, predicate, object, more @ ..] = &words[..] else {
        panic!("fact LABEL SUBJECT PREDICATE OBJECT, not `{rest}`")
    };
    let by = more.iter().position(|word| *word == "by").and_then(|at| more.get(at + 1));
    Fact {
        label: (*label).to_owned(),
        subject: subject.replace('_', " "),
        predicate: (*predicate).to_owned(),
        object: object.replace('_', " "),
        functional: more.contains(&"!"),
        from: after(more, "from"),
        to: after(more, "to"),
        by: by.map(|by| by.split(',').map(str::to_owned).collect()).unwrap_or_default(),
    }
}

fn expectation(text: &str) -> Expected {
    let words: Vec<&str> = text.split_whitespace().collect();
    let labels = |word: &str| -> Vec<String> {
        let at = words.iter().position(|other| *other == word);
        let list = at.and_then(|at| words.get(at + 1)).copied().unwrap_or_default();
        list.split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect()
    };
    Expected { stale: labels("stale"), holding: labels("holding"), revised: labels("revised") }
}

fn after(words: &[&str], word: &str) -> Option<When> {
    let at = words.iter().position(|other| *other == word)?;
    words.get(at + 1).map(|text| date(text))
}

fn date(text: &str) -> When {
    if let Some(millis) = text.strip_prefix('+') {
        return When::In(TimeDelta::milliseconds(millis.parse().expect("milliseconds")));
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap_or_else(|_| panic!("date {text}"));
    When::At(day.and_hms_opt(0, 0, 0).unwrap().and_utc())
}
