//! What is remembered, without regard to where it is stored.

pub mod archive;
pub mod bank;
pub mod belief;
pub mod brief;
pub mod context;
pub mod extraction;
pub mod fusion;
pub mod graphml;
pub mod log;
pub mod markdown;
pub mod pool;
pub mod question;
pub mod ranking;
pub mod resolution;
pub mod signals;
pub mod time;
pub mod words;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Of a vector.
pub const DIMENSIONS: usize = 384;

/// Whose memory it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace(pub String);

/// What kind of thing an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Something said or done.
    Episode,
    /// A statement about an entity.
    Fact,
    /// What facts are about.
    Entity,
    /// A part of a memory-bank document.
    Section,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Episode, Self::Fact, Self::Entity, Self::Section];

    /// Its number in the store.
    #[must_use]
    pub const fn number(self) -> i16 {
        match self {
            Self::Episode => 1,
            Self::Fact => 2,
            Self::Entity => 3,
            Self::Section => 4,
        }
    }

    /// The kind of that number.
    #[must_use]
    pub fn of(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

/// Something that can be found.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its id.
    pub id: Uuid,
    /// What it is.
    pub kind: Kind,
    /// What it says.
    pub text: String,
    /// Where it came from.
    pub source: String,
    /// Who said or did it.
    pub actor: String,
    /// What it belongs to.
    pub session: String,
    /// When it happened or became true.
    pub valid_from: DateTime<Utc>,
    /// When it ceased to be true.
    pub valid_to: Option<DateTime<Utc>>,
    /// When it was written down.
    pub recorded_at: DateTime<Utc>,
}

/// Something said or done, not yet written.
#[derive(Debug, Clone)]
pub struct NewEpisode {
    /// What.
    pub text: String,
    /// Who.
    pub actor: String,
    /// What it belongs to.
    pub session: String,
    /// Where it came from.
    pub source: String,
    /// When; now when absent.
    pub occurred_at: Option<DateTime<Utc>>,
}

/// A statement, not yet written.
#[derive(Debug, Clone)]
pub struct NewFact {
    /// The entity it is about.
    pub subject: String,
    /// What is said of it.
    pub predicate: String,
    /// Another entity or a literal.
    pub object: String,
    /// Which of the two.
    pub object_is_entity: bool,
    /// When it became true; the episode's time when absent.
    pub valid_from: Option<DateTime<Utc>>,
    /// When it ceased.
    pub valid_to: Option<DateTime<Utc>>,
    /// Whether only one object can hold at a time.
    pub functional: bool,
    /// What it was concluded from.
    pub derived_from: Vec<Uuid>,
    /// Places of facts of the same request it was concluded from; never in a circle.
    pub derived_from_facts: Vec<usize>,
    /// What the subject is; empty when that is not said.
    pub subject_type: String,
    /// What the object is, if it is an entity.
    pub object_type: String,
}

impl NewFact {
    /// As a sentence, by which it is found: `Ana lives in Porto`.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{} {} {}", self.subject, self.predicate.replace('_', " "), self.object)
    }
}
