//! Rules about people: where they live and work, whom and what they like, who is whose.

use super::{
    lexicon::{BE, LANGUAGES, NO_TASTE, PETS, PLAYED, RELATIVES},
    phrase::{Cursor, Subject},
    rules::{Clause, fact, link, no_longer},
    when,
};
use crate::knowledge::NewFact;

type Facts = Option<Vec<NewFact>>;

/// "my dog is called Rex", "my sister Bea …": the link, and what the rest of the clause says of them.
pub(super) fn relative(clause: &Clause<'_>) -> Facts {
    let Subject::Owned { owner, noun, name } = &clause.subject else { return None };
    let mut cursor = clause.cursor.clone();
    let noun = noun.to_lowercase();
    let noun = ["older ", "younger ", "big ", "little ", "best ", "twin "]
        .iter()
        .find_map(|which| noun.strip_prefix(which))
        .unwrap_or(&noun);
    if noun == "name" && name.is_none() {
        cursor.eat(BE).then_some(())?;
        let called = cursor.name().filter(|_| cursor.ends(&[]))?;
        return Some(vec![fact(owner, "called", called)]);
    }
    let pet = PETS.contains(&noun);
    let predicate = RELATIVES.iter().find(|(word, _)| *word == noun).map(|(_, name)| *name);
    let named = match name {
        Some(name) => Some(name.clone()),
        None => {
            let is = cursor.eat(BE);
            let called = cursor.eat(&["called", "named"]);
            // "my dog is Rex" says what he is called, "my boss is Portuguese" does not.
            let name = (is && (called || predicate.is_some())).then(|| cursor.name())?;
            name.filter(|name| called || !is_people(name)).filter(|_| cursor.ends(&["in", "since"]))
        }
    }?;
    let mut facts = Vec::new();
    if pet {
        facts.push(link(owner, "has", named.clone()));
        facts.push(fact(&named, "is_a", noun.to_owned()));
    } else {
        facts.push(link(owner, predicate?, named.clone()));
    }
    if name.is_some() {
        let subject = Subject::Named(named);
        let rest = Clause { subject, cursor, ..*clause };
        let more = residence(&rest)
            .or_else(|| work(&rest))
            .or_else(|| birth(&rest))
            .or_else(|| marriage(&rest))
            .or_else(|| taste(&rest))
            .or_else(|| abilities(&rest))
            .or_else(|| super::things::state(&rest))
            .or_else(|| super::things::kind(&rest));
        facts.extend(more.unwrap_or_default());
    }
    Some(facts)
}

/// Whether a name is that of a people or language.
fn is_people(name: &str) -> bool {
    let name = name.to_lowercase();
    LANGUAGES.contains(&name.as_str()) || name.ends_with("ish") || name.ends_with("ian")
}

/// "lives in Porto", "moved from Berlin to Porto", "comes from Spain".
pub(super) fn residence(clause: &Clause<'_>) -> Facts {
    let who = clause.who()?;
    let mut cursor = clause.cursor.clone();
    cursor.adverbs();
    let from = cursor.clone();
    if (cursor.eat(BE) && cursor.eat(&["from"]))
        || (cursor.eat(&["comes", "come"]) && cursor.eat(&["from"]))
    {
        let place = place(&mut cursor)?;
        return Some(vec![link(who, "from", place)]);
    }
    cursor = from;
    let mut perfect = false;
    cursor.eat(BE);
    if cursor.eat(&["has", "have"]) {
        perfect = true;
        cursor.adverbs();
        cursor.eat(&["been"]);
    }
    cursor.adverbs();
    let moved = if cursor.eat(&["moved", "relocated"]) {
        cursor.eat(&["back", "house", "away", "out", "abroad"]);
        if cursor.eat(&["from"]) {
            cursor.name()?;
        }
        cursor.eat(&["to"]).then_some(())?;
        true
    } else {
        let lives = cursor.eat(&["lives", "live", "living"]) || (perfect && cursor.eat(&["lived"]));
        (lives && cursor.eat(&["in"])).then_some(())?;
        false
    };
    let place = place(&mut cursor)?;
    let valid_from =
        if moved || perfect || clause.text.contains("since") { clause.since() } else { None };
    Some(vec![NewFact { valid_from, ..link(who, "lives_in", place) }])
}

/// A place with a name, and nothing behind it that makes it another.
fn place(cursor: &mut Cursor<'_>) -> Option<String> {
    let place = cursor.name()?;
    let after = [
        "since",
        "for",
        "with",
        "in",
        "from",
        "last",
        "two",
        "three",
        "a",
        "at",
        "again",
        "near",
        "after",
        "this",
        "yesterday",
        "on",
        "because",
        "as",
        "to",
        "together",
        "four",
        "five",
        "six",
        "over",
        "almost",
        "already",
        "ago",
        "permanently",
        "today",
        "before",
        "where",
        "anymore",
        "any",
    ];
    cursor.ends(&after).then_some(place)
}

/// "works at Acme as a nurse", "joined Acme", "started at Acme".
pub(super) fn work(clause: &Clause<'_>) -> Facts {
    let who = clause.who()?;
    let mut cursor = clause.cursor.clone();
    cursor.adverbs();
    cursor.eat(BE);
    let perfect = cursor.eat(&["has", "have"]);
    cursor.adverbs();
    cursor.eat(&["been"]);
    let mut since = perfect || clause.text.contains("since");
    let mut facts = Vec::new();
    let works = cursor.eat(&["works", "work", "working"]) || (perfect && cursor.eat(&["worked"]));
    if works {
        cursor.adverbs();
        cursor.eat_all(&["full", "time"]);
        cursor.eat_all(&["part", "time"]);
        cursor.eat(&["remotely"]);
        if cursor.eat(&["on"]) {
            let project = cursor.name().filter(|_| cursor.ends(&["at", "with", "for", "since"]))?;
            return Some(vec![link(who, "works_on", project)]);
        }
        if cursor.eat(&["at", "for"]) {
            facts.push(link(who, "works_at", organisation(&mut cursor)?));
        }
    } else {
        // "joined Bea", "joined the Party" are no jobs.
        let joined = (clause.text.contains(" as a") && cursor.eat(&["joined"]))
            || cursor.eat_all(&["started", "at"])
            || cursor.eat_all(&["started", "working", "at"])
            || cursor.eat_all(&["started", "working", "for"])
            || cursor.eat_all(&["got", "a", "job", "at"])
            || cursor.eat_all(&["got", "hired", "by"])
            || cursor.eat_all(&["was", "hired", "by"]);
        if !joined {
            return None;
        }
        since = true;
        facts.push(link(who, "works_at", organisation(&mut cursor)?));
    }
    // "joined Siemens in 2020 as a manager".
    while !facts.is_empty() && cursor.word() != "as" && cursor.word() != "" {
        cursor.at += 1;
    }
    if cursor.eat(&["as"]) {
        cursor.eat(&["the", "their"]);
        if let Some(job) = cursor.noun(5) {
            facts.push(fact(who, "works_as", job));
        }
    }
    let valid_from = if since { clause.since() } else { None };
    for fact in &mut facts {
        fact.valid_from = valid_from;
    }
    (!facts.is_empty()).then_some(facts)
}

fn organisation(cursor: &mut Cursor<'_>) -> Option<String> {
    cursor.eat(&["the"]);
    let name = cursor.name()?;
    let after = [
        "as",
        "since",
        "in",
        "for",
        "on",
        "last",
        "from",
        "with",
        "two",
        "three",
        "this",
        "and",
        "yesterday",
        "a",
        "full",
        "part",
        "after",
        "these",
        "anymore",
        "any",
    ];
    cursor.ends(&after).then_some(name)
}

/// "was born in Lisbon", "was born on 3 May 1990", "her birthday is 3 May", "is 34 years old".
pub(super) fn birth(clause: &Clause<'_>) -> Facts {
    let mut cursor = clause.cursor.clone();
    if let Subject::Owned { owner, noun, name: None } = &clause.subject {
        (noun == "birthday" && cursor.eat(BE)).then_some(())?;
        let day = when::day(cursor.rest(), clause.said, false)?;
        return Some(vec![fact(owner, "birthday", when::of_each_year(day))]);
    }
    let who = clause.who()?;
    if cursor.eat(&["was"]) && cursor.eat(&["born"]) {
        return born(who, clause, cursor);
    }
    cursor = clause.cursor.clone();
    if cursor.eat(&["turned"]) || cursor.eat(BE) {
        cursor.adverbs();
        let turned = clause.text.contains("turned");
        let age = cursor.word().parse::<u8>().ok().filter(|age| (1..=120).contains(age))?;
        cursor.at += 1;
        let told = cursor.eat_all(&["years", "old"])
            || (turned && cursor.ends(&["yesterday", "last", "today", "in", "this", "on"]));
        return told.then(|| vec![fact(who, "age", age.to_string())]);
    }
    None
}

fn born(who: &str, clause: &Clause<'_>, mut cursor: Cursor<'_>) -> Facts {
    let mut facts = Vec::new();
    let mut told = cursor.clone();
    let rest = cursor.rest();
    if told.eat(&["in"])
        && let Some(place) = told.name()
    {
        facts.push(link(who, "born_in", place));
        cursor = told;
    }
    let year = when::year(rest);
    let day = when::day(rest, clause.said, true).filter(|_| clause.text.contains(" on "));
    match (day, year) {
        (Some(day), Some(_)) => facts.push(fact(who, "born_on", day.to_string())),
        (Some(day), None) => facts.push(fact(who, "birthday", when::of_each_year(day))),
        (None, Some(year)) => facts.push(fact(who, "born_on", year.to_string())),
        (None, None) => {}
    }
    let _ = cursor;
    (!facts.is_empty()).then_some(facts)
}

/// "is married to Bob", "married Bob in 2015".
pub(super) fn marriage(clause: &Clause<'_>) -> Facts {
    let who = clause.who()?;
    let mut cursor = clause.cursor.clone();
    cursor.adverbs();
    cursor.eat(BE);
    cursor.eat(&["got", "has", "have"]);
    cursor.eat(&["been"]);
    cursor.adverbs();
    cursor.eat(&["married"]).then_some(())?;
    let to = cursor.eat(&["to"]);
    let is =
        clause.text.contains(" is ") || clause.text.contains("'m ") || clause.text.contains(" am ");
    (to || !is).then_some(())?;
    let spouse = cursor.name()?;
    let past = !is;
    let valid_from = if past || clause.text.contains("since") { clause.since() } else { None };
    Some(vec![NewFact { valid_from, ..link(who, "married_to", spouse) }])
}

/// "likes coffee and tea", "hates Mondays", "prefers tea to coffee".
pub(super) fn taste(clause: &Clause<'_>) -> Facts {
    let who = clause.who()?;
    let mut cursor = clause.cursor.clone();
    cursor.adverbs();
    let first = matches!(cursor.tokens.get(cursor.at.wrapping_sub(1)), Some(token) if token.lower == "i")
        || cursor.tokens.iter().take(cursor.at).any(|token| token.lower == "i");
    let (likes, dislikes, prefers): (&[&str], &[&str], &[&str]) = if first {
        (&["like", "love", "enjoy", "adore"], &["hate", "dislike", "detest"], &["prefer"])
    } else {
        (&["likes", "loves", "enjoys", "adores"], &["hates", "dislikes", "detests"], &["prefers"])
    };
    let predicate = if cursor.eat(likes) {
        "likes"
    } else if cursor.eat(dislikes) {
        "dislikes"
    } else if cursor.eat(prefers) {
        "prefers"
    } else if cursor.eat(BE) && cursor.eat(&["a"]) {
        cursor.eat(&["big", "huge", "great"]);
        cursor.eat_all(&["fan", "of"]).then_some("likes")?
    } else {
        return None;
    };
    let mut facts = Vec::new();
    loop {
        let from = cursor.at;
        let Some(object) = cursor.noun(4) else { break };
        if NO_TASTE.iter().any(|none| object.to_lowercase().ends_with(none)) {
            break;
        }
        let only_name = cursor.clone();
        let mut named = only_name;
        named.at = from;
        let whole = named.name().is_some_and(|name| name == object);
        facts.push(if whole { link(who, predicate, object) } else { fact(who, predicate, object) });
        if predicate == "prefers" {
            break;
        }
        let comma = cursor.tokens.get(cursor.at).is_some_and(|token| token.gap.starts_with(','));
        if !(cursor.eat(&["and", "or"]) || comma) {
            break;
        }
        cursor.eat(&["and"]);
    }
    (!facts.is_empty()).then_some(facts)
}

/// "speaks Portuguese", "plays the piano", "studies biology at Coimbra", "is allergic to nuts".
pub(super) fn abilities(clause: &Clause<'_>) -> Facts {
    let who = clause.who()?;
    let mut cursor = clause.cursor.clone();
    cursor.adverbs();
    let first = cursor.clone();
    if cursor.eat(&["speaks", "speak"]) {
        cursor.adverbs();
        cursor.eat(&["fluent", "some", "good"]);
        let mut facts = Vec::new();
        while LANGUAGES.contains(&cursor.word()) {
            let language = cursor.name()?;
            facts.push(fact(who, "speaks", language));
            cursor.eat(&["and"]);
        }
        return (!facts.is_empty()).then_some(facts);
    }
    if cursor.eat(&["plays", "play"]) {
        cursor.eat(&["the"]);
        let played = PLAYED.contains(&cursor.word()).then(|| cursor.word().to_owned())?;
        return Some(vec![fact(who, "plays", played)]);
    }
    if cursor.eat(BE) && cursor.eat(&["allergic"]) && cursor.eat(&["to"]) {
        return Some(vec![fact(who, "allergic_to", cursor.noun(3)?)]);
    }
    cursor = first;
    cursor.eat(BE);
    if cursor.eat(&["studies", "study", "studying"]) {
        let mut facts = Vec::new();
        if cursor.word() != "at" {
            facts.push(fact(who, "studies", cursor.noun(3)?));
        }
        if cursor.eat(&["at"]) {
            cursor.eat(&["the"]);
            facts.extend(cursor.name().map(|school| link(who, "studies_at", school)));
        }
        return (!facts.is_empty()).then_some(facts);
    }
    None
}

/// "no longer lives in Berlin", "left Acme", "stopped working at Acme", "does not like coffee anymore".
pub(super) fn ended(clause: &Clause<'_>) -> Facts {
    let who = clause.who()?;
    let mut cursor = clause.cursor.clone();
    cursor.adverbs();
    let valid_from = || clause.since();
    if cursor.eat(&["left", "quit"]) || cursor.eat_all(&["resigned", "from"]) {
        // "left Porto" is where somebody was, "left Bob" whom; only a job is told of so.
        let name = cursor.name()?;
        let job = cursor.ends(&["last", "in", "after", "two", "three", "yesterday", "as"]);
        let company = clause.text.contains("quit")
            || clause.text.contains("resigned")
            || clause.text.contains("job")
            || clause.text.contains("company");
        let fact = no_longer(link(who, "works_at", name));
        return (job && company).then(|| vec![NewFact { valid_from: valid_from(), ..fact }]);
    }
    if cursor.eat_all(&["stopped", "working", "at"])
        || cursor.eat_all(&["stopped", "working", "for"])
    {
        let fact = no_longer(link(who, "works_at", organisation(&mut cursor)?));
        return Some(vec![NewFact { valid_from: valid_from(), ..fact }]);
    }
    if cursor.eat(&["divorced"]) {
        let fact = no_longer(link(who, "married_to", cursor.name()?));
        return Some(vec![NewFact { valid_from: valid_from(), ..fact }]);
    }
    let lower = clause.text.to_lowercase();
    let over = lower.ends_with("anymore") || lower.ends_with("any more");
    let longer = cursor.eat_all(&["no", "longer"])
        || (cursor.eat(&["does", "do"]) && cursor.eat(&["not"]) && over);
    if !longer {
        return None;
    }
    let rest = Clause { subject: Subject::Named(who.to_owned()), cursor, ..*clause };
    // "does not live": the verb stands without its ending.
    let positive = residence(&rest).or_else(|| work(&rest)).or_else(|| taste_bare(&rest));
    let ended = positive.unwrap_or_default().into_iter().map(no_longer);
    Some(ended.map(|fact| NewFact { valid_from: valid_from(), ..fact }).collect())
}

fn taste_bare(clause: &Clause<'_>) -> Facts {
    let who = clause.who()?;
    let mut cursor = clause.cursor.clone();
    cursor.eat(&["like", "likes", "love", "loves", "enjoy", "enjoys"]).then_some(())?;
    let object = cursor.noun(4)?;
    let object = object.trim_end_matches(" anymore").trim_end_matches(" any").to_owned();
    Some(vec![fact(who, "likes", object)])
}
