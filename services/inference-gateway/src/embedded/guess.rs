//! Guesses at an answer's next tokens, from what followed the same words before: in the prompt, or
//! in the answer itself. Several tokens are then calculated in one step, in which the model's
//! weights are read once; guesses that the model does not confirm are thrown away, so the answer
//! is what it would have been. Known as prompt lookup decoding (A. Saxena, 2023).

use std::collections::HashMap;

use llama_cpp_2::token::LlamaToken;

/// The shortest run of tokens that is looked for.
const RUN: usize = 3;
/// A run is long from here on; guesses after long runs are right more often.
const LONG: usize = 8;
/// The most tokens guessed for one step.
const MOST: usize = 8;
/// What a step takes besides its tokens, in tokens: measured with SmolLM2-135M on two threads,
/// 12.8 ms for one token and 26.6 ms for four. Larger models take more, which makes this careful.
const STEP_COST: f32 = 1.8;
/// How much the newest guess counts among all.
const NEWEST: f32 = 0.1;
/// Guesses thought to be right before there was one.
const HOPE: f32 = 0.6;

/// What is known for guessing at one answer's next tokens.
#[derive(Debug)]
pub(super) struct Guesser {
    /// What followed each run when it was there last, as a place in the text.
    seen: HashMap<[LlamaToken; RUN], usize>,
    /// Runs before this place are in `seen`.
    indexed: usize,
    /// How many guesses were right lately, after short runs and after long ones.
    luck: [f32; 2],
    /// The last guesses, with the luck they count for.
    guessed: (Vec<LlamaToken>, usize),
}

impl Default for Guesser {
    fn default() -> Self {
        Self { seen: HashMap::new(), indexed: RUN, luck: [HOPE; 2], guessed: Default::default() }
    }
}

impl Guesser {
    /// The tokens that are worth calculating beside `newest`, which follows `before`: at most
    /// `room`.
    pub(super) fn guess(
        &mut self,
        before: &[LlamaToken],
        newest: LlamaToken,
        room: usize,
    ) -> Vec<LlamaToken> {
        let text = Text { before, newest };
        while self.indexed < text.len() {
            if let Some(run) = text.run(self.indexed) {
                self.seen.insert(run, self.indexed);
            }
            self.indexed += 1;
        }
        let found = text.run(text.len()).and_then(|run| self.seen.get(&run));
        let Some(&at) = found else {
            self.guessed.0.clear();
            return Vec::new();
        };
        let class = usize::from(text.alike(at) >= LONG);
        let worth = worth(self.luck[class]).min(room);
        // One is guessed in any case, to learn whether it would have been right.
        let guesses = text.from(at, worth.max(1));
        self.guessed = (guesses.clone(), class);
        guesses.into_iter().take(worth).collect()
    }

    /// Learns that `token` came as number `n` after the last guess.
    pub(super) fn learn(&mut self, n: usize, token: LlamaToken) {
        let (guesses, class) = &self.guessed;
        let Some(guess) = guesses.get(n) else { return };
        let luck = &mut self.luck[*class];
        *luck += (f32::from(u8::from(*guess == token)) - *luck) * NEWEST;
    }
}

/// How many guesses are worth their cost. The n-th is right with a chance of `luck` to the power
/// of n, and then saves a step of its own.
fn worth(luck: f32) -> usize {
    let least = 1.0 / (1.0 + STEP_COST);
    let mut chance = luck;
    let mut worth = 0;
    while chance > least && worth < MOST {
        worth += 1;
        chance *= luck;
    }
    worth
}

/// What is in the context, and the token after it.
struct Text<'a> {
    before: &'a [LlamaToken],
    newest: LlamaToken,
}

impl Text<'_> {
    fn len(&self) -> usize {
        self.before.len() + 1
    }

    fn at(&self, place: usize) -> LlamaToken {
        self.before.get(place).copied().unwrap_or(self.newest)
    }

    /// The run that ends before a place.
    fn run(&self, end: usize) -> Option<[LlamaToken; RUN]> {
        let begin = end.checked_sub(RUN)?;
        Some(std::array::from_fn(|n| self.at(begin + n)))
    }

    /// How many tokens before a place are the same as those at the end; not more than matter.
    fn alike(&self, place: usize) -> usize {
        let pairs = (0..place).rev().zip((0..self.len()).rev());
        pairs.take(LONG).take_while(|(one, other)| self.at(*one) == self.at(*other)).count()
    }

    /// The `count` tokens from a place on; past the end they begin there again.
    fn from(&self, place: usize, count: usize) -> Vec<LlamaToken> {
        let period = (self.len() - place).max(1);
        (0..count).map(|n| self.at(place + n % period)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<LlamaToken> {
        text.bytes().map(|byte| LlamaToken::new(byte.into())).collect()
    }

    fn text(tokens: &[LlamaToken]) -> String {
        tokens.iter().filter_map(|token| u8::try_from(token.0).ok()).map(char::from).collect()
    }

    /// What is guessed after `said`, by one that was always right.
    fn guess(said: &str, room: usize) -> String {
        let mut guesser = Guesser { luck: [1.0; 2], ..Guesser::default() };
        let said = tokens(said);
        let (newest, before) = said.split_last().unwrap();
        text(&guesser.guess(before, *newest, room))
    }

    #[test]
    fn what_followed_before_is_guessed() {
        assert_eq!(guess("the cat sat. the c", 3), "at ");
        assert_eq!(guess("abcdefXabc", 8), "defXabcd");
        assert_eq!(guess("abcabc", 7), "abcabca");
    }

    #[test]
    fn the_newest_occurrence_counts() {
        assert_eq!(guess("abc1 abc2 abc", 1), "2");
    }

    #[test]
    fn nothing_new_is_guessed() {
        assert_eq!(guess("abcdefgh", 8), "");
        assert_eq!(guess("ab", 8), "");
        assert_eq!(guess("a", 8), "");
        assert_eq!(guess("the cat sat. the c", 0), "");
    }

    #[test]
    fn bad_luck_ends_guessing_and_good_luck_begins_it_again() {
        let mut guesser = Guesser::default();
        let before = tokens("abcdabcdab");
        let newest = LlamaToken::new(b'c'.into());
        let step = |guesser: &mut Guesser, next: u8| {
            let guesses = guesser.guess(&before, newest, MOST).len();
            guesser.learn(0, LlamaToken::new(next.into()));
            guesses
        };
        for _ in 0..40 {
            step(&mut guesser, b'x');
        }
        assert_eq!(step(&mut guesser, b'x'), 0);
        for _ in 0..40 {
            step(&mut guesser, b'd');
        }
        assert!(step(&mut guesser, b'd') > 4);
    }

    #[test]
    fn guesses_are_worth_what_they_cost() {
        assert_eq!(worth(0.6), 2);
        assert_eq!(worth(0.3), 0);
        assert_eq!(worth(1.0), MOST);
    }
}
