//! Cutting and comparing text.

/// The first bytes of a text, cut at a character and, when something is left out, ended by "…".
pub(crate) fn excerpt(text: &str, bytes: usize) -> String {
    let text = text.trim();
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes.saturating_sub('…'.len_utf8()));
    let kept = text.get(..end).unwrap_or_default();
    // Better at a word's end, where there is one near.
    let end = kept.rfind(char::is_whitespace).filter(|word| *word * 2 >= end).unwrap_or(end);
    format!("{}…", kept.get(..end).unwrap_or(kept).trim_end())
}

/// Its words in lower case.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// On one line, with single blanks.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_never_breaks_a_character() {
        assert_eq!(excerpt("  short ", 20), "short");
        assert_eq!(excerpt("one two three four", 15), "one two…");
        for bytes in 0..30 {
            let cut = excerpt("ääääääääääääääääääää", bytes);
            assert!(cut.len() <= bytes.max(3) && cut.ends_with('…'), "{bytes}: {cut}");
        }
    }

    #[test]
    fn words_and_lines() {
        assert_eq!(words("Tram 28, to Graça!").collect::<Vec<_>>(), ["tram", "28", "to", "graça"]);
        assert_eq!(one_line(" a\n b\t c "), "a b c");
    }
}
