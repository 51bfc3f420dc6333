//! Whether two names stand for the same: certain when they differ in signs, case and a company's form
//! alone, or are long and misspelt; else a suggestion for somebody who knows.

use super::words::words;

/// So alike, by trigrams, a long name is taken for a misspelling of the other.
const CERTAIN: f64 = 0.85;
/// Shorter names are often one letter apart: Ana and Ada.
const LONG: usize = 10;
/// From here on names that are alike are worth somebody's look.
pub const ALIKE: f64 = 0.5;
/// The same for meanings: the cosine of the names' vectors.
pub const NEAR: f64 = 0.8;
/// What says of what form a company is, not which it is. Those that are names, too, are left out.
const FORMS: [&str; 8] = ["inc", "ltd", "llc", "gmbh", "corp", "plc", "lda", "bv"];

/// Something that a name may stand for.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// One of its names.
    pub name: String,
    /// How alike the names are, by trigrams, from 0 to 1.
    pub trigram: f64,
    /// Whether it stands for the same thing as another candidate does: a name of it, too.
    pub entity: usize,
}

/// Which of the candidates `name` stands for beyond doubt, if one.
#[must_use]
pub fn certain(name: &str, candidates: &[Candidate]) -> Option<usize> {
    let plain = plain(name);
    if plain.is_empty() {
        return None;
    }
    let same = |candidate: &&Candidate| self::plain(&candidate.name) == plain;
    let misspelt = |candidate: &&Candidate| {
        candidate.trigram >= CERTAIN
            && name.chars().count().min(candidate.name.chars().count()) >= LONG
            && digits(name) == digits(&candidate.name)
    };
    let one = |which: &dyn Fn(&&Candidate) -> bool| {
        let mut found = candidates.iter().filter(which).map(|candidate| candidate.entity);
        let first = found.next()?;
        // Of two that fit equally neither is certain.
        found.all(|other| other == first).then_some(first)
    };
    if candidates.iter().any(|candidate| same(&candidate)) {
        return one(&same);
    }
    one(&misspelt)
}

/// Whether one name is a part of the other, word by word: "Bea" and "Bea Santos".
#[must_use]
pub fn is_part(one: &str, other: &str) -> bool {
    let (one, other) = (plain(one), plain(other));
    let (short, long) = if one.len() <= other.len() { (&one, &other) } else { (&other, &one) };
    !short.is_empty() && short != long && long.windows(short.len()).any(|part| part == &short[..])
}

fn plain(name: &str) -> Vec<String> {
    let mut words: Vec<String> = words(name).into_iter().map(|word| word.lower).collect();
    if words.len() > 1 && words.last().is_some_and(|last| FORMS.contains(&last.as_str())) {
        words.pop();
    }
    words
}

/// "Falcon 9" is not "Falcon 1".
fn digits(name: &str) -> String {
    name.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(names: &[(&str, f64, usize)]) -> Vec<Candidate> {
        let candidate = |(name, trigram, entity): &(&str, f64, usize)| Candidate {
            name: (*name).to_owned(),
            trigram: *trigram,
            entity: *entity,
        };
        names.iter().map(candidate).collect()
    }

    #[test]
    fn only_signs_case_and_long_misspellings_are_certain() {
        for (name, candidates, which) in [
            ("Jean-Luc", known(&[("jean luc", 1.0, 0)]), Some(0)),
            ("Acme Inc.", known(&[("Acme", 0.6, 3)]), Some(3)),
            ("Acme Inc.", known(&[("Acme", 0.6, 3), ("Acme Ltd", 0.7, 4)]), None),
            ("Acme Inc.", known(&[("Acme", 0.6, 3), ("ACME", 0.6, 3)]), Some(3)),
            ("Christopher Nolan", known(&[("Cristopher Nolan", 0.86, 1)]), Some(1)),
            ("Ana", known(&[("Anna", 0.9, 0)]), None),
            ("Boeing 737 Max", known(&[("Boeing 747 Max", 0.9, 0)]), None),
            ("Bea", known(&[("Bea Santos", 0.4, 0)]), None),
            ("Ana Sa", known(&[("Ana", 0.6, 0)]), None),
            ("!!", known(&[("!?", 1.0, 0)]), None),
        ] {
            assert_eq!(certain(name, &candidates), which, "{name}");
        }
    }

    #[test]
    fn parts_of_names_are_whole_words() {
        assert!(is_part("Bea", "Bea Santos") && is_part("Bea Santos", "santos"));
        assert!(!is_part("Be", "Bea Santos") && !is_part("Bea", "bea") && !is_part("", "Bea"));
    }
}
