//! Sentences that state nothing: questions, what is supposed, wished, planned, reported, denied.

use super::sentence::{Sentence, Token};

/// Wherever one of these stands, the sentence is not a plain statement.
const UNREAL: &[&str] = &[
    "if",
    "unless",
    "whether",
    "would",
    "could",
    "might",
    "should",
    "shall",
    "must",
    "can",
    "maybe",
    "perhaps",
    "probably",
    "possibly",
    "apparently",
    "supposedly",
    "allegedly",
    "presumably",
    "hopefully",
    "likely",
    "rumor",
    "rumour",
    "rumors",
    "hope",
    "hopes",
    "hoped",
    "hoping",
    "wish",
    "wishes",
    "wished",
    "want",
    "wants",
    "wanted",
    "wanting",
    "plan",
    "plans",
    "planning",
    "planned",
    "consider",
    "considers",
    "considering",
    "considered",
    "dream",
    "dreams",
    "dreamed",
    "dreamt",
    "dreaming",
    "imagine",
    "imagined",
    "imagining",
    "pretend",
    "pretends",
    "pretended",
    "suppose",
    "supposed",
    "assume",
    "assuming",
    "almost",
    "nearly",
    "think",
    "thinks",
    "thinking",
    "thought",
    "guess",
    "guesses",
    "believe",
    "believes",
    "believed",
    "heard",
    "hear",
    "hears",
    "said",
    "says",
    "say",
    "saying",
    "told",
    "tells",
    "tell",
    "telling",
    "claims",
    "claim",
    "claimed",
    "wrote",
    "writes",
    "asked",
    "asks",
    "ask",
    "wonder",
    "wondering",
    "doubt",
    "doubts",
    "seems",
    "seem",
    "novel",
    "movie",
    "film",
    "story",
    "character",
    "joke",
    "joking",
    "kidding",
    "fictional",
    "fiction",
    "let",
    "lets",
    "try",
    "trying",
    "tried",
    "instead",
    "like's",
    "offer",
    "offered",
    "refused",
    "lie",
    "lied",
    "fake",
    "hypothetically",
    "someday",
    "eventually",
    "role",
];
/// Pairs of words that do the same.
const UNREAL_PAIRS: &[(&str, &str)] = &[
    ("used", "to"),
    ("about", "to"),
    ("for", "example"),
    ("ready", "to"),
    ("as", "though"),
    ("next", "life"),
    ("going", "to"),
    ("in", "theory"),
    ("may", "be"),
    ("may", "have"),
    ("may", "move"),
    ("need", "to"),
    ("have", "to"),
    ("has", "to"),
];
/// What comes is no fact yet, unless it is a date that is told.
const COMING: &[&str] =
    &["will", "next", "tomorrow", "soon", "moving", "tonight", "upcoming", "later"];
/// Nothing is stated where one of these stands.
const DENYING: &[&str] = &[
    "not", "never", "nobody", "neither", "nor", "none", "hardly", "barely", "no", "nothing",
    "without", "cannot",
];
/// A sentence that begins so is a question, a command or a condition.
const OPENING: &[&str] = &[
    "do", "does", "did", "is", "are", "was", "were", "have", "has", "had", "who", "what", "where",
    "when", "why", "how", "which", "whose", "because", "since", "while", "although", "though",
    "after", "before", "until", "once", "please",
];

/// How a sentence may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// It states what is.
    Plain,
    /// It speaks of what comes: only dates can be taken from it.
    Coming,
    /// It states nothing.
    Unreal,
}

/// How a sentence may be read.
pub(super) fn tone(sentence: &Sentence<'_>) -> Tone {
    if sentence.end == '?' || quotes(sentence.text) {
        return Tone::Unreal;
    }
    let tokens = &sentence.tokens;
    if tokens.first().is_some_and(|first| OPENING.contains(&first.lower.as_str()))
        || tokens.iter().any(|token| UNREAL.contains(&token.lower.as_str()))
        || tokens
            .windows(2)
            .any(|pair| UNREAL_PAIRS.contains(&(pair[0].lower.as_str(), pair[1].lower.as_str())))
    {
        return Tone::Unreal;
    }
    let coming = tokens.iter().any(|token| COMING.contains(&token.lower.as_str()));
    if coming { Tone::Coming } else { Tone::Plain }
}

/// Whether `tokens` deny something.
pub(super) fn denies(tokens: &[Token]) -> bool {
    tokens.iter().any(|token| DENYING.contains(&token.lower.as_str()))
}

/// Whether somebody is quoted. A name in quotes is none: a dog called "Rex".
fn quotes(text: &str) -> bool {
    let marks: [char; 8] = ['"', '“', '”', '„', '«', '»', '`', '*'];
    let mut parts = text.split(marks);
    let mut before = parts.next().unwrap_or("").trim_end().to_lowercase();
    let mut inside = true;
    for part in parts {
        if inside {
            let named = ["called", "named", "is"].iter().any(|word| before.ends_with(word));
            if !named || part.split_whitespace().count() > 3 {
                return true;
            }
        } else {
            before = part.trim_end().to_lowercase();
        }
        inside = !inside;
    }
    false
}
