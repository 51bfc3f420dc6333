//! Who and what a clause speaks of.

use super::{
    lexicon::{ADVERBS, ENDS, INNER, NO_NAME, OPENERS, VAGUE, VERBS},
    sentence::Token,
};
use crate::knowledge::time;

/// A name has at most so many words.
const MOST_OF_NAME: usize = 5;
/// The name of a thing that is somebody's.
const MOST_OF_NOUN: usize = 4;

/// What a clause is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// Somebody or something with a name.
    Named(String),
    /// What is somebody's: "my dog Rex", "Ana's rent".
    Owned { owner: String, noun: String, name: Option<String> },
    /// "the meeting".
    Thing(String),
}

/// A place in a clause.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'s> {
    pub(super) text: &'s str,
    pub(super) tokens: &'s [Token],
    pub(super) at: usize,
    /// "Ana's a nurse": an "is" that was read as a part of the word before.
    is: bool,
}

impl<'s> Cursor<'s> {
    pub(super) fn new(text: &'s str, tokens: &'s [Token]) -> Self {
        Self { text, tokens, at: 0, is: false }
    }

    fn peek(&self) -> Option<&'s Token> {
        self.tokens.get(self.at)
    }

    /// The next word; empty at the end.
    pub(super) fn word(&self) -> &'s str {
        self.word_at(0)
    }

    /// The word `ahead` of the next.
    pub(super) fn word_at(&self, ahead: usize) -> &'s str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.lower.as_str())
    }

    /// Goes on if the next word is one of `words`.
    pub(super) fn eat(&mut self, words: &[&str]) -> bool {
        if self.is && (words.contains(&"is")) {
            self.is = false;
            return true;
        }
        let eaten = !self.is && words.contains(&self.word());
        self.at += usize::from(eaten);
        eaten
    }

    /// Goes on if these are next.
    pub(super) fn eat_all(&mut self, words: &[&str]) -> bool {
        let mut ahead = self.clone();
        let all = words.iter().all(|word| ahead.eat(&[word]));
        if all {
            *self = ahead;
        }
        all
    }

    pub(super) fn adverbs(&mut self) {
        while ADVERBS.contains(&self.word()) {
            self.at += 1;
        }
    }

    /// Whether nothing follows, or a sign, "and", or a word of `more`.
    pub(super) fn ends(&self, more: &[&str]) -> bool {
        self.peek().is_none_or(|token| {
            token.gap.trim() != ""
                || matches!(token.lower.as_str(), "and" | "but" | "or" | "now" | "too")
                || more.contains(&token.lower.as_str())
        })
    }

    /// What is left of the text.
    pub(super) fn rest(&self) -> &'s str {
        self.peek().map_or("", |token| {
            // A currency's sign stands before the number.
            let sign = token.gap.len() - token.gap.trim_start().len();
            let from = token.from - (token.gap.len() - sign);
            self.text.get(from..).unwrap_or("")
        })
    }

    /// Words with capitals: a name.
    pub(super) fn name(&mut self) -> Option<String> {
        let first = self.at;
        let begins = self.peek()?;
        if self.is || !is_name(begins) {
            return None;
        }
        let mut last = first;
        while !self.tokens[last].own && last + 1 - first < MOST_OF_NAME {
            let next = |ahead: usize| self.tokens.get(last + ahead);
            let Some(one) = next(1) else { break };
            let inner = INNER.contains(&one.lower.as_str()) && one.gap == " ";
            if is_name(one) && matches!(one.gap.as_str(), " " | "-" | ". " | " & " | "’" | "'") {
                last += 1;
            } else if inner && next(2).is_some_and(|two| is_name(two) && two.gap == " ") {
                last += 2;
            } else {
                break;
            }
        }
        self.at = last + 1;
        self.slice(first, last)
    }

    fn slice(&self, first: usize, last: usize) -> Option<String> {
        let text = self.text.get(self.tokens[first].from..self.tokens[last].to)?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        (!text.is_empty() && text.len() <= 128).then_some(text)
    }

    /// A thing: at most `most` words, without an article. Nothing when it is vague.
    pub(super) fn noun(&mut self, most: usize) -> Option<String> {
        self.eat(&["a", "an"]);
        let first = self.at;
        let begins = self.peek()?;
        if self.is || VAGUE.contains(&begins.lower.as_str()) {
            return None;
        }
        let mut last = None;
        while let Some(token) = self.peek() {
            let begun = last.is_some();
            let word = token.lower.as_str();
            let joined = token.gap == "-" || token.gap.trim().is_empty();
            let of =
                word == "of" && !VAGUE.contains(&self.word_at(1)) && !self.word_at(1).is_empty();
            // "in-memory" is one word.
            let compound = self.tokens.get(self.at + 1).is_some_and(|next| next.gap == "-");
            let ends = ENDS.contains(&word) && !compound;
            if (begun && !joined) || ends || (word == "of" && !(begun && of)) {
                break;
            }
            if self.at - first >= most {
                // Cut short it would say something else.
                return None;
            }
            last = Some(self.at);
            self.at += 1;
            if token.own {
                return None;
            }
        }
        // "making it" is nothing without what it is.
        let open =
            matches!(self.word(), "it" | "you" | "me" | "him" | "us" | "them" | "that" | "this");
        if open && self.peek().is_some_and(|next| next.gap.trim().is_empty()) {
            return None;
        }
        self.slice(first, last?)
    }

    /// What the clause is about; `speaker` stands for "I", `they` for "she" and "he".
    pub(super) fn subject(
        &mut self,
        speaker: Option<&str>,
        they: Option<&Subject>,
    ) -> Option<Subject> {
        match self.word() {
            "i" => {
                self.at += 1;
                Some(Subject::Named(speaker?.to_owned()))
            }
            "she" | "he" => {
                self.is = self.peek()?.own;
                self.at += 1;
                they.cloned()
            }
            "my" => {
                self.at += 1;
                self.owned(speaker?.to_owned())
            }
            "the" => {
                self.at += 1;
                if let Some(name) = self.name() {
                    return Some(Subject::Named(name));
                }
                Some(Subject::Thing(self.noun_of_subject()?))
            }
            _ => {
                let own_at = self.at;
                let name = self.name()?;
                let own = self.tokens[own_at..self.at].iter().any(|token| token.own);
                if !own {
                    return Some(Subject::Named(name));
                }
                let is = matches!(
                    self.word(),
                    "a" | "an"
                        | "the"
                        | "from"
                        | "married"
                        | "allergic"
                        | "now"
                        | "working"
                        | "living"
                        | "not"
                        | "called"
                        | "vegetarian"
                        | "vegan"
                        | "retired"
                );
                if is {
                    self.is = true;
                    return Some(Subject::Named(name));
                }
                self.owned(name)
            }
        }
    }

    /// "dog", "dog Rex", "sister Bea": what is the owner's.
    fn owned(&mut self, owner: String) -> Option<Subject> {
        let noun = self.noun_of_subject()?;
        let name = self.name();
        Some(Subject::Owned { owner, noun, name })
    }

    /// Words in lower case up to a verb or a name.
    fn noun_of_subject(&mut self) -> Option<String> {
        let first = self.at;
        while let Some(token) = self.peek() {
            let word = token.lower.as_str();
            let joined = self.at == first || token.gap == "-" || token.gap.trim().is_empty();
            let named = token.capital && self.at > first;
            if VERBS.contains(&word) || ADVERBS.contains(&word) || !joined || named {
                break;
            }
            if ENDS.contains(&word) || token.own || self.at - first >= MOST_OF_NOUN {
                return None;
            }
            self.at += 1;
        }
        let last = self.at.checked_sub(1).filter(|last| *last >= first)?;
        self.slice(first, last)
    }

    /// Goes past what stands before the sentence proper: "Well,", "Hi Bob,".
    pub(super) fn opening(&mut self) {
        let begun = self.at;
        while OPENERS.contains(&self.word()) {
            self.at += 1;
        }
        // Who is spoken to.
        if self.at > begun {
            let mut ahead = self.clone();
            if ahead.name().is_some() && ahead.peek().is_some_and(|next| next.gap.contains(',')) {
                *self = ahead;
            }
        }
    }
}

/// Whether a clause can go on with this word.
pub(super) fn is_verb(word: &str) -> bool {
    VERBS.contains(&word)
}

/// Whether an adverb stands here that changes nothing.
pub(super) fn is_adverb(word: &str) -> bool {
    ADVERBS.contains(&word)
}

fn is_name(token: &Token) -> bool {
    let lower = token.lower.as_str();
    token.capital && !NO_NAME.contains(&lower) && !time::is_month_or_weekday(lower)
}
