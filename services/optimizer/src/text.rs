//! Cutting text.

/// The first bytes of a text, cut at a character and, when something is left out, ended by "…".
#[must_use]
pub fn excerpt(text: &str, bytes: usize) -> String {
    let text = text.trim();
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes.saturating_sub('…'.len_utf8()));
    format!("{}…", text.get(..end).unwrap_or_default().trim_end())
}

/// What PostgreSQL can store: at most so many bytes, cut at a character, without NUL.
#[must_use]
pub fn storable(text: &str, bytes: usize) -> String {
    let text = text.get(..text.floor_char_boundary(bytes)).unwrap_or_default();
    if text.contains('\0') { text.replace('\0', "") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_breaks_a_character() {
        for bytes in 0..30 {
            let cut = excerpt("ääääääääääääääääääää", bytes);
            assert!(cut.len() <= bytes.max(3) && cut.ends_with('…'), "{bytes}: {cut}");
            assert!(storable("ääääääääääääääääääää", bytes).len() <= bytes);
        }
        assert_eq!(excerpt("  short ", 20), "short");
        assert_eq!(storable("a\0b", 20), "ab");
    }
}
