use proptest::prelude::*;

use super::*;

fn merged(base: &str, ours: &str, theirs: &str) -> Option<String> {
    merge(base, ours, theirs).text
}

#[test]
fn edits_in_different_places_are_both_there() {
    let base = "a\nb\nc\nd\n";
    assert_eq!(merged(base, "a\nB\nc\nd\n", "a\nb\nc\nd\ne\n").unwrap(), "a\nB\nc\nd\ne\n");
    assert_eq!(merged(base, "b\nc\nd\n", "a\nb\nc\n").unwrap(), "b\nc\n");
    assert_eq!(merged(base, "x\na\nb\nc\nd\n", base).unwrap(), "x\na\nb\nc\nd\n");
}

#[test]
fn the_same_edit_is_made_once() {
    let both = merge("a\nb\n", "a\nB\nc\n", "a\nB\nc\n");
    assert_eq!(both, Merged { text: Some("a\nB\nc\n".to_owned()), shared: true });
}

#[test]
fn the_same_lines_edited_differently_are_in_conflict() {
    for (base, ours, theirs) in [
        ("a\nb\nc\n", "a\nx\nc\n", "a\ny\nc\n"),
        ("a\nb\nc\n", "a\nc\n", "a\ny\nc\n"),
        ("a\nb\nc\nd\n", "a\nx\nc\nd\n", "a\nb\ny\nd\n"), // lines that touch
        ("a\n", "a\nx\n", "a\ny\n"),
        ("", "x\n", "y\n"),
        ("a", "a\nx", "a\ny"),
        ("```\n", "```\n# x\n", "```\ny\n"), // no heading, but code
    ] {
        assert_eq!(merged(base, ours, theirs), None, "{base:?} {ours:?} {theirs:?}");
    }
}

#[test]
fn what_is_added_to_a_section_comes_before_a_new_section() {
    let base = "# A\n- one\n";
    let (added, section) = ("# A\n- one\n- two\n", "# A\n- one\n\n# B\nnew\n");
    let both = "# A\n- one\n- two\n\n# B\nnew\n";
    assert_eq!(merged(base, added, section).unwrap(), both);
    assert_eq!(merged(base, section, added).unwrap(), both);
    let unended = "# A\n- one\n- two";
    assert_eq!(merged(base, unended, section).unwrap(), both);
}

#[test]
fn line_ends_and_signs_of_all_kinds_are_kept() {
    let base = "a\r\nb\r\n\r\nc\nd";
    let ours = "A\r\nb\r\n\r\nc\nd";
    let theirs = "a\r\nb\r\n\r\nc\nd\u{2028}é🦊";
    assert_eq!(merged(base, ours, theirs).unwrap(), "A\r\nb\r\n\r\nc\nd\u{2028}é🦊");
}

#[test]
fn whoever_has_something_of_the_other_knows_of_it() {
    let (base, theirs) = ("a\nb\nc\n", "a\nb\nx\ny\nc\n");
    assert!(merge(base, "a\nb\nx\nc\n", theirs).shared);
    assert!(merge(base, theirs, theirs).shared);
    assert!(!merge(base, "A\nb\nc\n", theirs).shared);
    assert!(!merge(base, "a\nb\nz\nc\n", theirs).shared);
    assert!(!merge(base, base, theirs).shared);
}

/// What becomes of each line of a base.
#[derive(Debug, Clone)]
enum Line {
    Stays,
    Goes,
    Becomes(u8),
    Follows(u8),
}

fn line() -> impl Strategy<Value = Line> {
    prop_oneof![
        6 => Just(Line::Stays),
        1 => Just(Line::Goes),
        1 => (1_u8..4).prop_map(Line::Becomes),
        1 => (1_u8..4).prop_map(Line::Follows),
    ]
}

/// The base's lines edited; lines of `who` are unlike any other.
fn edit(base: &[String], edits: &[Line], who: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (at, (line, edit)) in base.iter().zip(edits).enumerate() {
        let end = if line.ends_with("\r\n") { "\r\n" } else { "\n" };
        let new = |count: u8| (0..count).map(move |n| format!("{who} {at} {n}{end}"));
        match edit {
            Line::Stays => lines.push(line.clone()),
            Line::Goes => {}
            Line::Becomes(count) => lines.extend(new(*count)),
            Line::Follows(count) => {
                lines.push(line.clone());
                lines.extend(new(*count));
            }
        }
    }
    lines
}

fn base() -> impl Strategy<Value = Vec<String>> {
    const KINDS: [&str; 5] = ["", "# Héading ", "```", "- ", "字 "];
    let line = (prop::sample::select(&KINDS[..]), any::<bool>());
    prop::collection::vec(line, 0..24).prop_map(|kinds| {
        let lines = kinds.into_iter().enumerate();
        lines
            .map(|(n, (kind, dos))| format!("{kind}{n}{}", if dos { "\r\n" } else { "\n" }))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_is_lost_and_nothing_comes_back(
        base in base(),
        ours in prop::collection::vec(line(), 24),
        theirs in prop::collection::vec(line(), 24),
        unended in any::<[bool; 3]>(),
    ) {
        let (ours, theirs) = (edit(&base, &ours, "ours"), edit(&base, &theirs, "theirs"));
        let text = |lines: &[String], unended: bool| {
            let text = lines.concat();
            if unended { text.trim_end_matches(['\r', '\n']).to_owned() } else { text }
        };
        let [b, o, t] = [text(&base, unended[0]), text(&ours, unended[1]), text(&theirs, unended[2])];
        let merged = merge(&b, &o, &t);
        prop_assert_eq!(&merged.text, &merge(&b, &t, &o).text, "the sides are alike");
        if let Some(merged) = merged.text {
            let has = |text: &str, line: &str| text.lines().any(|other| other == line.trim_end());
            for line in o.lines().filter(|line| !has(&b, line)) {
                prop_assert!(has(&merged, line), "{line} of ours is lost: {merged:?}");
            }
            for line in t.lines().filter(|line| !has(&b, line)) {
                prop_assert!(has(&merged, line), "{line} of theirs is lost: {merged:?}");
            }
            for line in b.lines() {
                let stays = has(&o, line) && has(&t, line);
                prop_assert_eq!(has(&merged, line), stays, "{} of {:?}", line, merged);
            }
            let known = merged.lines().all(|line| [&b, &o, &t].iter().any(|text| has(text, line)));
            prop_assert!(known, "{merged:?}");
        }
    }

    #[test]
    fn one_side_alone_is_taken_to_the_byte(
        base in "([ab#`é\r ]{0,3}\n){0,12}[ab]{0,2}",
        ours in "([ab#`é\r ]{0,3}\n){0,12}[ab]{0,2}",
    ) {
        prop_assert_eq!(merged(&base, &ours, &base), Some(ours.clone()));
        prop_assert_eq!(merged(&base, &base, &ours), Some(ours.clone()));
        prop_assert_eq!(merged(&base, &ours, &ours), Some(ours));
    }

    #[test]
    fn any_three_texts_are_merged_alike_from_both_sides(
        base in "([ab]\n){0,9}[ab]?",
        ours in "([ab#]{1,2} ?\n){0,9}[ab]?",
        theirs in "([ab#]{1,2} ?\n){0,9}[ab]?",
    ) {
        prop_assert_eq!(merged(&base, &ours, &theirs), merged(&base, &theirs, &ours));
    }
}
