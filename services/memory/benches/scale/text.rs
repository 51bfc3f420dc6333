//! Texts as people and agents would write them.

use rand::{Rng, RngExt, rngs::StdRng, seq::IndexedRandom};

const FIRST: [&str; 60] = [
    "Ana", "Bruno", "Carla", "Daniel", "Elena", "Felix", "Greta", "Hugo", "Ines", "Jonas", "Karim",
    "Lena", "Marco", "Nadia", "Oscar", "Paula", "Quentin", "Rosa", "Samuel", "Tara", "Umar",
    "Vera", "William", "Ximena", "Yara", "Zoe", "Alice", "Boris", "Chloe", "Dmitri", "Emma",
    "Farid", "Gwen", "Hana", "Igor", "Julia", "Kofi", "Laura", "Mateo", "Nora", "Olga", "Pedro",
    "Rania", "Stefan", "Theo", "Ursula", "Viktor", "Wanda", "Yusuf", "Amara", "Benedikt", "Celine",
    "Dolores", "Edgar", "Fiona", "Gustav", "Helena", "Isaac", "Joanna", "Leon",
];
const LAST: [&str; 50] = [
    "Silva",
    "Novak",
    "Keller",
    "Rossi",
    "Moreau",
    "Jensen",
    "Okafor",
    "Haddad",
    "Tanaka",
    "Lopez",
    "Schmidt",
    "Petrov",
    "Dubois",
    "Larsen",
    "Costa",
    "Weber",
    "Mendes",
    "Fischer",
    "Romano",
    "Laurent",
    "Nielsen",
    "Mensah",
    "Khalil",
    "Sato",
    "Garcia",
    "Wagner",
    "Ivanov",
    "Lefevre",
    "Berg",
    "Pereira",
    "Becker",
    "Bianchi",
    "Girard",
    "Holm",
    "Adeyemi",
    "Nasser",
    "Mori",
    "Torres",
    "Hoffmann",
    "Sokolov",
    "Martin",
    "Dahl",
    "Oliveira",
    "Schulz",
    "Greco",
    "Fontaine",
    "Lindqvist",
    "Osei",
    "Farah",
    "Kim",
];
const PLACES: [&str; 60] = [
    "Lisbon",
    "Porto",
    "Berlin",
    "Hamburg",
    "Paris",
    "Lyon",
    "Madrid",
    "Seville",
    "Rome",
    "Milan",
    "Vienna",
    "Graz",
    "Prague",
    "Brno",
    "Warsaw",
    "Krakow",
    "Oslo",
    "Bergen",
    "Stockholm",
    "Malmo",
    "Helsinki",
    "Tampere",
    "Dublin",
    "Cork",
    "London",
    "Bristol",
    "Athens",
    "Patras",
    "Zagreb",
    "Split",
    "Budapest",
    "Szeged",
    "Zurich",
    "Basel",
    "Geneva",
    "Brussels",
    "Ghent",
    "Amsterdam",
    "Utrecht",
    "Copenhagen",
    "Aarhus",
    "Riga",
    "Vilnius",
    "Tallinn",
    "Sofia",
    "Plovdiv",
    "Bucharest",
    "Cluj",
    "Valencia",
    "Bilbao",
    "Naples",
    "Turin",
    "Munich",
    "Cologne",
    "Leipzig",
    "Marseille",
    "Nice",
    "Toulouse",
    "Salzburg",
    "Innsbruck",
];
const THINGS: [&str; 80] = [
    "bicycle",
    "guitar",
    "garden",
    "camera",
    "sourdough bread",
    "violin",
    "sailing boat",
    "old map",
    "chess set",
    "pottery class",
    "running shoes",
    "novel",
    "telescope",
    "coffee machine",
    "sketchbook",
    "apartment",
    "train ticket",
    "birthday cake",
    "wooden table",
    "raincoat",
    "passport",
    "piano",
    "marathon",
    "language course",
    "mountain hut",
    "kayak",
    "vegetable market",
    "film festival",
    "job interview",
    "tax return",
    "dentist appointment",
    "swimming lesson",
    "library card",
    "puppy",
    "beehive",
    "vinyl record",
    "sewing machine",
    "spreadsheet",
    "invoice",
    "database backup",
    "deployment",
    "budget report",
    "insurance claim",
    "solar panel",
    "heat pump",
    "electric car",
    "photo album",
    "knitting pattern",
    "ice skates",
    "volleyball team",
    "choir",
    "theatre ticket",
    "museum visit",
    "cooking course",
    "wedding",
    "kitchen renovation",
    "new laptop",
    "phone contract",
    "hiking trail",
    "campsite",
    "ferry",
    "night train",
    "football match",
    "yoga retreat",
    "podcast",
    "blog post",
    "research paper",
    "scholarship",
    "internship",
    "thesis",
    "grant proposal",
    "neighbourhood meeting",
    "recycling centre",
    "community garden",
    "book club",
    "language exchange",
    "street market",
    "concert",
    "jazz evening",
    "art exhibition",
];
const DEEDS: [&str; 50] = [
    "bought a",
    "sold the",
    "repaired the",
    "lost the",
    "found an old",
    "talked about the",
    "dreamt of a",
    "paid for the",
    "cancelled the",
    "booked the",
    "organised a",
    "painted the",
    "photographed the",
    "wrote about the",
    "complained about the",
    "recommended the",
    "borrowed a",
    "returned the",
    "planned a",
    "postponed the",
    "finished the",
    "started a",
    "quit the",
    "celebrated the",
    "missed the",
    "won the",
    "taught a class about the",
    "read everything about the",
    "saved money for a",
    "argued about the",
    "laughed about the",
    "apologised for the",
    "asked twice about the",
    "forgot the",
    "compared prices of the",
    "shared pictures of the",
    "took care of the",
    "was proud of the",
    "was worried about the",
    "got a discount on the",
    "gave away the",
    "inherited a",
    "restored the",
    "measured the",
    "designed a",
    "reviewed the",
    "tested the",
    "documented the",
    "presented the",
    "negotiated the",
];
const FEELINGS: [&str; 30] = [
    "it went better than expected",
    "it rained all day",
    "the price had doubled",
    "nobody else was there",
    "the children loved it",
    "it took the whole afternoon",
    "a neighbour helped",
    "the shop was closed",
    "it was the first time in years",
    "the weather was perfect",
    "it had to be done twice",
    "there was a long queue",
    "it cost less than last year",
    "the trains were late",
    "it was a surprise",
    "an old friend came along",
    "the doctor had advised it",
    "it felt like a holiday",
    "the landlord agreed",
    "it was a present",
    "everyone was tired afterwards",
    "the boss approved",
    "it needs a second visit",
    "the view was worth it",
    "it broke on the way home",
    "the instructions were missing",
    "the deadline was moved",
    "the second attempt worked",
    "it will be repeated in spring",
    "the receipt is in the drawer",
];
const PREDICATES: [&str; 20] = [
    "lives in",
    "works in",
    "was born in",
    "likes the",
    "dislikes the",
    "owns a",
    "wants a",
    "studies the",
    "is afraid of the",
    "collects every",
    "travelled to",
    "is responsible for the",
    "pays for the",
    "is allergic to the",
    "teaches about the",
    "volunteers for the",
    "is married in",
    "moved to",
    "invested in the",
    "is an expert in the",
];
const SYLLABLES: [&str; 24] = [
    "ba", "ko", "ri", "ten", "mu", "sha", "lor", "vi", "dan", "pel", "quo", "zim", "nar", "fe",
    "gul", "hos", "jat", "wex", "yor", "cli", "dro", "stu", "pra", "eng",
];

/// What there is to write about.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) people: Vec<String>,
    /// Names of projects, shops and streets: words that few texts have.
    rare: Vec<String>,
}

/// A text, and which of the world's words make its meaning.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) words: [usize; 3],
}

/// A fact, and the text that states it.
#[derive(Debug)]
pub(crate) struct Fact {
    pub(crate) subject: usize,
    pub(crate) predicate: &'static str,
    pub(crate) object: &'static str,
    pub(crate) text: Text,
}

impl World {
    pub(crate) fn new(rng: &mut StdRng) -> Self {
        let people =
            FIRST.iter().flat_map(|first| LAST.iter().map(move |last| format!("{first} {last}")));
        let rare = (0..20_000).map(|_| {
            let syllables = (0..rng.random_range(3..6)).map(|_| SYLLABLES.choose(rng));
            syllables.flatten().copied().collect()
        });
        Self { people: people.collect(), rare: rare.collect() }
    }

    /// All whose vectors are needed.
    pub(crate) fn words(&self) -> Vec<String> {
        [&DEEDS[..], &THINGS, &PLACES, &PREDICATES]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    /// A few are spoken of much more than the rest.
    fn skewed(rng: &mut impl Rng, among: usize) -> usize {
        let share: f64 = rng.random();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to among")]
        let at = (share * share * among as f64) as usize;
        at.min(among - 1)
    }

    pub(crate) fn person(&self, rng: &mut impl Rng) -> usize {
        Self::skewed(rng, self.people.len())
    }

    pub(crate) fn episode(&self, rng: &mut impl Rng) -> Text {
        let [deed, thing, place] =
            [DEEDS.len(), THINGS.len(), PLACES.len()].map(|among| Self::skewed(rng, among));
        let feeling = FEELINGS[Self::skewed(rng, FEELINGS.len())];
        let with = &self.people[self.person(rng)];
        let rare = &self.rare[Self::skewed(rng, self.rare.len())];
        let amount = rng.random_range(3..4_000);
        let (deed_is, thing_is, place_is) = (DEEDS[deed], THINGS[thing], PLACES[place]);
        let text = match rng.random_range(0..4) {
            0 => format!("I {deed_is} {thing_is} in {place_is} with {with}, and {feeling}."),
            1 => format!(
                "Yesterday we {deed_is} {thing_is} near {rare} street in {place_is}; {feeling}."
            ),
            2 => format!(
                "{with} {deed_is} {thing_is} for {amount} euros at {rare}. {place_is} again, {feeling}."
            ),
            _ => format!(
                "In {place_is} {with} {deed_is} {thing_is}. For project {rare} that means {amount} more; {feeling}."
            ),
        };
        Text { text, words: [deed, DEEDS.len() + thing, DEEDS.len() + THINGS.len() + place] }
    }

    pub(crate) fn fact(&self, rng: &mut impl Rng) -> Fact {
        let (subject, predicate) = (self.person(rng), Self::skewed(rng, PREDICATES.len()));
        let base = DEEDS.len() + THINGS.len() + PLACES.len();
        let predicate_is = PREDICATES[predicate];
        let of_place = predicate_is.ends_with("in") || predicate_is.ends_with("to");
        let (object, word) = if of_place {
            let at = Self::skewed(rng, PLACES.len());
            (PLACES[at], DEEDS.len() + THINGS.len() + at)
        } else {
            let at = Self::skewed(rng, THINGS.len());
            (THINGS[at], DEEDS.len() + at)
        };
        let text = format!("{} {predicate_is} {object}", self.people[subject]);
        let text = Text { text, words: [base + predicate, word, word] };
        Fact { subject, predicate: predicate_is, object, text }
    }

    /// As somebody would ask.
    pub(crate) fn question(&self, rng: &mut impl Rng) -> String {
        let who = &self.people[self.person(rng)];
        let [deed, thing, place] =
            [&DEEDS[..], &THINGS, &PLACES].map(|of| of[Self::skewed(rng, of.len())]);
        let rare = &self.rare[Self::skewed(rng, self.rare.len())];
        let month = ["January", "May", "August", "November"].choose(rng).copied().unwrap_or("May");
        match rng.random_range(0..6) {
            0 => format!("Where did {who} {deed} {thing}?"),
            1 => format!("Who {deed} {thing} in {place} last {month}?"),
            2 => format!("What do we know about {rare}?"),
            3 => format!("How much did the {thing} in {place} cost {who}?"),
            4 => format!("Which {thing} does {who} like, and who was in {place} with them?"),
            _ => format!("What happened with project {rare} after the {thing}?"),
        }
    }
}
