//! The conversations as they are published.

use std::{collections::BTreeSet, fs, path::Path};

use chrono::NaiveDateTime;
use prost_types::Timestamp;
use serde_json::Value;

/// Two people talking over months.
pub(crate) struct Conversation {
    pub(crate) name: String,
    pub(crate) turns: Vec<Turn>,
    pub(crate) questions: Vec<Question>,
}

/// What one says at a time.
pub(crate) struct Turn {
    pub(crate) id: String,
    pub(crate) speaker: String,
    /// With the description of an image, if there is one, in brackets.
    pub(crate) text: String,
    pub(crate) session: String,
    pub(crate) at: Timestamp,
}

/// What is asked, and the turns that answer it.
pub(crate) struct Question {
    pub(crate) text: String,
    pub(crate) category: u64,
    pub(crate) evidence: BTreeSet<String>,
}

/// More than any conversation has.
const MOST_SESSIONS: usize = 1_000;
/// Questions without an answer.
const UNANSWERABLE: u64 = 5;

/// All conversations of `folder`, by name.
pub(crate) fn read(folder: &Path) -> Vec<Conversation> {
    let files =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files
        .map(|file| file.expect("a file of the folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} holds no conversation", folder.display());
    paths.iter().flat_map(|path| file(path)).collect()
}

/// A conversation by itself, or a list of several.
fn file(path: &Path) -> Vec<Conversation> {
    let text = fs::read(path).expect("a readable file");
    let root: Value = serde_json::from_slice(&text).expect("conversations in JSON");
    let stem = path.file_stem().expect("a file has a name").to_string_lossy();
    match root {
        Value::Array(list) => {
            let numbered = (1..).zip(&list);
            numbered.map(|(number, one)| conversation(&format!("{stem}-{number}"), one)).collect()
        }
        one => vec![conversation(&stem, &one)],
    }
}

fn conversation(name: &str, root: &Value) -> Conversation {
    // The sessions stand beside the questions, or in a part of their own.
    let sessions = root.get("conversation").unwrap_or(root);
    let mut turns = Vec::new();
    for number in 1..=MOST_SESSIONS {
        let session = format!("session_{number}");
        let at = sessions.get(format!("{session}_date_time")).and_then(Value::as_str).map(time);
        let said = sessions.get(&session).and_then(Value::as_array);
        if let (Some(at), Some(said)) = (at, said) {
            turns.extend(said.iter().map(|turn| self::turn(turn, &session, at)));
        }
    }
    let ids: BTreeSet<&str> = turns.iter().map(|turn: &Turn| turn.id.as_str()).collect();
    let asked = root.get("qa").and_then(Value::as_array).expect("questions");
    let questions = asked.iter().filter_map(|asked| question(asked, &ids)).collect();
    Conversation { name: name.to_owned(), turns, questions }
}

fn turn(turn: &Value, session: &str, at: Timestamp) -> Turn {
    let said = text(turn, "text");
    let image = turn.get("blip_caption").and_then(Value::as_str).unwrap_or_default();
    Turn {
        id: text(turn, "dia_id"),
        speaker: text(turn, "speaker"),
        text: if image.is_empty() { said } else { format!("{said} [{image}]") },
        session: session.to_owned(),
        at,
    }
}

/// Nothing for a question that has no answer among the turns.
fn question(asked: &Value, ids: &BTreeSet<&str>) -> Option<Question> {
    let category = asked.get("category").and_then(Value::as_u64).expect("a category");
    let evidence = asked.get("evidence").and_then(Value::as_array)?;
    let evidence: BTreeSet<String> = evidence
        .iter()
        .filter_map(Value::as_str)
        // Some name several in one string.
        .flat_map(|named| named.split([';', ',', ' ']))
        .filter(|id| ids.contains(id))
        .map(str::to_owned)
        .collect();
    (category != UNANSWERABLE && !evidence.is_empty()).then(|| Question {
        text: text(asked, "question"),
        category,
        evidence,
    })
}

fn text(of: &Value, field: &str) -> String {
    of.get(field).and_then(Value::as_str).unwrap_or_else(|| panic!("`{field}`: {of}")).to_owned()
}

/// "1:56 pm on 8 May, 2023".
fn time(text: &str) -> Timestamp {
    let at = NaiveDateTime::parse_from_str(text, "%I:%M %p on %d %B, %Y")
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    Timestamp { seconds: at.and_utc().timestamp(), nanos: 0 }
}
