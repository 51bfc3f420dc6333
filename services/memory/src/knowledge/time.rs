//! Expressions of time in a question: "last May", "on 3 May 2023", "two weeks before 11 August".

use std::ops::Range;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc, Weekday};

use super::words::Word;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
/// With their first month; winter begins in December. Of the northern half of the earth.
const SEASONS: [(&str, u32); 5] =
    [("spring", 3), ("summer", 6), ("autumn", 9), ("fall", 9), ("winter", 12)];
const NUMBERS: [(&str, u32); 12] = [
    ("a", 1),
    ("an", 1),
    ("the", 1),
    ("one", 1),
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
    ("six", 6),
    ("seven", 7),
    ("couple", 2),
    ("few", 3),
];
/// Words of texts that tell when something was, beside the names of months, days and seasons.
const TELLING: [&str; 22] = [
    "yesterday",
    "today",
    "tonight",
    "tomorrow",
    "ago",
    "recently",
    "since",
    "weekend",
    "weekends",
    "day",
    "days",
    "week",
    "weeks",
    "month",
    "months",
    "year",
    "years",
    "morning",
    "evening",
    "night",
    "lately",
    "earlier",
];
/// A month without a year is looked for in so many years back.
const YEARS_BACK: i32 = 15;

/// Days from the first to before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first day.
    pub from: NaiveDate,
    /// The day after the last.
    pub to: NaiveDate,
}

/// What a question says of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// Any of these is meant; never empty.
    pub spans: Vec<Span>,
    /// The words that say so.
    pub words: Range<usize>,
}

impl Span {
    /// How long it is.
    #[must_use]
    pub fn days(&self) -> i64 {
        (self.to - self.from).num_days()
    }

    /// All days before `day`.
    #[must_use]
    pub fn before(day: NaiveDate) -> Self {
        Self { from: NaiveDate::MIN, to: day }
    }

    /// `day` and all after it.
    #[must_use]
    pub fn since(day: NaiveDate) -> Self {
        Self { from: day, to: NaiveDate::MAX }
    }

    fn day(day: NaiveDate) -> Self {
        Self { from: day, to: later(day, 1) }
    }

    fn month(year: i32, month: u32) -> Option<Self> {
        Self::months(year, month, 1)
    }

    fn months(year: i32, month: u32, count: u32) -> Option<Self> {
        let from = NaiveDate::from_ymd_opt(year, month, 1)?;
        Some(Self { from, to: from.checked_add_months(Months::new(count))? })
    }

    fn year(year: i32) -> Option<Self> {
        Self::months(year, 1, 12)
    }
}

/// The first expression of time among the words of a question asked at `now`.
#[must_use]
pub fn expression(words: &[Word], now: DateTime<Utc>) -> Option<Expression> {
    let today = now.date_naive();
    (0..words.len()).find_map(|at| {
        let (spans, length) = date(words, at, today).or_else(|| relative(words, at, today))?;
        let found = Expression { spans, words: at..at + length };
        Some(bounded(words, found))
    })
}

/// Whether a text says when something was: "yesterday", "last week", "in 2021".
#[must_use]
pub fn tells_when(words: &[Word]) -> bool {
    words.iter().any(|word| {
        let text = word.lower.as_str();
        TELLING.contains(&text)
            || WEEKDAYS.contains(&text)
            || SEASONS.iter().any(|(season, _)| *season == text)
            // Verbs in lower case, both of them.
            || (MONTHS.contains(&text) && (word.capital || !matches!(text, "may" | "march")))
            || year(word).is_some()
    })
}

type Spans = Option<(Vec<Span>, usize)>;

/// A date, month or year that begins at word `at`, with how many words it takes.
fn date(words: &[Word], at: usize, today: NaiveDate) -> Spans {
    let word = words.get(at)?;
    if let Some(year) = year(word) {
        let part = |at: usize| words.get(at).filter(|word| word.lower.len() == 2)?.number();
        if let (Some(month), Some(day)) = (part(at + 1), part(at + 2))
            && let Some(day) = NaiveDate::from_ymd_opt(year, month, day)
        {
            return Some((vec![Span::day(day)], 3));
        }
        return Some((vec![Span::year(year)?], 1));
    }
    if let Some(day) = day(word) {
        let of = usize::from(words.get(at + 1).is_some_and(|word| word.lower == "of"));
        let month = month(words.get(at + 1 + of)?)?;
        return days_of(words, at + 2 + of, month, day, today)
            .map(|(spans, more)| (spans, 2 + of + more));
    }
    if let Some(first) = season(word) {
        let of = usize::from(words.get(at + 1).is_some_and(|word| word.lower == "of"));
        let year = words.get(at + 1 + of).and_then(year)?;
        return Some((vec![Span::months(year, first, 3)?], 2 + of));
    }
    let month = month(word)?;
    if let Some(day) = words.get(at + 1).and_then(day) {
        return days_of(words, at + 2, month, day, today).map(|(spans, more)| (spans, 2 + more));
    }
    let of = usize::from(words.get(at + 1).is_some_and(|word| word.lower == "of"));
    if let Some(year) = words.get(at + 1 + of).and_then(year) {
        return Some((vec![Span::month(year, month)?], 2 + of));
    }
    // "may" and "march" alone are verbs more often.
    let verb = matches!(word.lower.as_str(), "may" | "march");
    let led = at > 0
        && matches!(
            words[at - 1].lower.as_str(),
            "in" | "of" | "during" | "since" | "by" | "until"
        );
    (!verb || led || (word.capital && at > 0)).then(|| {
        let years = today.year() - YEARS_BACK..=today.year();
        (years.filter_map(|year| Span::month(year, month)).collect(), 1)
    })
}

/// A day of a month, of the year that stands at word `at`, or else of any year.
fn days_of(words: &[Word], at: usize, month: u32, day: u32, today: NaiveDate) -> Spans {
    let given = words.get(at).and_then(year);
    let years = given.map_or(today.year() - YEARS_BACK..=today.year(), |year| year..=year);
    let days = years.filter_map(|year| NaiveDate::from_ymd_opt(year, month, day));
    let spans: Vec<Span> = days.map(Span::day).collect();
    (!spans.is_empty()).then_some((spans, usize::from(given.is_some())))
}

/// "yesterday", "last May", "this year", "three weeks ago".
fn relative(words: &[Word], at: usize, today: NaiveDate) -> Spans {
    let word = words.get(at)?;
    match word.lower.as_str() {
        "today" => return Some((vec![Span::day(today)], 1)),
        "yesterday" => return Some((vec![Span::day(earlier(today, 1))], 1)),
        "last" | "this" | "past" | "previous" => {
            let back = u32::from(word.lower != "this");
            return Some((vec![named(words.get(at + 1)?, back, today)?], 2));
        }
        _ => {}
    }
    let count = number(word)?;
    let of = usize::from(words.get(at + 1).is_some_and(|word| word.lower == "of"));
    let unit = words.get(at + 1 + of)?;
    let ago = words.get(at + 2 + of).is_some_and(|word| word.lower == "ago");
    (ago).then_some(())?;
    let (from, length) = back(unit, count, today)?;
    Some((vec![Span { from: earlier(from, length / 2), to: later(from, length / 2 + 1) }], 3 + of))
}

/// "last night", "last week", "this month", "last summer", "last May", "last Monday".
fn named(word: &Word, back: u32, today: NaiveDate) -> Option<Span> {
    let monday = earlier(today, u64::from(today.weekday().num_days_from_monday()));
    let years_back = i32::try_from(back).ok()?;
    match word.lower.as_str() {
        "night" => Some(Span { from: earlier(today, 1), to: later(today, 1) }),
        "week" => {
            let from = earlier(monday, 7 * u64::from(back));
            Some(Span { from, to: later(from, 7) })
        }
        "weekend" => {
            let from = earlier(monday, 2);
            Some(Span { from, to: later(from, 2) })
        }
        "month" => {
            let day = today.checked_sub_months(Months::new(back))?;
            Span::month(day.year(), day.month())
        }
        "year" => Span::year(today.year() - years_back),
        _ => {
            if let Some(day) = WEEKDAYS.iter().position(|name| *name == word.lower) {
                let day = u64::from(Weekday::try_from(u8::try_from(day).ok()?).ok()? as u32);
                let ago = (u64::from(today.weekday() as u32) + 7 - day) % 7;
                return Some(Span::day(earlier(today, if ago == 0 { 7 } else { ago })));
            }
            let (first, count) =
                season(word).map(|first| (first, 3)).or_else(|| Some((month(word)?, 1)))?;
            // The latest that has begun; for "last", that has ended.
            let spans = (0..3).filter_map(|ago| Span::months(today.year() - ago, first, count));
            spans
                .into_iter()
                .find(|span| if back > 0 { span.to <= today } else { span.from <= today })
        }
    }
}

/// "before 2020", "since May" and "two weeks before 11 August" move the spans that follow them.
fn bounded(words: &[Word], found: Expression) -> Expression {
    let Expression { spans, words: at } = found;
    let before = |back: usize| at.start.checked_sub(back).map(|at| words[at].lower.as_str());
    let (Some(link), Some(first), Some(last)) = (before(1), spans.first(), spans.last()) else {
        return Expression { spans, words: at };
    };
    let (spans, taken) = match link {
        "before" | "after" => {
            let count = before(3).and_then(|_| number(&words[at.start - 3])).unwrap_or(1);
            let unit = at.start.checked_sub(2).map(|at| &words[at]);
            match unit.and_then(|unit| back(unit, count, first.from)) {
                Some((from, _)) if link == "before" => {
                    (vec![Span { from, to: later(last.to, 1) }], 2)
                }
                Some((from, _)) => {
                    let length = (first.from - from).num_days().unsigned_abs();
                    (vec![Span { from: first.from, to: later(last.to, length) }], 2)
                }
                None if link == "before" => (vec![Span::before(last.from)], 1),
                None => (vec![Span::since(first.to)], 1),
            }
        }
        "since" => (vec![Span::since(last.from)], 1),
        "until" | "till" => (vec![Span::before(last.to)], 1),
        "in" | "on" | "during" | "at" => (spans, 1),
        _ => (spans, 0),
    };
    Expression { spans, words: at.start - taken..at.end }
}

/// The day so many units before `day`, and the unit's length in days.
fn back(unit: &Word, count: u32, day: NaiveDate) -> Option<(NaiveDate, u64)> {
    let (from, length) = match unit.lower.as_str() {
        "day" | "days" | "night" => (earlier(day, u64::from(count)), 1),
        "week" | "weeks" => (earlier(day, 7 * u64::from(count)), 7),
        "weekend" | "weekends" => (earlier(day, 7 * u64::from(count)), 7),
        "month" | "months" => (day.checked_sub_months(Months::new(count))?, 30),
        "year" | "years" => (day.checked_sub_months(Months::new(count.checked_mul(12)?))?, 365),
        _ => return None,
    };
    Some((from, length))
}

/// Whether a word, in lower case, is the name of a month or of a day of the week.
pub(super) fn is_month_or_weekday(word: &str) -> bool {
    MONTHS.contains(&word) || WEEKDAYS.contains(&word)
}

fn month(word: &Word) -> Option<u32> {
    let at = MONTHS.iter().position(|name| *name == word.lower)?;
    u32::try_from(at + 1).ok()
}

fn season(word: &Word) -> Option<u32> {
    SEASONS.iter().find(|(name, _)| *name == word.lower).map(|(_, first)| *first)
}

/// 1900 to 2099.
fn year(word: &Word) -> Option<i32> {
    let year = word.number().filter(|_| word.lower.len() == 4)?;
    i32::try_from(year).ok().filter(|year| (1900..2100).contains(year))
}

/// "3", "3rd".
fn day(word: &Word) -> Option<u32> {
    let digits = word.lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let ending = &word.lower[digits.len()..];
    let day: u32 = digits.parse().ok()?;
    (matches!(ending, "" | "st" | "nd" | "rd" | "th") && (1..=31).contains(&day)).then_some(day)
}

fn number(word: &Word) -> Option<u32> {
    let named = NUMBERS.iter().find(|(name, _)| *name == word.lower).map(|(_, value)| *value);
    named.or_else(|| word.number().filter(|number| *number <= 1_000))
}

fn earlier(day: NaiveDate, days: u64) -> NaiveDate {
    day.checked_sub_days(Days::new(days)).unwrap_or(NaiveDate::MIN)
}

fn later(day: NaiveDate, days: u64) -> NaiveDate {
    day.checked_add_days(Days::new(days)).unwrap_or(NaiveDate::MAX)
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;
    use crate::knowledge::words::words;

    /// Spans and the words left of `question`, asked on Monday, 23 November 2026.
    fn read(question: &str) -> Option<(Vec<(String, String)>, String)> {
        let now = Utc.with_ymd_and_hms(2026, 11, 23, 12, 0, 0).unwrap();
        let of = words(question);
        let found = expression(&of, now)?;
        let spans = found.spans.iter();
        let spans = spans.map(|span| (span.from.to_string(), span.to.to_string())).collect();
        let left = crate::knowledge::words::without(question, &of, |at| found.words.contains(&at));
        Some((spans, left))
    }

    fn one(question: &str) -> (String, String) {
        let (mut spans, _) = read(question).unwrap_or_else(|| panic!("{question}"));
        assert_eq!(spans.len(), 1, "{question}");
        spans.remove(0)
    }

    #[test]
    fn dates_months_and_years_are_read() {
        for (question, from, to) in [
            ("Who came on 3 May, 2023?", "2023-05-03", "2023-05-04"),
            ("Who came on May 3rd, 2023?", "2023-05-03", "2023-05-04"),
            ("Who came on 2023-05-03?", "2023-05-03", "2023-05-04"),
            ("Who came in May 2023?", "2023-05-01", "2023-06-01"),
            ("What was built in 2021?", "2021-01-01", "2022-01-01"),
            ("Where were we in the summer of 2022?", "2022-06-01", "2022-09-01"),
            ("What did I say last May?", "2026-05-01", "2026-06-01"),
            ("What did I say last December?", "2025-12-01", "2026-01-01"),
            ("What did I say yesterday?", "2026-11-22", "2026-11-23"),
            ("What did I say last week?", "2026-11-16", "2026-11-23"),
            ("What did I say last year?", "2025-01-01", "2026-01-01"),
            ("What did I say two weeks ago?", "2026-11-06", "2026-11-13"),
            ("What did I say last Friday?", "2026-11-20", "2026-11-21"),
            ("the week before August 3, 2023", "2023-07-27", "2023-08-05"),
            ("two weeks before August 11, 2023", "2023-07-28", "2023-08-13"),
        ] {
            assert_eq!(one(question), (from.to_owned(), to.to_owned()), "{question}");
        }
    }

    #[test]
    fn a_month_alone_is_of_any_year_and_verbs_are_no_months() {
        let (spans, left) = read("When did Ana go camping in June?").unwrap();
        assert!(spans.len() > 10 && spans.contains(&("2023-06-01".into(), "2023-07-01".into())));
        assert_eq!(left, "When did Ana go camping?");
        assert_eq!(read("What may I do to march on?"), None);
        assert_eq!(read("Who has two dogs?"), None);
    }

    #[test]
    fn before_and_since_leave_one_side_open() {
        assert_eq!(one("What did we do before 2020?").1, "2020-01-01");
        assert_eq!(one("Who joined since May 2024?").0, "2024-05-01");
        assert_eq!(read("Who left before 2020?").unwrap().1, "Who left?");
    }

    #[test]
    fn texts_that_tell_when_are_known() {
        assert!(tells_when(&words("I went there yesterday.")));
        assert!(tells_when(&words("That was in 2021")));
        assert!(!tells_when(&words("We may march on")));
    }
}
