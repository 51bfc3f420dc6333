//! The predicates that are concluded, and how each behaves.
//!
//! A functional predicate has one object at a time: a newer one ends the older. `no_longer_` before a
//! predicate says that it ceased to be true of that object.

/// Says that something ceased: `no_longer_lives_in`.
pub const NO_LONGER: &str = "no_longer_";

/// What is known of a predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Predicate {
    /// As it is stored.
    pub name: &'static str,
    /// Whether its subject has one object at a time.
    pub functional: bool,
    /// What the object is: "person", "place", "organisation"; empty for a literal or anything.
    pub object: &'static str,
    /// What it says, for the model and for people.
    pub means: &'static str,
}

const fn one(name: &'static str, object: &'static str, means: &'static str) -> Predicate {
    Predicate { name, functional: true, object, means }
}

const fn many(name: &'static str, object: &'static str, means: &'static str) -> Predicate {
    Predicate { name, functional: false, object, means }
}

/// All of them.
pub const PREDICATES: [Predicate; 37] = [
    many("is_a", "", "what somebody or something is: a nurse, a dog"),
    many("is", "", "a lasting state: vegetarian, retired"),
    many("has", "", "a possession, pet or relative"),
    many("likes", "", ""),
    many("dislikes", "", ""),
    many("prefers", "", "what is liked better than something else"),
    one("lives_in", "place", "the place of residence"),
    one("from", "place", "the place somebody comes from"),
    one("works_at", "organisation", "the employer"),
    one("works_as", "", "the occupation"),
    many("works_on", "", "a project"),
    many("studies", "", "a subject"),
    many("studies_at", "organisation", "a school or university"),
    one("born_in", "place", "the place of birth"),
    one("born_on", "", "the date or year of birth"),
    one("birthday", "", "the day of birth, without a year"),
    one("age", "", "years"),
    one("married_to", "person", "the spouse"),
    many("sister", "person", ""),
    many("brother", "person", ""),
    one("mother", "person", ""),
    one("father", "person", ""),
    many("daughter", "person", ""),
    many("son", "person", ""),
    many("friend", "person", ""),
    one("boss", "person", "who somebody reports to"),
    one("partner", "person", ""),
    one("called", "", "the name somebody goes by"),
    many("speaks", "", "a language"),
    many("plays", "", "an instrument or sport"),
    many("allergic_to", "", ""),
    one("costs", "", "a price, as \"300 EUR\""),
    one("takes_place_on", "", "the day of an event, as \"2026-05-03\""),
    many("email", "", ""),
    many("phone", "", ""),
    one("located_in", "place", "where an organisation or thing is"),
    many("uses", "", "what a program or team is built on"),
];

/// What is known of a predicate, with or without `no_longer_`.
#[must_use]
pub fn predicate(name: &str) -> Option<Predicate> {
    let bare = name.strip_prefix(NO_LONGER).unwrap_or(name);
    PREDICATES.iter().copied().find(|known| known.name == bare)
}

/// Whether only one object can be true at a time. `favorite_colour` and its like are functional.
#[must_use]
pub fn is_functional(name: &str) -> bool {
    !name.starts_with(NO_LONGER)
        && (name.starts_with("favorite_") || predicate(name).is_some_and(|known| known.functional))
}

/// Whether the object is a person.
#[must_use]
pub fn is_person(name: &str) -> bool {
    predicate(name).is_some_and(|known| known.object == "person")
}
