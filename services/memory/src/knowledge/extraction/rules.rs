//! What a sentence states, clause by clause.

use chrono::{DateTime, Utc};

use super::{
    guards::{Tone, denies, tone},
    people,
    phrase::{Cursor, Subject, is_adverb, is_verb},
    sentence::{Sentence, Token},
    things,
    vocabulary::{self, NO_LONGER},
    when,
};
use crate::knowledge::NewFact;

/// What the words of a text stand for.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// "I".
    pub(super) speaker: Option<String>,
    /// When it was said.
    pub(super) said: DateTime<Utc>,
    /// "She" and "he", if that is certain.
    pub(super) they: Option<Subject>,
}

/// A clause whose subject is read.
pub(super) struct Clause<'s> {
    pub(super) subject: Subject,
    /// Behind the subject.
    pub(super) cursor: Cursor<'s>,
    /// All of it.
    pub(super) text: &'s str,
    pub(super) said: DateTime<Utc>,
    /// Whether it speaks of what comes.
    pub(super) coming: bool,
}

/// Words that begin what only explains or limits a statement.
const SUBORDINATE: &[&str] = &[
    "because", "while", "which", "who", "whose", "although", "though", "so", "whereas", "until",
    "when", "where", "that", "but",
];

/// The facts a sentence states.
pub(super) fn read(sentence: &Sentence<'_>, reading: &Reading) -> Vec<NewFact> {
    let tone = tone(sentence);
    if tone == Tone::Unreal {
        return Vec::new();
    }
    let mut facts = Vec::new();
    let mut subject: Option<Subject> = None;
    for tokens in clauses(&sentence.tokens) {
        let Some(text) = text_of(sentence, tokens) else { continue };
        let mut cursor = Cursor::new(sentence.text, tokens);
        cursor.opening();
        skip_time(&mut cursor);
        let inherited = subject.clone().filter(|_| is_verb(cursor.word()));
        let own = cursor.subject(reading.speaker.as_deref(), reading.they.as_ref());
        let Some(spoken_of) = inherited.or(own) else {
            subject = None;
            continue;
        };
        subject = Some(spoken_of.clone());
        let clause = Clause {
            subject: spoken_of,
            cursor,
            text,
            said: reading.said,
            coming: tone == Tone::Coming,
        };
        facts.extend(of_clause(&clause, tokens));
    }
    facts
}

fn of_clause(clause: &Clause<'_>, tokens: &[Token]) -> Vec<NewFact> {
    if clause.coming {
        return things::takes_place(clause).unwrap_or_default();
    }
    if let Some(ended) = people::ended(clause) {
        return ended;
    }
    if denies(tokens) {
        return Vec::new();
    }
    people::relative(clause)
        .or_else(|| people::residence(clause))
        .or_else(|| people::work(clause))
        .or_else(|| people::birth(clause))
        .or_else(|| people::marriage(clause))
        .or_else(|| people::taste(clause))
        .or_else(|| people::abilities(clause))
        .or_else(|| things::takes_place(clause))
        .or_else(|| things::contact(clause))
        .or_else(|| things::favorite(clause))
        .or_else(|| things::cost(clause))
        .or_else(|| things::possession(clause))
        .or_else(|| things::location(clause))
        .or_else(|| things::state(clause))
        .or_else(|| things::kind(clause))
        .unwrap_or_default()
}

/// A sentence falls apart where "and", "but" or a comma is followed by a subject with a verb, or a
/// verb. What only explains is left out.
fn clauses(tokens: &[Token]) -> Vec<&[Token]> {
    let mut found = Vec::new();
    let mut from = 0;
    for at in 1..tokens.len() {
        let link = matches!(tokens[at].lower.as_str(), "and" | "but");
        let comma = tokens[at].gap.contains([',', '–', '—', ':', '(']);
        if !(link || comma) || at <= from {
            continue;
        }
        let mut next = at + usize::from(link);
        while tokens.get(next).is_some_and(|token| is_adverb(&token.lower)) {
            next += 1;
        }
        if begins(&tokens[next.min(tokens.len())..]) {
            found.push(&tokens[from..at]);
            from = at + usize::from(link);
        }
    }
    found.push(&tokens[from..]);
    found.into_iter().map(without_subordinate).filter(|clause| !clause.is_empty()).collect()
}

/// Whether a clause begins here: a verb, or a subject of a few words and a verb.
fn begins(tokens: &[Token]) -> bool {
    let Some(first) = tokens.first() else { return false };
    if is_verb(&first.lower) {
        return true;
    }
    let subject =
        matches!(first.lower.as_str(), "i" | "she" | "he" | "my" | "the" | "we" | "they" | "it")
            || first.capital;
    let verb = |token: &Token| is_verb(&token.lower) || token.own;
    subject && tokens.iter().take(5).skip(usize::from(!first.own)).any(verb)
}

fn without_subordinate(tokens: &[Token]) -> &[Token] {
    let cut = tokens.iter().skip(1).position(|token| SUBORDINATE.contains(&token.lower.as_str()));
    &tokens[..cut.map_or(tokens.len(), |at| at + 1)]
}

/// A clause's text; with the signs behind it, if it is the last.
fn text_of<'s>(sentence: &Sentence<'s>, tokens: &[Token]) -> Option<&'s str> {
    let (first, last) = (tokens.first()?, tokens.last()?);
    let ends = sentence.tokens.last().is_some_and(|end| end.to == last.to);
    // A sign before a number belongs to it.
    let from = first.from;
    let to = if ends { sentence.text.len() } else { last.to };
    sentence.text.get(from..to)
}

/// Goes past "in 2021," and "last year".
fn skip_time(cursor: &mut Cursor<'_>) {
    let comma = (cursor.at + 1..cursor.tokens.len().min(cursor.at + 6))
        .find(|at| cursor.tokens[*at].gap.contains(','));
    let told = |tokens: &[Token]| tokens.iter().any(|token| tells_time(&token.lower));
    if let Some(comma) = comma
        && told(&cursor.tokens[cursor.at..comma])
        && matches!(
            cursor.word(),
            "in" | "on" | "last" | "this" | "since" | "two" | "three" | "a" | "yesterday" | "today"
        )
    {
        cursor.at = comma;
        return;
    }
    if matches!(cursor.word(), "last" | "this")
        && tells_time(cursor.word_at(1))
        && !is_verb(cursor.word_at(2 - 1))
    {
        cursor.at += 2;
    } else if cursor.word() == "in" && tells_time(cursor.word_at(1)) {
        cursor.at += 2;
        if tells_time(cursor.word()) {
            cursor.at += 1;
        }
    } else if cursor.word() == "yesterday" {
        cursor.at += 1;
    }
}

fn tells_time(word: &str) -> bool {
    let of_words = crate::knowledge::words::words(word);
    crate::knowledge::time::tells_when(&of_words)
        || matches!(
            word,
            "may"
                | "march"
                | "january"
                | "february"
                | "april"
                | "june"
                | "july"
                | "august"
                | "september"
                | "october"
                | "november"
                | "december"
        )
}

impl Clause<'_> {
    /// Who has a name: the speaker, "Ana", "my sister Bea".
    pub(super) fn who(&self) -> Option<&str> {
        match &self.subject {
            Subject::Named(name) | Subject::Owned { name: Some(name), .. } => Some(name),
            Subject::Owned { name: None, .. } | Subject::Thing(_) => None,
        }
    }

    /// Anything that can be spoken of: "Ana's rent", "meeting".
    pub(super) fn what(&self) -> String {
        match &self.subject {
            Subject::Named(name) | Subject::Owned { name: Some(name), .. } => name.clone(),
            Subject::Owned { owner, noun, name: None } => format!("{owner}'s {noun}"),
            Subject::Thing(noun) => noun.clone(),
        }
    }

    /// Since when it is true, if the clause says.
    pub(super) fn since(&self) -> Option<DateTime<Utc>> {
        when::since(self.text, self.said)
    }
}

/// A fact about `subject`.
pub(super) fn fact(subject: &str, predicate: &str, object: String) -> NewFact {
    NewFact {
        subject: subject.to_owned(),
        predicate: predicate.to_owned(),
        object,
        object_is_entity: false,
        valid_from: None,
        valid_to: None,
        functional: vocabulary::is_functional(predicate),
        derived_from: Vec::new(),
        derived_from_facts: Vec::new(),
        subject_type: String::new(),
        object_type: String::new(),
    }
}

/// A fact whose object is an entity.
pub(super) fn link(subject: &str, predicate: &str, object: String) -> NewFact {
    let known = vocabulary::predicate(predicate);
    let object_type = known.map_or("", |known| known.object).to_owned();
    NewFact { object_is_entity: true, object_type, ..fact(subject, predicate, object) }
}

/// That something ceased to be.
pub(super) fn no_longer(positive: NewFact) -> NewFact {
    NewFact {
        predicate: format!("{NO_LONGER}{}", positive.predicate),
        functional: false,
        ..positive
    }
}
