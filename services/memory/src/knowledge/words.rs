//! Words of a text, with where they stand.

use std::ops::Range;

/// A run of letters and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// In lower case, without a possessive `'s`.
    pub lower: String,
    /// Whether it begins with a capital.
    pub capital: bool,
    /// Its bytes in the text, a possessive `'s` included.
    pub bytes: Range<usize>,
}

impl Word {
    /// Its value, if it is a number in digits.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        self.lower.parse().ok()
    }
}

/// The words of `text` in order.
#[must_use]
pub fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some((start, first)) = rest.next() {
        if !first.is_alphanumeric() {
            continue;
        }
        let mut end = start + first.len_utf8();
        while let Some((_, c)) = rest.next_if(|(at, c)| c.is_alphanumeric() || inner(text, *at, *c))
        {
            end += c.len_utf8();
        }
        found.push(word(&text[start..end], start));
    }
    found
}

/// Whether `c` is an apostrophe between letters.
fn inner(text: &str, at: usize, c: char) -> bool {
    let follows = text[at + c.len_utf8()..].chars().next();
    matches!(c, '\'' | '’') && follows.is_some_and(char::is_alphabetic)
}

fn word(text: &str, start: usize) -> Word {
    let lower = text.to_lowercase().replace('’', "'");
    let lower = lower.strip_suffix("'s").map(str::to_owned).unwrap_or(lower);
    let capital = text.chars().next().is_some_and(char::is_uppercase);
    Word { lower, capital, bytes: start..start + text.len() }
}

/// `text` without the words at `taken`, blanks made single.
#[must_use]
pub fn without(text: &str, words: &[Word], taken: impl Fn(usize) -> bool) -> String {
    let mut left = String::with_capacity(text.len());
    let mut from = 0;
    for (at, word) in words.iter().enumerate() {
        if taken(at) {
            left.push_str(text[from..word.bytes.start].trim_end());
            from = word.bytes.end;
        }
    }
    left.push_str(&text[from..]);
    left.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The same for texts that differ in nothing but case, signs and blanks.
#[must_use]
pub fn normalised(text: &str) -> String {
    let plain: Vec<String> = words(text).into_iter().map(|word| word.lower).collect();
    // What has no words at all is compared as it is.
    if plain.is_empty() { text.trim().to_owned() } else { plain.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lose_signs_case_and_the_possessive() {
        let found = words("Ana's dog, ISN’T it? (Rex-2)");
        let lower: Vec<&str> = found.iter().map(|word| word.lower.as_str()).collect();
        assert_eq!(lower, ["ana", "dog", "isn't", "it", "rex", "2"]);
        assert!(found[0].capital && !found[1].capital);
        assert_eq!(&"Ana's dog"[found[0].bytes.clone()], "Ana's");
    }

    #[test]
    fn words_can_be_taken_out() {
        let text = "When did Ana go  to Porto?";
        assert_eq!(without(text, &words(text), |at| at == 2), "When did go to Porto?");
    }

    #[test]
    fn only_case_signs_and_blanks_make_no_difference() {
        assert_eq!(normalised("We go,  TO Porto!"), normalised("we go to porto"));
        assert_ne!(normalised("+"), normalised("-"));
    }
}
