//! A text falls into sentences, these into words with what stands between them.

use crate::knowledge::words::{Word, words};

/// A longer sentence states too much at once to be read by rules.
const MOST_WORDS: usize = 60;
/// Words that a full stop shortens and does not end.
const SHORTENED: &[&str] =
    &["dr", "mr", "mrs", "ms", "st", "prof", "jr", "sr", "e.g", "i.e", "vs", "approx", "no", "inc"];
/// Endings that are words of their own.
const ENDINGS: &[(&str, &str)] = &[
    ("n't", "not"),
    ("'m", "am"),
    ("'ve", "have"),
    ("'ll", "will"),
    ("'d", "would"),
    ("'re", "are"),
    ("'s", ""),
];

/// A word of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// In lower case, without endings such as `'s` and `n't`.
    pub(super) lower: String,
    /// Whether it begins with a capital.
    pub(super) capital: bool,
    /// Whether it ends in `'s`: "Ana's dog", "Ana's here".
    pub(super) own: bool,
    /// What stands between it and the word before.
    pub(super) gap: String,
    /// Its bytes in the sentence, without endings.
    pub(super) from: usize,
    pub(super) to: usize,
}

/// A sentence that may state something.
#[derive(Debug, Clone)]
pub(super) struct Sentence<'t> {
    pub(super) text: &'t str,
    pub(super) tokens: Vec<Token>,
    /// What ended it; `.` at the text's end.
    pub(super) end: char,
}

/// The sentences of `text`, without those that are quoted, code, or too long.
pub(super) fn sentences(text: &str) -> impl Iterator<Item = Sentence<'_>> {
    let mut code = false;
    text.lines()
        .filter(move |line| {
            let fence = line.trim_start().starts_with("```");
            code ^= fence;
            !code && !fence && !quoted(line)
        })
        .flat_map(Pieces::of)
        .filter_map(|(text, end)| {
            let tokens = tokens(text)?;
            (2..=MOST_WORDS).contains(&tokens.len()).then_some(Sentence { text, tokens, end })
        })
}

/// Whether a line gives another's words: `> quoted`, `Ana: said`, `| a table`, indented code.
fn quoted(line: &str) -> bool {
    let bare = line.trim_start();
    if bare.starts_with(['>', '|', '{', '<']) || line.starts_with("    ") || line.starts_with('\t')
    {
        return true;
    }
    // "Ana: I moved" is what Ana said, whoever gives it.
    let Some((before, after)) = bare.split_once(':') else { return false };
    let name = before.split_whitespace().count() <= 2
        && before.split_whitespace().all(|word| word.starts_with(char::is_uppercase))
        && !before.is_empty()
        && before.chars().all(|c| c.is_alphabetic() || c == ' ');
    name && after.starts_with(' ')
}

/// Parts of a line that end as sentences do.
struct Pieces<'t> {
    rest: &'t str,
}

impl<'t> Pieces<'t> {
    fn of(line: &'t str) -> Self {
        Self { rest: line }
    }
}

impl<'t> Iterator for Pieces<'t> {
    type Item = (&'t str, char);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.trim().is_empty() {
            return None;
        }
        for (at, c) in self.rest.char_indices() {
            let after = &self.rest[at + c.len_utf8()..];
            let over = match c {
                '!' | '?' | ';' => true,
                '.' | '…' => {
                    let next = after.chars().next();
                    next.is_none_or(char::is_whitespace) && !shortened(&self.rest[..at])
                }
                _ => false,
            };
            if over {
                let piece = &self.rest[..at];
                self.rest = after;
                return Some((piece, c));
            }
        }
        Some((std::mem::take(&mut self.rest), '.'))
    }
}

/// Whether a full stop behind `before` belongs to its last word.
fn shortened(before: &str) -> bool {
    let word = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or("");
    let mut letters = word.chars();
    let initial = letters.next().is_some_and(char::is_uppercase) && letters.next().is_none();
    // "I" is a word, "J." an initial.
    (initial && word != "I")
        || (word.len() <= 8 && SHORTENED.contains(&word.to_lowercase().as_str()))
}

/// The words of a sentence; nothing when it has too many to be read.
fn tokens(text: &str) -> Option<Vec<Token>> {
    // Longer texts are not cut into words in vain.
    if text.len() > MOST_WORDS * 24 {
        return None;
    }
    let mut found: Vec<Token> = Vec::new();
    let mut before = 0;
    for word in words(text) {
        let gap = text[before..word.bytes.start].to_owned();
        before = word.bytes.end;
        split(text, &word, gap, &mut found);
    }
    Some(found)
}

/// A word, or two: "don't" is "do not", "I'm" is "I am".
fn split(text: &str, word: &Word, gap: String, found: &mut Vec<Token>) {
    let (from, to) = (word.bytes.start, word.bytes.end);
    let raw = text[from..to].to_lowercase().replace('’', "'");
    let ending =
        ENDINGS.iter().find(|(ending, _)| raw.len() > ending.len() && raw.ends_with(ending));
    let irregular = match raw.as_str() {
        "can't" => Some("can"),
        "won't" => Some("will"),
        _ => None,
    };
    let (bare, meant) = match ending {
        Some((ending, meant)) => (&raw[..raw.len() - ending.len()], *meant),
        None => (raw.as_str(), ""),
    };
    let cut = ending.map_or(0, |(ending, _)| ending.len());
    // Case and signs may change how many bytes a word has.
    let cut =
        if text[from..to].contains('’') && cut > 0 { cut + '’'.len_utf8() - 1 } else { cut };
    let stem = to.saturating_sub(cut).max(from);
    let stem = if text.is_char_boundary(stem) { stem } else { to };
    found.push(Token {
        lower: irregular.unwrap_or(bare).to_owned(),
        capital: word.capital,
        own: ending.is_some_and(|(ending, _)| *ending == "'s"),
        gap,
        from,
        to: stem,
    });
    if !meant.is_empty() {
        found.push(Token {
            lower: meant.to_owned(),
            capital: false,
            own: false,
            gap: " ".to_owned(),
            from: stem,
            to,
        });
    }
}
