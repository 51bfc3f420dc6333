//! Since when something is true, and on which day something is.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};

use crate::knowledge::{
    time::{Span, expression},
    words::{Word, words},
};

/// Since when what a clause tells is true; nothing when it does not say, or says it of what comes.
pub(super) fn since(clause: &str, said: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let words = words(clause);
    let from = lasting(&words, said.date_naive()).or_else(|| {
        let found = expression(&words, said)?;
        let today = said.date_naive();
        // "in May" is of the latest May that has begun.
        let span = found.spans.iter().rev().find(|span| span.from <= today)?;
        let ago = words[found.words.clone()].iter().any(|word| word.lower == "ago");
        let from = if ago { middle(span) } else { span.from };
        (from > NaiveDate::MIN).then_some(from)
    })?;
    Some(from.and_time(NaiveTime::MIN).and_utc()).filter(|from| *from <= said)
}

fn middle(span: &Span) -> NaiveDate {
    let half = u64::try_from(span.days() / 2).unwrap_or(0);
    span.from.checked_add_days(Days::new(half)).unwrap_or(span.from)
}

/// "for five years".
fn lasting(words: &[Word], today: NaiveDate) -> Option<NaiveDate> {
    words.windows(3).find_map(|three| {
        let count = match three[1].lower.as_str() {
            "a" | "an" | "one" => 1,
            "two" => 2,
            "three" => 3,
            "four" => 4,
            "five" => 5,
            "six" => 6,
            "ten" => 10,
            _ => three[1].number()?,
        };
        let months = match three[2].lower.as_str() {
            "month" | "months" => count,
            "year" | "years" => count.checked_mul(12)?,
            _ => return None,
        };
        (three[0].lower == "for").then(|| today.checked_sub_months(Months::new(months)))?
    })
}

/// The one day that a clause names; without a year the next one, or when it is `over` the last.
pub(super) fn day(clause: &str, said: DateTime<Utc>, over: bool) -> Option<NaiveDate> {
    let words = words(clause);
    let today = said.date_naive();
    if words.iter().any(|word| word.lower == "tomorrow") {
        return today.succ_opt();
    }
    if let Some(day) = weekday(&words) {
        let next = words.iter().any(|word| matches!(word.lower.as_str(), "next" | "last"));
        let ahead = (7 + day - today.weekday().num_days_from_monday()) % 7;
        let ahead = if ahead == 0 { 7 } else { ahead };
        // "Next Friday" is this week's for some.
        return (!next && !over).then(|| today.checked_add_days(Days::new(u64::from(ahead))))?;
    }
    let found = expression(&words, said)?;
    let days: Vec<NaiveDate> =
        found.spans.iter().filter(|span| span.days() == 1).map(|span| span.from).collect();
    let (last, several) = (*days.last()?, days.len() > 1);
    if several && over {
        return days.into_iter().rev().find(|day| *day <= today);
    }
    if several && last < today { last.checked_add_months(Months::new(12)) } else { Some(last) }
}

fn weekday(words: &[Word]) -> Option<u32> {
    const NAMES: [&str; 7] =
        ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let at = words.iter().find_map(|word| NAMES.iter().position(|name| *name == word.lower))?;
    // With a date beside it the date says more.
    let dated = words.iter().any(|word| word.lower.starts_with(|c: char| c.is_ascii_digit()));
    u32::try_from(at).ok().filter(|_| !dated)
}

/// A day of each year, as people write it: "3 May".
pub(super) fn of_each_year(day: NaiveDate) -> String {
    day.format("%-d %B").to_string()
}

/// Whether the clause names a year.
pub(super) fn year(clause: &str) -> Option<i32> {
    let year = words(clause).iter().filter(|word| word.lower.len() == 4).find_map(Word::number)?;
    i32::try_from(year).ok().filter(|year| (1900..2100).contains(year))
}
