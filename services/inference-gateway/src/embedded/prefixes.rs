//! Beginnings of prompts whose keys and values are kept beside the context, for the next request
//! that begins the same: agents that take turns find their instructions and histories again.

use llama_cpp_2::token::LlamaToken;

/// What is kept of one sequence, of which only the size matters here.
pub(super) trait State {
    /// In bytes.
    fn size(&self) -> usize;
}

impl State for llama_cpp_2::context::session::SeqState {
    fn size(&self) -> usize {
        self.byte_len()
    }
}

/// Kept beginnings; the least recently used go when the budget is spent.
#[derive(Debug)]
pub(super) struct Prefixes<S> {
    budget: usize,
    held: usize,
    /// The least recently used first.
    kept: Vec<(Vec<LlamaToken>, S)>,
}

impl<S: State> Prefixes<S> {
    /// Holds at most `budget` bytes.
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, held: 0, kept: Vec::new() }
    }

    /// Whether this beginning is worth keeping: it fits, and none that is kept begins with it.
    pub(super) fn wants(&self, tokens: &[LlamaToken], size: usize) -> bool {
        size <= self.budget && self.kept.iter().all(|(kept, _)| !kept.starts_with(tokens))
    }

    /// Keeps a beginning, in the place of those that it begins with.
    pub(super) fn keep(&mut self, tokens: Vec<LlamaToken>, state: S) {
        let size = state.size();
        if !self.wants(&tokens, size) {
            return;
        }
        self.kept.retain(|(kept, _)| !tokens.starts_with(kept));
        self.held = self.kept.iter().map(|(_, state)| state.size()).sum();
        while self.held + size > self.budget && !self.kept.is_empty() {
            self.held -= self.kept.remove(0).1.size();
        }
        self.held += size;
        self.kept.push((tokens, state));
    }

    /// The one that has most of the beginning of `prompt`, and how much; it counts as used.
    pub(super) fn best(&mut self, prompt: &[LlamaToken]) -> Option<(&[LlamaToken], &S, usize)> {
        let lengths = self.kept.iter().map(|(kept, _)| common(kept, prompt)).enumerate();
        let (at, length) = lengths.max_by_key(|(_, length)| *length)?;
        if length == 0 {
            return None;
        }
        let entry = self.kept.remove(at);
        self.kept.push(entry);
        self.kept.last().map(|(tokens, state)| (tokens.as_slice(), state, length))
    }
}

/// How many tokens two texts have in common at their beginnings.
pub(super) fn common(one: &[LlamaToken], other: &[LlamaToken]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl State for usize {
        fn size(&self) -> usize {
            *self
        }
    }

    fn tokens(text: &str) -> Vec<LlamaToken> {
        text.bytes().map(|byte| LlamaToken::new(byte.into())).collect()
    }

    #[test]
    fn the_longest_beginning_is_found() {
        let mut prefixes = Prefixes::new(100);
        prefixes.keep(tokens("system A"), 8_usize);
        prefixes.keep(tokens("system B, history"), 17);
        let (_, state, length) = prefixes.best(&tokens("system B, question")).unwrap();
        assert_eq!((*state, length), (17, 10));
        assert!(prefixes.best(&tokens("nothing alike")).is_none());
    }

    #[test]
    fn a_longer_beginning_takes_the_place_of_the_shorter() {
        let mut prefixes = Prefixes::new(100);
        prefixes.keep(tokens("abc"), 3_usize);
        prefixes.keep(tokens("abcdef"), 6);
        assert_eq!((prefixes.kept.len(), prefixes.held), (1, 6));
        assert!(!prefixes.wants(&tokens("abcd"), 4));
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut prefixes = Prefixes::new(10);
        prefixes.keep(tokens("aaaa"), 4_usize);
        prefixes.keep(tokens("bbbb"), 4);
        prefixes.best(&tokens("aaaa"));
        prefixes.keep(tokens("cccc"), 4);
        assert!(prefixes.best(&tokens("bbbb")).is_none());
        assert!(prefixes.best(&tokens("aaaa")).is_some());
    }

    proptest! {
        #[test]
        fn the_budget_is_never_exceeded(
            entries in proptest::collection::vec(("[ab]{1,6}", 0_usize..60), 0..40),
        ) {
            let mut prefixes = Prefixes::new(100);
            for (text, size) in entries {
                prefixes.keep(tokens(&text), size);
                let held: usize = prefixes.kept.iter().map(|(_, size)| *size).sum();
                prop_assert_eq!(held, prefixes.held);
                prop_assert!(held <= 100);
            }
        }
    }
}
