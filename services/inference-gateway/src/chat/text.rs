//! The text of an answer, put together from the bytes of tokens: never half a character, and
//! never a part of a stop string.

/// Collects bytes, gives out text.
#[derive(Debug, Default)]
pub struct AnswerText {
    stops: Vec<String>,
    /// The beginning of a character whose end has not come.
    bytes: Vec<u8>,
    /// Text that may be the beginning of a stop string.
    held: String,
    stopped: bool,
}

impl AnswerText {
    /// Ends before any of `stops`.
    #[must_use]
    pub fn new(stops: Vec<String>) -> Self {
        Self { stops, ..Self::default() }
    }

    /// A stop string was met; what is pushed now is dropped.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Adds the bytes of a token; returns the text that is certain now, maybe none.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        if self.stopped {
            return String::new();
        }
        self.bytes.extend_from_slice(bytes);
        self.take_characters();
        self.release()
    }

    /// Returns what was held back; a character that never became whole is U+FFFD.
    pub fn finish(&mut self) -> String {
        if self.stopped {
            return String::new();
        }
        if !self.bytes.is_empty() {
            self.bytes.clear();
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        std::mem::take(&mut self.held)
    }

    /// Moves whole characters from `bytes` to `held`.
    fn take_characters(&mut self) {
        let mut rest = 0;
        for chunk in self.bytes.utf8_chunks() {
            self.held.push_str(chunk.valid());
            rest += chunk.valid().len();
            let invalid = chunk.invalid();
            if invalid.is_empty() {
                continue;
            }
            // At the end it may be a character that is still coming.
            let at_end = rest + invalid.len() == self.bytes.len();
            if at_end && could_become_whole(invalid) {
                break;
            }
            self.held.push(char::REPLACEMENT_CHARACTER);
            rest += invalid.len();
        }
        self.bytes.drain(..rest);
    }

    fn release(&mut self) -> String {
        let met = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = met {
            self.stopped = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let kept = self.held.split_off(self.held.len() - keep);
        std::mem::replace(&mut self.held, kept)
    }
}

/// Whether more bytes can make `start` one character: it is too short, not wrong.
fn could_become_whole(start: &[u8]) -> bool {
    std::str::from_utf8(start).is_err_and(|error| error.error_len().is_none())
}

/// The length of the longest end of `text` that is a beginning of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let beginnings = stop.char_indices().map(|(at, _)| at).rev();
    beginnings.into_iter().find(|&at| text.ends_with(&stop[..at])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(stops: &[&str], pieces: &[&[u8]]) -> (String, bool) {
        let mut text = AnswerText::new(stops.iter().map(ToString::to_string).collect());
        let mut all = String::new();
        for piece in pieces {
            all += &text.push(piece);
        }
        all += &text.finish();
        (all, text.stopped())
    }

    #[test]
    fn half_a_character_waits_for_its_other_half() {
        let mut text = AnswerText::default();
        let euro = "€".as_bytes();
        assert_eq!(text.push(&euro[..1]), "");
        assert_eq!(text.push(&euro[1..2]), "");
        assert_eq!(text.push(&euro[2..]), "€");
        assert_eq!(text.finish(), "");
    }

    #[test]
    fn what_never_becomes_a_character_is_replaced() {
        assert_eq!(run(&[], &[b"a\xff", b"b\xe2\x82"]).0, "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn a_stop_string_over_several_tokens_is_never_shown() {
        let mut text = AnswerText::new(vec!["STOP".to_owned()]);
        assert_eq!(text.push(b"go S"), "go ");
        assert_eq!(text.push(b"T"), "");
        assert_eq!(text.push(b"OP on"), "");
        assert!(text.stopped());
        assert_eq!(text.push(b"more"), "");
        assert_eq!(text.finish(), "");
    }

    #[test]
    fn what_only_looked_like_a_stop_string_is_shown() {
        assert_eq!(run(&["STOP"], &[b"ST", b"ART"]), ("START".to_owned(), false));
        assert_eq!(run(&["STOP"], &[b"ST"]), ("ST".to_owned(), false));
    }

    #[test]
    fn the_earliest_stop_string_counts() {
        assert_eq!(run(&["c", "b"], &[b"abc"]), ("a".to_owned(), true));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            text in "[ab€😀]{0,24}",
            stop in "[ab€]{1,3}",
            cuts in proptest::collection::vec(0_usize..64, 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            let expected = text.split(&stop).next().unwrap();
            let (shown, stopped) = run(&[&stop], &pieces);
            prop_assert_eq!(shown, expected);
            prop_assert_eq!(stopped, text.contains(&stop));
        }
    }
}
