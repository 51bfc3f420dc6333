//! What was believed when, and what can be relied on.
//!
//! Two times are told apart: a fact is true from `valid_from` to `valid_to`, and it is believed, in
//! one version of it, since it was recorded and until it was revised or retracted. A fact that rests
//! on others holds where all of them do, all the way down.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Kind;

/// So many reasons for doubt are told of a fact.
pub const MOST_DOUBTS: usize = 5;

/// Of when a read is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Facts are true at this time.
    pub as_of: DateTime<Utc>,
    /// As they were believed at this time; now when absent.
    pub known_at: Option<DateTime<Utc>>,
    /// Whether stale facts are given.
    pub include_stale: bool,
}

impl View {
    /// Now, with what is stale.
    #[must_use]
    pub fn now() -> Self {
        Self { as_of: Utc::now(), known_at: None, include_stale: true }
    }

    /// The record time as a time: later than any when it is now, so that what another machine's
    /// clock wrote down counts.
    #[must_use]
    pub fn known(&self) -> DateTime<Utc> {
        self.known_at.unwrap_or(LATEST)
    }
}

/// The last second of the year 9999.
pub const LATEST: DateTime<Utc> = match DateTime::from_timestamp(253_402_300_799, 0) {
    Some(latest) => latest,
    None => DateTime::UNIX_EPOCH,
};

/// What was believed of something for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// When it became true.
    pub valid_from: DateTime<Utc>,
    /// When it ceased.
    pub valid_to: Option<DateTime<Utc>>,
    /// Believed from then …
    pub since: DateTime<Utc>,
    /// … until then.
    pub until: Option<DateTime<Utc>>,
    /// Why it was taken back, if somebody said.
    pub reason: String,
}

/// Whether something can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Believed, true, and everything it rests on is.
    Holds,
    /// Something it rests on does not hold.
    Stale,
    /// Its validity is over.
    Ended,
    /// Its validity has not begun.
    Future,
    /// Taken back.
    Retracted,
    /// Written down later.
    Unknown,
}

/// How something stands by itself, given the last version of it that had begun by then; with what a
/// person is told, which is nothing when it holds.
#[must_use]
pub fn standing(kind: Kind, version: Option<&Version>, view: &View) -> (Standing, String) {
    let day = |at: DateTime<Utc>| at.format("%Y-%m-%d");
    let Some(version) = version else {
        return (Standing::Unknown, "not known yet".to_owned());
    };
    if let Some(until) = version.until.filter(|until| *until <= view.known()) {
        let why = if version.reason.is_empty() { "" } else { ": " };
        let told = format!("retracted {}{why}{}", day(until), version.reason);
        return (Standing::Retracted, told);
    }
    if kind != Kind::Fact {
        return (Standing::Holds, String::new());
    }
    if view.as_of < version.valid_from {
        return (Standing::Future, format!("true only from {}", day(version.valid_from)));
    }
    match version.valid_to {
        Some(end) if end <= view.as_of => (Standing::Ended, format!("ended {}", day(end))),
        _ => (Standing::Holds, String::new()),
    }
}

/// What happened to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// Written down.
    Recorded,
    /// Another validity.
    Revised,
    /// Taken back.
    Retracted,
    /// Believed again.
    Restored,
    /// Something it rests on does not hold any more.
    Stale,
    /// All it rests on holds again.
    Holding,
    /// Deleted.
    Forgotten,
}

impl ChangeKind {
    const ALL: [Self; 7] = [
        Self::Recorded,
        Self::Revised,
        Self::Retracted,
        Self::Restored,
        Self::Stale,
        Self::Holding,
        Self::Forgotten,
    ];

    /// Its number in the store.
    #[must_use]
    pub fn number(self) -> i16 {
        match self {
            Self::Recorded => 1,
            Self::Revised => 2,
            Self::Retracted => 3,
            Self::Restored => 4,
            Self::Stale => 5,
            Self::Holding => 6,
            Self::Forgotten => 7,
        }
    }

    /// The kind of that number.
    #[must_use]
    pub fn of(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

/// What a correction changed beside itself.
#[derive(Debug, Clone, Default)]
pub struct Consequences {
    /// Facts that are stale since.
    pub now_stale: Vec<Uuid>,
    /// Facts that hold again.
    pub now_holding: Vec<Uuid>,
    /// Facts whose validity ends at another time.
    pub revised: Vec<Uuid>,
}

/// Whether links from each of `links` to others of its places lead back to where they began, or to
/// none: the place of the first link that does.
#[must_use]
pub fn circular(links: &[Vec<usize>]) -> Option<usize> {
    // Depth-first with a stack of its own; 0 not seen, 1 on the way, 2 done.
    let mut state = vec![0_u8; links.len()];
    for start in 0..links.len() {
        let mut way = vec![(start, 0_usize)];
        while let Some((at, next)) = way.pop() {
            if next == 0 {
                if state.get(at).is_none_or(|state| *state == 2) {
                    continue;
                }
                state[at] = 1;
            }
            let Some(&to) = links[at].get(next) else {
                state[at] = 2;
                continue;
            };
            if state.get(to).is_none_or(|state| *state == 1) {
                return Some(at);
            }
            way.push((at, next + 1));
            way.push((to, 0));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(day: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::days(day)
    }

    #[test]
    fn what_stands_how_is_told_in_words() {
        let version = Version {
            valid_from: at(10),
            valid_to: Some(at(20)),
            since: at(100),
            until: Some(at(200)),
            reason: "a joke".to_owned(),
        };
        let told = |as_of, known: Option<i64>| {
            let view = View { as_of: at(as_of), known_at: known.map(at), include_stale: true };
            standing(Kind::Fact, Some(&version), &view)
        };
        assert_eq!(told(15, Some(150)), (Standing::Holds, String::new()));
        assert_eq!(told(20, Some(150)), (Standing::Ended, "ended 1970-01-21".to_owned()));
        assert_eq!(told(5, Some(150)).0, Standing::Future);
        let retracted = "retracted 1970-07-20: a joke".to_owned();
        assert_eq!(told(15, None), (Standing::Retracted, retracted));
        assert_eq!(standing(Kind::Fact, None, &View::now()).0, Standing::Unknown);
    }

    #[test]
    fn circles_are_found() {
        assert_eq!(circular(&[vec![1], vec![2], vec![]]), None);
        assert_eq!(circular(&[vec![1, 2], vec![2], vec![]]), None, "a diamond is none");
        assert_eq!(circular(&[vec![0]]), Some(0));
        assert_eq!(circular(&[vec![1], vec![2], vec![0]]), Some(2));
        assert_eq!(circular(&[vec![7]]), Some(0), "there is no such place");
    }

    proptest! {
        #[test]
        fn links_to_earlier_places_are_never_circular(links in proptest::collection::vec(
            proptest::collection::vec(any::<prop::sample::Index>(), 0..4), 1..40)) {
            let links: Vec<Vec<usize>> = links.iter().enumerate()
                .map(|(at, to)| if at == 0 { vec![] } else { to.iter().map(|i| i.index(at)).collect() })
                .collect();
            prop_assert_eq!(circular(&links), None);
        }
    }
}
