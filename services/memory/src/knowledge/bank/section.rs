//! A section of a document is edited; not a byte around it changes.

use std::ops::Range;

use super::etag;
use crate::knowledge::markdown::{fences, heading};

/// A section and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The headings it stands under, outermost first; none before the first heading.
    pub heading: Vec<String>,
    /// Its own text in the document, in bytes: without the heading, blank lines around it and the
    /// sections below it.
    pub body: Range<usize>,
    /// Where its lines end: there the next heading begins, or the document ends.
    end: usize,
}

/// What an agent changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which section: its headings, or the last of them if that is plain enough; none for the whole
    /// document.
    pub heading: Vec<String>,
    /// How.
    pub change: Change,
    /// What the agent saw there, by its [`etag`]; empty for nothing.
    pub seen: String,
}

/// How a text changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This instead.
    Replace(String),
    /// This behind it.
    Append(String),
}

/// Why an edit cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No section stands under the headings.
    NoSection,
    /// So many do.
    Ambiguous(usize),
    /// It is not as the agent saw it.
    Stale,
    /// A block of code that is not closed would take the following sections in.
    OpenCode,
}

/// The sections of `document` in order; the first is what stands before any heading.
#[must_use]
pub fn outline(document: &str) -> Vec<Place> {
    let mut path: Vec<(usize, &str)> = Vec::new();
    let (mut places, mut begin, mut at, mut in_code) = (Vec::new(), 0, 0, false);
    let titles =
        |path: &[(usize, &str)]| path.iter().map(|(_, title)| (*title).to_owned()).collect();
    for line in document.split_inclusive('\n') {
        let plain = line.trim_end_matches(['\n', '\r']);
        in_code ^= fences(plain);
        if let Some((level, title)) = heading(plain).filter(|_| !in_code) {
            places.push(place(document, titles(&path), begin..at));
            path.retain(|(outer, _)| *outer < level);
            path.push((level, title));
            begin = at + line.len();
        }
        at += line.len();
    }
    places.push(place(document, titles(&path), begin..at));
    places
}

/// Whether `lines` end within a block of code.
pub(super) fn in_code(lines: &[&str]) -> bool {
    lines.iter().filter(|line| fences(line)).count() % 2 == 1
}

fn place(document: &str, heading: Vec<String>, lines: Range<usize>) -> Place {
    let text = document.get(lines.clone()).unwrap_or_default();
    let blank = text.split_inclusive('\n').take_while(|line| line.trim().is_empty());
    let start = lines.start + blank.map(str::len).sum::<usize>();
    let end = lines.start + text.trim_end().len();
    Place { heading, body: start..end.max(start), end: lines.end }
}

/// `document` with the edit.
///
/// # Errors
/// When the section is not there, is not plain, or is not as it was seen. Whoever appends need not
/// have seen anything.
pub fn edited(document: &str, edit: &Edit) -> Result<String, Refusal> {
    let lines = ends(document);
    if edit.heading.is_empty() {
        let fresh = edit.seen.is_empty() && document.is_empty();
        let appends = edit.seen.is_empty() && matches!(edit.change, Change::Append(_));
        if !fresh && !appends && edit.seen != etag(document) {
            return Err(Refusal::Stale);
        }
        return Ok(match &edit.change {
            Change::Replace(text) => text.clone(),
            Change::Append(text) => {
                let gap = if document.is_empty() || document.ends_with('\n') { "" } else { lines };
                format!("{document}{gap}{}", whole(text, lines))
            }
        });
    }
    let places = outline(document);
    let place = found(&places, &edit.heading)?;
    let body = &document[place.body.clone()];
    let appends = edit.seen.is_empty() && matches!(edit.change, Change::Append(_));
    if !appends && edit.seen != etag(body) {
        return Err(Refusal::Stale);
    }
    let (Change::Replace(text) | Change::Append(text)) = &edit.change;
    if in_code(&text.lines().collect::<Vec<_>>()) {
        return Err(Refusal::OpenCode);
    }
    let text = whole(text.trim_matches(['\n', '\r']), lines);
    let new = match edit.change {
        Change::Append(_) if !body.is_empty() => format!("{body}{lines}{text}"),
        _ => text,
    };
    Ok(in_place(document, place, new.trim_end_matches(['\n', '\r']), lines))
}

/// The only section under these headings; an exact way goes before the end of a way.
fn found<'p>(places: &'p [Place], heading: &[String]) -> Result<&'p Place, Refusal> {
    let exact: Vec<&Place> = places.iter().filter(|place| place.heading == heading).collect();
    let ending = || places.iter().filter(|place| place.heading.ends_with(heading));
    let all = if exact.is_empty() { ending().collect() } else { exact };
    match all.as_slice() {
        [] => Err(Refusal::NoSection),
        [one] => Ok(one),
        several => Err(Refusal::Ambiguous(several.len())),
    }
}

/// `body` instead of the place's own, with blank lines around it where there were none before.
fn in_place(document: &str, place: &Place, body: &str, lines: &str) -> String {
    let (before, after) = (&document[..place.body.start], &document[place.body.end..]);
    let empty = place.body.is_empty();
    if empty {
        // Blank lines alone stood there.
        let rest = &document[place.end..];
        let head = document[..place.body.start].trim_end_matches(['\n', '\r']);
        let tail = if rest.is_empty() { lines.to_owned() } else { format!("{lines}{lines}") };
        if body.is_empty() {
            return document.to_owned();
        }
        return format!("{head}{lines}{lines}{body}{tail}{rest}");
    }
    if body.is_empty() {
        return format!("{before}{}", after.trim_start_matches(['\n', '\r']));
    }
    format!("{before}{body}{after}")
}

/// How lines end in `document`.
fn ends(document: &str) -> &'static str {
    let all = document.matches('\n').count();
    if all > 0 && document.matches("\r\n").count() * 2 > all { "\r\n" } else { "\n" }
}

/// With lines that end as those of the document, the last one, too.
fn whole(text: &str, lines: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let text = if text.is_empty() || text.ends_with('\n') { text } else { format!("{text}\n") };
    if lines == "\n" { text } else { text.replace('\n', lines) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOCUMENT: &str =
        "intro\n# Brief\n\nwhat\n\n## Goals\nfast\n```\n# no heading\n```\n\n\n# Next\n# Last";

    fn edit(heading: &[&str], change: Change, seen: &str) -> Edit {
        let heading = heading.iter().map(|title| (*title).to_owned()).collect();
        Edit { heading, change, seen: seen.to_owned() }
    }

    fn replace(text: &str) -> Change {
        Change::Replace(text.to_owned())
    }

    fn append(text: &str) -> Change {
        Change::Append(text.to_owned())
    }

    #[test]
    fn sections_are_found_with_their_own_text() {
        let found: Vec<_> = outline(DOCUMENT)
            .iter()
            .map(|place| (place.heading.join("/"), &DOCUMENT[place.body.clone()]))
            .collect();
        let expected = [
            ("", "intro"),
            ("Brief", "what"),
            ("Brief/Goals", "fast\n```\n# no heading\n```"),
            ("Next", ""),
            ("Last", ""),
        ];
        assert_eq!(found, expected.map(|(heading, body)| (heading.to_owned(), body)));
    }

    #[test]
    fn a_section_is_replaced_and_added_to_in_its_place() {
        let seen = etag("what");
        let new = edited(DOCUMENT, &edit(&["Brief"], replace("why\nand what"), &seen)).unwrap();
        assert_eq!(new, DOCUMENT.replace("what\n", "why\nand what\n"));
        let new = edited(DOCUMENT, &edit(&["Goals"], append("cheap\n"), "")).unwrap();
        assert_eq!(new, DOCUMENT.replace("```\n\n\n", "```\ncheap\n\n\n"));
        let new = edited(DOCUMENT, &edit(&["Next"], append("step"), "")).unwrap();
        assert_eq!(new, DOCUMENT.replace("# Next\n", "# Next\n\nstep\n\n"));
        let new = edited(DOCUMENT, &edit(&["Last"], append("step"), "")).unwrap();
        assert_eq!(new, format!("{DOCUMENT}\n\nstep\n"));
        let new = edited(DOCUMENT, &edit(&[], append("# More\n"), "")).unwrap();
        assert_eq!(new, format!("{DOCUMENT}\n# More\n"));
        let new = edited(DOCUMENT, &edit(&["Brief"], replace(""), &seen)).unwrap();
        assert_eq!(new, DOCUMENT.replace("what\n\n", ""));
    }

    #[test]
    fn what_is_not_as_it_was_seen_is_left() {
        let stale = edit(&["Brief"], replace("x"), &etag("something else"));
        assert_eq!(edited(DOCUMENT, &stale), Err(Refusal::Stale));
        assert_eq!(edited(DOCUMENT, &edit(&["Brief"], replace("x"), "")), Err(Refusal::Stale));
        assert_eq!(edited(DOCUMENT, &edit(&[], replace("x"), "")), Err(Refusal::Stale));
        assert_eq!(edited("", &edit(&[], replace("x"), "")), Ok("x".to_owned()));
        assert_eq!(edited(DOCUMENT, &edit(&["None"], append("x"), "")), Err(Refusal::NoSection));
        let twice = "# A\n## B\nx\n# C\n## B\ny\n";
        assert_eq!(edited(twice, &edit(&["B"], append("x"), "")), Err(Refusal::Ambiguous(2)));
        assert!(edited(twice, &edit(&["C", "B"], append("x"), "")).is_ok());
        let open = edit(&["Goals"], append("```sh\n# x"), "");
        assert_eq!(edited(DOCUMENT, &open), Err(Refusal::OpenCode));
    }

    #[test]
    fn lines_end_as_they_do_in_the_document() {
        let windows = "# A\r\n\r\none\r\n\r\n# B\r\n";
        let new = edited(windows, &edit(&["A"], append("two\nthree"), "")).unwrap();
        assert_eq!(new, "# A\r\n\r\none\r\ntwo\r\nthree\r\n\r\n# B\r\n");
    }

    proptest! {
        #[test]
        fn nothing_around_a_section_changes(
            lines in prop::collection::vec("(# ?[ab]|## [ab]|```|[xyzäö]{0,4}|)\r?\n", 0..20),
            chosen in any::<prop::sample::Index>(),
            text in "[a-z]{1,5}(\n[a-z]{1,5}){0,3}",
            appends in any::<bool>(),
        ) {
            let document = lines.concat();
            let places = outline(&document);
            let place = chosen.get(&places);
            let body = &document[place.body.clone()];
            let change = if appends { append(&text) } else { replace(&text) };
            let edit = Edit { heading: place.heading.clone(), change, seen: etag(body) };
            if !edit.heading.is_empty() && let Ok(new) = edited(&document, &edit) {
                let head = document[..place.body.start].trim_end_matches(['\n', '\r']);
                let tail = document[place.body.end..].trim_start_matches(['\n', '\r']);
                prop_assert!(new.starts_with(head) && new.ends_with(tail), "{document:?} {new:?}");
                let rest = new.len() - head.len() - tail.len();
                let most = body.len() + text.len() * 2 + 2 * document.len() + 8;
                prop_assert!(rest <= most);
                let plain = |text: &str| text.replace('\r', "");
                prop_assert!(plain(&new).contains(&text), "{document:?} {new:?}");
                if appends {
                    prop_assert!(new.contains(body));
                }
            }
        }
    }
}
