//! Rules about things: what they are, cost and use, when they are, whose they are.

use super::{
    lexicon::{BE, CURRENCIES, EVENTS, OPINIONS, OWNED, PETS, STATES},
    phrase::Subject,
    rules::{Clause, fact, link},
    when,
};
use crate::knowledge::NewFact;

type Facts = Option<Vec<NewFact>>;

/// "the meeting is on 3 May", "my flight is tomorrow".
pub(super) fn takes_place(clause: &Clause<'_>) -> Facts {
    let noun = match &clause.subject {
        Subject::Thing(noun) | Subject::Owned { noun, name: None, .. } => noun.to_lowercase(),
        Subject::Named(name) => name.to_lowercase(),
        Subject::Owned { .. } => return None,
    };
    let event = noun.rsplit(' ').next()?;
    EVENTS.contains(&event).then_some(())?;
    let mut cursor = clause.cursor.clone();
    let over = cursor.eat(&["was"]);
    if !over {
        cursor.eat(&["will"]);
        cursor.adverbs();
        let told = cursor.eat(&["is", "be", "takes", "starts", "take", "start", "happens"]);
        told.then_some(())?;
        cursor.eat(&["place", "scheduled", "set", "planned", "due"]);
        cursor.eat(&["for"]);
    }
    let held = cursor.eat(&["on"]);
    let soon = matches!(cursor.word(), "tomorrow" | "today");
    (held || soon).then_some(())?;
    let day = when::day(cursor.rest(), clause.said, over)?;
    Some(vec![fact(&clause.what(), "takes_place_on", day.to_string())])
}

/// "my e-mail is ana@example.org", "Bob's phone number is +351 912 345 678".
pub(super) fn contact(clause: &Clause<'_>) -> Facts {
    let Subject::Owned { owner, noun, name: None } = &clause.subject else { return None };
    let noun = noun.to_lowercase();
    let mut cursor = clause.cursor.clone();
    cursor.eat(BE).then_some(())?;
    let rest = cursor.rest();
    if noun.contains("mail") {
        let address = rest
            .split_whitespace()
            .find(|part| is_address(part.trim_end_matches(['.', ',', ')'])))?;
        let address = address.trim_matches(['.', ',', '(', ')', '<', '>']).to_lowercase();
        return Some(vec![fact(owner, "email", address)]);
    }
    if noun.contains("phone") || noun == "number" || noun.contains("mobile") {
        let number: String =
            rest.chars().take_while(|c| c.is_ascii_digit() || " +-()/.".contains(*c)).collect();
        let digits = number.chars().filter(char::is_ascii_digit).count();
        return (7..=15).contains(&digits).then(|| {
            vec![fact(
                owner,
                "phone",
                number.trim_end_matches([' ', '.', '-', '(']).trim().to_owned(),
            )]
        });
    }
    None
}

fn is_address(text: &str) -> bool {
    let text = text.trim_matches(['<', '>', '(', ')']);
    text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty()
            && host.contains('.')
            && !host.starts_with('.')
            && !host.ends_with('.')
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._%+-".contains(c))
    })
}

/// "my favourite colour is green".
pub(super) fn favorite(clause: &Clause<'_>) -> Facts {
    let Subject::Owned { owner, noun, name: None } = &clause.subject else { return None };
    let noun = noun.to_lowercase();
    let what = noun.strip_prefix("favourite ").or_else(|| noun.strip_prefix("favorite "))?;
    let plain = what.chars().all(|c| c.is_alphabetic() || c == ' ');
    let mut cursor = clause.cursor.clone();
    (plain && cursor.eat(BE)).then_some(())?;
    cursor.adverbs();
    let object = cursor.noun(4).filter(|_| cursor.ends(&["because"]))?;
    let predicate = format!("favorite_{}", what.replace(' ', "_"));
    Some(vec![fact(owner, &predicate, object)])
}

/// "the ticket costs 45 euros", "my rent is €900".
pub(super) fn cost(clause: &Clause<'_>) -> Facts {
    let mut cursor = clause.cursor.clone();
    cursor.adverbs();
    let is_price = match &clause.subject {
        Subject::Owned { noun, .. } | Subject::Thing(noun) => [
            "rent",
            "price",
            "fee",
            "bill",
            "salary",
            "budget",
            "fare",
            "deposit",
            "ticket",
            "subscription",
        ]
        .iter()
        .any(|word| noun.to_lowercase().ends_with(word)),
        Subject::Named(_) => false,
    };
    let costs = cursor.eat(&["costs"]) || (is_price && cursor.eat(&["is", "are"]));
    costs.then_some(())?;
    cursor.adverbs();
    let (amount, rest) = money(cursor.rest())?;
    let each = [
        "a month",
        "per month",
        "a year",
        "per year",
        "each",
        "per person",
        "a week",
        "per week",
        "monthly",
        "a day",
        "per day",
        "per hour",
        "an hour",
    ]
    .iter()
    .find(|each| rest.trim_start().starts_with(**each));
    let amount = match each {
        Some(each) => format!("{amount} {each}"),
        None => amount,
    };
    Some(vec![fact(&clause.what(), "costs", amount)])
}

/// An amount at the beginning of `text`, and what is behind it.
fn money(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    let before = CURRENCIES.iter().find(|(sign, _)| text.starts_with(sign));
    let text = before.map_or(text, |(sign, _)| text[sign.len()..].trim_start());
    let length =
        text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ','))).unwrap_or(text.len());
    let number = text[..length].trim_end_matches(['.', ',']);
    number.starts_with(|c: char| c.is_ascii_digit()).then_some(())?;
    let rest = &text[number.len()..];
    if let Some((_, currency)) = before {
        return Some((format!("{number} {currency}"), rest));
    }
    let rest = rest.trim_start();
    let lower = rest.to_lowercase();
    let (sign, currency) = CURRENCIES.iter().find(|(sign, _)| {
        lower.strip_prefix(sign).is_some_and(|after| {
            !sign.chars().all(char::is_alphabetic)
                || !after.starts_with(|c: char| c.is_alphanumeric())
        })
    })?;
    Some((format!("{number} {currency}"), rest.get(sign.len()..).unwrap_or("")))
}

/// "has a dog called Rex", "owns a boat", "has two children".
pub(super) fn possession(clause: &Clause<'_>) -> Facts {
    let who = clause.who()?;
    let mut cursor = clause.cursor.clone();
    cursor.adverbs();
    let owns = cursor.eat(&["owns", "own", "adopted", "bought"]);
    let has = owns || cursor.eat(&["has", "have"]);
    has.then_some(())?;
    cursor.eat(&["got"]);
    let one = matches!(cursor.word(), "a" | "an");
    let some = matches!(cursor.word(), "two" | "three" | "four" | "five");
    (one || some).then_some(())?;
    let object = cursor.noun(5)?;
    let head = object.rsplit([' ', '-']).next()?.to_lowercase();
    if PETS.contains(&head.as_str()) {
        if cursor.eat(&["called", "named"]) {
            let name = cursor.name()?;
            return Some(vec![link(who, "has", name.clone()), fact(&name, "is_a", object)]);
        }
        return Some(vec![fact(who, "has", object)]);
    }
    if head == "sister" || head == "brother" || head == "daughter" || head == "son" {
        if cursor.eat(&["called", "named"]) {
            return Some(vec![link(who, &head, cursor.name()?)]);
        }
        return Some(vec![fact(who, "has", object)]);
    }
    let known = OWNED.contains(&head.as_str());
    known.then(|| vec![fact(who, "has", object)])
}

/// "Acme is based in Berlin", "the gateway uses Redis".
pub(super) fn location(clause: &Clause<'_>) -> Facts {
    let mut cursor = clause.cursor.clone();
    cursor.adverbs();
    if cursor.eat(&["uses"]) {
        let what = match &clause.subject {
            Subject::Named(name) => name.clone(),
            Subject::Thing(noun) => noun.clone(),
            Subject::Owned { .. } => return None,
        };
        let used = cursor.name()?;
        let clean = cursor.ends(&["for", "as", "to", "with", "in", "since"]);
        return clean.then(|| vec![link(&what, "uses", used)]);
    }
    let who = clause.who()?;
    cursor.eat(BE).then_some(())?;
    cursor.adverbs();
    let told = cursor.eat(&["based", "located", "headquartered"]);
    (told && cursor.eat(&["in"])).then_some(())?;
    Some(vec![link(who, "located_in", cursor.name()?)])
}

/// "is vegetarian".
pub(super) fn state(clause: &Clause<'_>) -> Facts {
    let who = clause.who()?;
    let mut cursor = clause.cursor.clone();
    cursor.adverbs();
    cursor.eat(BE).then_some(())?;
    cursor.adverbs();
    let word = STATES.contains(&cursor.word()).then(|| cursor.word())?;
    cursor.at += 1;
    let plain = cursor.ends(&["since", "for", "in", "with"]);
    let valid_from = if clause.text.contains("since") { clause.since() } else { None };
    plain.then(|| vec![NewFact { valid_from, ..fact(who, "is", word.to_owned()) }])
}

/// "is a nurse", "Lisbon is the capital of Portugal".
pub(super) fn kind(clause: &Clause<'_>) -> Facts {
    let who = clause.who()?;
    let mut cursor = clause.cursor.clone();
    cursor.adverbs();
    cursor.eat(BE).then_some(())?;
    cursor.adverbs();
    let the = cursor.eat(&["the"]);
    let article = the || matches!(cursor.word(), "a" | "an");
    article.then_some(())?;
    let object = cursor.noun(6)?;
    let after = ["at", "in", "from", "for", "with", "by", "since", "who", "that", "which", "near"];
    cursor.ends(&after).then_some(())?;
    let lower = object.to_lowercase();
    let opinion = lower.split([' ', '-']).any(|word| OPINIONS.contains(&word));
    // "the capital of Portugal" is one, "the problem" depends on what was said before.
    let certain = !the || lower.contains(" of ");
    (!opinion && certain).then(|| vec![fact(who, "is_a", object)])
}
