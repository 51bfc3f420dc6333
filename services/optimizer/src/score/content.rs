//! Strings that must occur, and strings that must not.

use super::{Function, Score, Verdict};

/// Strings that a reason tells.
const SHOWN: usize = 3;

/// The share of the strings that occur, whatever their case.
pub(super) fn required(text: &str, strings: &[String]) -> Option<Verdict> {
    if strings.is_empty() {
        return None;
    }
    let missing = which(text, strings, false);
    let found = strings.len() - missing.len();
    let mut reason = format!("{found} of {} occur", strings.len());
    if !missing.is_empty() {
        reason.push_str(&format!("; missing: {}", quoted(&missing)));
    }
    Some(Verdict::new(Function::Required, Score::share(found, strings.len()), reason))
}

/// The share of the strings that do not occur, whatever their case.
pub(super) fn forbidden(text: &str, strings: &[String]) -> Option<Verdict> {
    if strings.is_empty() {
        return None;
    }
    let present = which(text, strings, true);
    let absent = strings.len() - present.len();
    let reason = if present.is_empty() {
        "none of what is forbidden occurs".to_owned()
    } else {
        format!("{} of {} occur: {}", present.len(), strings.len(), quoted(&present))
    };
    Some(Verdict::new(Function::Forbidden, Score::share(absent, strings.len()), reason))
}

fn which<'a>(text: &str, strings: &'a [String], occurring: bool) -> Vec<&'a str> {
    let text = text.to_lowercase();
    let occurs = |string: &&String| text.contains(&string.to_lowercase()) == occurring;
    strings.iter().filter(occurs).map(String::as_str).collect()
}

fn quoted(strings: &[&str]) -> String {
    let shown: Vec<_> = strings.iter().take(SHOWN).map(|string| format!("“{string}”")).collect();
    let more = if strings.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(of: &[&str]) -> Vec<String> {
        of.iter().map(|string| (*string).to_owned()).collect()
    }

    #[test]
    fn strings_are_found_whatever_their_case() {
        let verdict = required("ÄPFEL and tram 28", &strings(&["äpfel", "Tram", "sun"])).unwrap();
        assert!((verdict.score.value() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(verdict.reason, "2 of 3 occur; missing: “sun”");
        assert_eq!(required("", &strings(&["a"])).unwrap().score, Score::ZERO);
        assert_eq!(required("text", &[]), None);
    }

    #[test]
    fn what_is_forbidden_costs() {
        let list = strings(&["as an AI", "sorry"]);
        let verdict = forbidden("Sorry, no.", &list).unwrap();
        assert_eq!(verdict.score.value(), 0.5);
        assert_eq!(verdict.reason, "1 of 2 occur: “sorry”");
        assert_eq!(forbidden("Yes.", &list).unwrap().score, Score::ONE);
    }
}
