use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// A folder of one file and a store of one document, in memory.
#[derive(Debug, Default)]
struct World {
    file: Option<String>,
    stored: Option<Stored>,
    aside: Vec<String>,
    /// What the person wrote, and did not delete himself.
    persons: BTreeSet<String>,
    /// What agents wrote, and nobody deleted.
    agents: BTreeSet<String>,
    written: u32,
}

#[derive(Debug, Clone)]
enum Event {
    /// The person writes or deletes a line; how old the file was that he read is the second number.
    Person(u8, bool),
    Agent(u8),
    Delete,
    /// A step that was decided on is done: all of it, or nothing at all.
    Step,
    /// A step whose change of the file is done, and the store stops before it notes so.
    Killed,
}

impl World {
    fn line(&mut self, who: &str) -> String {
        self.written += 1;
        format!("{who} {}", self.written)
    }

    fn person(&mut self, place: u8, deletes: bool) {
        let text = self.file.clone().unwrap_or_default();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if deletes && !lines.is_empty() {
            let gone = lines.remove(place as usize % lines.len());
            self.persons.remove(&gone);
            self.agents.remove(&gone);
        } else {
            let new = self.line("person");
            lines.insert(place as usize % (lines.len() + 1), new.clone());
            self.persons.insert(new);
        }
        self.file = Some(lines.iter().map(|line| format!("{line}\n")).collect());
    }

    fn agent(&mut self, place: u8) {
        let mut stored = self.stored.take().unwrap_or_default();
        let mut lines: Vec<String> = stored.content.lines().map(str::to_owned).collect();
        let new = self.line("agent");
        lines.insert(place as usize % (lines.len() + 1), new.clone());
        self.agents.insert(new);
        stored.content = lines.iter().map(|line| format!("{line}\n")).collect();
        self.stored = Some(stored);
    }

    fn step(&mut self, killed: bool) -> bool {
        let step = step(self.file.as_deref(), self.stored.as_ref());
        let mut stored = self.stored.take().unwrap_or_default();
        match step {
            Step::Rest => {
                self.stored = (stored != Stored::default()).then_some(stored);
                return false;
            }
            Step::Note => {
                stored.before = std::mem::replace(&mut stored.base, self.file.clone());
                (stored.on_disk, stored.writing) = (true, None);
            }
            Step::TakeIn { content } => {
                (stored.base, stored.on_disk, stored.before) = (self.file.clone(), true, None);
                (stored.content, stored.writing) = (content, None);
            }
            Step::Write => {
                stored.writing = Some(stored.content.clone());
                let before = self.file.replace(stored.content.clone());
                if !killed {
                    (stored.base, stored.on_disk) = (stored.writing.take(), true);
                    stored.before = before;
                }
            }
            Step::SetAside => {
                self.aside.push(stored.content);
                if self.file.is_none() {
                    return true;
                }
                stored = Stored {
                    content: self.file.clone().unwrap_or_default(),
                    base: self.file.clone(),
                    on_disk: true,
                    ..Stored::default()
                };
            }
            Step::Remove => return true,
        }
        self.stored = Some(stored);
        true
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (any::<u8>(), prop::bool::weighted(0.3)).prop_map(|(place, gone)| Event::Person(place, gone)),
        3 => any::<u8>().prop_map(Event::Agent),
        1 => Just(Event::Delete),
        6 => Just(Event::Step),
        1 => Just(Event::Killed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_happens_in_whatever_order_nobodys_lines_are_lost(
        events in prop::collection::vec(event(), 0..40),
    ) {
        let mut world = World::default();
        for event in events {
            match event {
                Event::Person(place, deletes) => world.person(place, deletes),
                Event::Agent(place) => world.agent(place),
                Event::Delete => {
                    for line in world.file.take().unwrap_or_default().lines() {
                        world.persons.remove(line);
                        world.agents.remove(line);
                    }
                }
                Event::Step => { world.step(false); }
                Event::Killed => { world.step(true); }
            }
        }
        let mut steps = 0;
        while world.step(false) {
            steps += 1;
            prop_assert!(steps < 10, "it comes to rest: {world:?}");
        }
        let file = world.file.clone().unwrap_or_default();
        let has = |text: &str, line: &str| text.lines().any(|other| other == line);
        for line in &world.persons {
            prop_assert!(has(&file, line), "{line} is lost: {world:?}");
        }
        for line in &world.agents {
            let kept = has(&file, line) || world.aside.iter().any(|text| has(text, line));
            prop_assert!(kept, "{line} is lost: {world:?}");
        }
        let stored = world.stored.as_ref().map(|stored| &stored.content);
        prop_assert_eq!(stored, world.file.as_ref(), "both have the same");
    }
}

#[test]
fn a_person_who_had_not_seen_an_edit_does_not_undo_it() {
    let stored = Stored {
        content: "a\nagent\nb\n".to_owned(),
        base: Some("a\nagent\nb\n".to_owned()),
        on_disk: true,
        before: Some("a\nb\n".to_owned()),
        writing: None,
    };
    assert_eq!(step(Some("a\nb\nperson\n"), Some(&stored)), Step::SetAside);
    let seen = "a\nagent\nb\nperson\n".to_owned();
    assert_eq!(step(Some(&seen), Some(&stored)), Step::TakeIn { content: seen });
    let later = Stored { before: None, ..stored };
    let deleted = "a\nb\nperson\n".to_owned();
    assert_eq!(step(Some(&deleted), Some(&later)), Step::TakeIn { content: deleted });
}

#[test]
fn a_copy_taken_in_earlier_is_a_base_but_its_absence_is_no_deletion() {
    let copy = "a\n".to_owned();
    let stored = Stored { content: copy.clone(), base: Some(copy), ..Stored::default() };
    assert_eq!(step(Some("a\nb\n"), Some(&stored)), Step::TakeIn { content: "a\nb\n".to_owned() });
    assert_eq!(step(Some("a\n"), Some(&stored)), Step::Note);
    assert_eq!(step(None, Some(&stored)), Step::Write);
    let edited = Stored { content: "a\nx\n".to_owned(), ..stored };
    assert_eq!(step(Some("a\n"), Some(&edited)), Step::Write);
}

#[test]
fn what_was_written_and_not_noted_is_known_again() {
    let stored = Stored {
        content: "a\nx\ny\n".to_owned(),
        base: Some("a\n".to_owned()),
        on_disk: true,
        writing: Some("a\nx\n".to_owned()),
        before: None,
    };
    assert_eq!(step(Some("a\nx\n"), Some(&stored)), Step::Note);
    let on_top = Step::TakeIn { content: "person\na\nx\ny\n".to_owned() };
    assert_eq!(step(Some("person\na\nx\n"), Some(&stored)), on_top);
}
