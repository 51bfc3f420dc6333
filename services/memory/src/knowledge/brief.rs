//! What an agent that starts blank is told: sections of lines, each cited, within a budget of tokens
//! that the sections share. The same of it gives the same text: nothing here knows the time.

use uuid::Uuid;

use super::{
    Item,
    context::{self, SHORTEST_LINE, fitted, tokens},
    log::Entry,
};

/// The memory bank's documents by importance; others come after them, by path.
pub const DOCUMENTS: [&str; 6] = [
    "projectbrief.md",
    "activeContext.md",
    "progress.md",
    "productContext.md",
    "systemPatterns.md",
    "techContext.md",
];

/// One of several lines takes at most this share of its section.
const LARGEST_SHARE: u32 = 2;

/// What a line cites.
#[derive(Debug, Clone)]
pub enum Source {
    /// An episode, a fact or a section.
    Item(Item),
    /// An entry of the log, with its number.
    Action(i64, Entry),
}

/// A line.
#[derive(Debug, Clone)]
pub struct Line {
    /// What it says, and where that comes from.
    pub source: Source,
    /// Why it is told.
    pub reasons: Vec<String>,
    /// Why it is stale; empty when it is not.
    pub doubts: Vec<String>,
}

impl Line {
    /// Of an item that is not stale.
    #[must_use]
    pub fn of(item: Item, reason: &str) -> Self {
        Self { source: Source::Item(item), reasons: vec![reason.to_owned()], doubts: Vec::new() }
    }

    /// The item's id.
    #[must_use]
    pub fn item_id(&self) -> Option<Uuid> {
        match &self.source {
            Source::Item(item) => Some(item.id),
            Source::Action(..) => None,
        }
    }

    fn head(&self, number: usize) -> String {
        match &self.source {
            Source::Item(item) if item.kind == super::Kind::Section => {
                format!("[{number}] {}: ", item.source)
            }
            Source::Item(item) => context::head(number, &item.actor, item.valid_from),
            Source::Action(_, entry) => context::head(number, &entry.what.actor, entry.at),
        }
    }

    fn text(&self) -> String {
        let said = match &self.source {
            Source::Item(item) => &item.text,
            Source::Action(_, entry) => &entry.what.summary,
        };
        match self.doubts.first() {
            // In front: what is too long is cut behind.
            Some(why) => format!("(stale, for {why}) {said}"),
            None => said.clone(),
        }
    }
}

/// What belongs together.
#[derive(Debug)]
pub struct Section {
    /// Above it.
    pub heading: &'static str,
    /// Of the budget, in hundredths; what it does not need goes to the others.
    pub share: u32,
    /// The most important first.
    pub lines: Vec<Line>,
}

/// A packed brief.
#[derive(Debug, Default)]
pub struct Brief {
    /// Headings and lines.
    pub text: String,
    /// What "[1]", "[2]" … stand for.
    pub cited: Vec<Line>,
    /// An upper estimate of the text's tokens.
    pub tokens: u32,
}

/// Packs as much as fits into `budget` tokens. An item is told once, where it comes first.
#[must_use]
pub fn pack(mut sections: Vec<Section>, budget: u32) -> Brief {
    let mut told = std::collections::HashSet::new();
    for section in &mut sections {
        section.lines.retain(|line| line.item_id().is_none_or(|id| told.insert(id)));
    }
    sections.retain(|section| !section.lines.is_empty());
    let rooms = rooms(&sections, budget);
    let mut brief = Brief::default();
    let mut left_over = 0;
    for (section, room) in sections.into_iter().zip(rooms) {
        let room = (room + left_over).min(budget.saturating_sub(brief.tokens));
        left_over = room - brief.add(section, room);
    }
    brief
}

/// What each section gets: its share or less, and then in turn of what is left as much as it needs.
fn rooms(sections: &[Section], budget: u32) -> Vec<u32> {
    let needs: Vec<u32> = sections.iter().map(need).collect();
    let shares = sections.iter().map(|section| budget.saturating_mul(section.share) / 100);
    let mut rooms: Vec<u32> =
        needs.iter().zip(shares).map(|(need, share)| share.min(*need)).collect();
    let mut left = budget.saturating_sub(rooms.iter().sum());
    for (room, need) in rooms.iter_mut().zip(needs) {
        let more = (need - *room).min(left);
        *room += more;
        left -= more;
    }
    rooms
}

/// Tokens of all of it, with numbers of three digits.
fn need(section: &Section) -> u32 {
    let lines = section.lines.iter().map(|line| {
        let text = line.text();
        tokens(&line.head(100)) + tokens(&text) + 1
    });
    lines.fold(tokens(&titled(section)), u32::saturating_add)
}

fn titled(section: &Section) -> String {
    format!("## {}\n", section.heading)
}

impl Brief {
    /// Adds what fits into `room`; gives how much it took.
    fn add(&mut self, section: Section, room: u32) -> u32 {
        let title = titled(&section);
        let largest = if section.lines.len() == 1 { room } else { room / LARGEST_SHARE };
        let mut used = tokens(&title);
        let mut text = title;
        let already = self.cited.len();
        for line in section.lines {
            let (head, said) = (line.head(self.cited.len() + 1), line.text());
            let left = room.saturating_sub(used).min(largest);
            let fits = left.checked_sub(tokens(&head) + 1);
            // Cut shorter than that it says nothing; as a whole it may be short.
            let Some(fits) = fits.filter(|fits| *fits >= SHORTEST_LINE.min(tokens(&said))) else {
                break;
            };
            let written = format!("{head}{}\n", fitted(&said, fits));
            used += tokens(&written);
            text.push_str(&written);
            self.cited.push(line);
        }
        if self.cited.len() == already {
            return 0;
        }
        self.text.push_str(&text);
        self.tokens += used;
        used
    }
}

/// How much a fact is needed: by what it is, how much is known of its subject, how much rests on it,
/// and whether it is about somebody who takes part.
#[must_use]
pub fn weight(functional: bool, known_of_subject: i64, resting: i64, about_actor: bool) -> i64 {
    // Twice as much known counts one more.
    let known = i64::from(known_of_subject.max(1).ilog2());
    4 * i64::from(functional) + 4 * i64::from(about_actor) + known.min(4) + resting.min(4)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::knowledge::Kind;

    fn line(number: u128, text: &str) -> Line {
        let at = DateTime::from_timestamp(1_777_593_600, 0).unwrap();
        let item = Item {
            id: Uuid::from_u128(number),
            kind: Kind::Episode,
            text: text.to_owned(),
            source: String::new(),
            actor: "user".to_owned(),
            session: String::new(),
            valid_from: at,
            valid_to: None,
            recorded_at: at,
        };
        Line::of(item, "latest")
    }

    fn section(heading: &'static str, share: u32, lines: Vec<Line>) -> Section {
        Section { heading, share, lines }
    }

    #[test]
    fn sections_have_headings_and_lines_are_told_once() {
        let sections = vec![
            section("Brief", 50, vec![line(1, "We build\na boat.")]),
            section("Runs", 25, vec![]),
            section("Last", 25, vec![line(1, "We build a boat."), line(2, "It floats.")]),
        ];
        let brief = pack(sections, 300);
        let expected = "## Brief\n[1] 2026-05-01 user: We build a boat.\n\
                        ## Last\n[2] 2026-05-01 user: It floats.\n";
        assert_eq!(brief.text, expected);
        assert_eq!(brief.cited.len(), 2);
    }

    #[test]
    fn what_a_section_does_not_need_goes_to_the_others() {
        let long: Vec<Line> = (10..40).map(|n| line(n, &"word ".repeat(30))).collect();
        let alone = pack(vec![section("Last", 10, long.clone())], 600);
        assert!(alone.tokens > 500, "{}", alone.tokens);
        let both = vec![section("Brief", 90, vec![line(1, "short")]), section("Last", 10, long)];
        let both = pack(both, 600);
        assert!(both.tokens > 500 && both.text.starts_with("## Brief\n[1]"), "{}", both.text);
    }

    #[test]
    fn doubts_are_told_in_front() {
        let mut stale = line(1, "Ana trains here.");
        stale.doubts = vec!["Ana lives in Berlin: ended 2026-05-01".to_owned()];
        let brief = pack(vec![section("Facts", 100, vec![stale])], 300);
        let expected = "(stale, for Ana lives in Berlin: ended 2026-05-01) Ana trains here.";
        assert!(brief.text.contains(expected), "{}", brief.text);
    }

    #[test]
    fn what_is_whole_may_be_short() {
        let brief = pack(vec![section("Runs", 100, vec![line(1, "Go"), line(2, "Stop")])], 300);
        assert_eq!(brief.cited.len(), 2, "{}", brief.text);
    }

    proptest! {
        #[test]
        fn the_budget_is_never_passed(
            texts in prop::collection::vec(prop::collection::vec(".{0,200}", 0..6), 0..7),
            budget in 32_u32..600,
        ) {
            let mut number = 0;
            let sections = texts.iter().map(|texts| {
                let lines = texts.iter().map(|text| { number += 1; line(number, text) });
                section("What it is about", 20, lines.collect())
            });
            let brief = pack(sections.collect(), budget);
            prop_assert!(brief.tokens <= budget);
            prop_assert!(tokens(&brief.text) <= brief.tokens);
            let lines = brief.text.lines().filter(|line| !line.starts_with("## ")).count();
            prop_assert_eq!(lines, brief.cited.len());
        }
    }
}
