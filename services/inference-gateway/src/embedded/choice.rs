//! How the next token of one answer is chosen.

use std::collections::VecDeque;

use llama_cpp_2::{
    context::LlamaContext,
    model::LlamaModel,
    sampling::LlamaSampler,
    token::{LlamaToken, data::LlamaTokenData, data_array::LlamaTokenDataArray},
};
use llguidance::Matcher;

use super::load::Loaded;
use crate::{
    chat::{Sampling, TokenLogprob},
    error::Error,
};

/// Tokens among which a repetition is looked for.
const RECENT: usize = 64;

/// What the tokens of an answer must keep to.
pub(super) enum Limit {
    /// Nothing.
    Free,
    /// What a compiled constraint admits.
    Matcher(Box<Matcher>),
    /// A grammar of llama.cpp's own.
    Grammar(LlamaSampler),
}

impl Limit {
    /// A grammar in GBNF.
    pub(super) fn grammar(model: &LlamaModel, text: &str) -> Result<Self, Error> {
        let invalid = |why: String| Error::InvalidConstraint { field: "grammar", why };
        if !text
            .lines()
            .any(|line| line.split_once("::=").is_some_and(|(name, _)| name.trim() == "root"))
        {
            return Err(invalid("it has no rule `root ::= …`".to_owned()));
        }
        LlamaSampler::grammar(model, text, "root").map(Self::Grammar).map_err(|error| {
            invalid(format!("it is no grammar that llama.cpp can follow ({error})"))
        })
    }
}

/// The state of one answer's choices.
pub(super) struct Choice {
    penalties: Penalties,
    /// The likeliest tokens that are looked at; all of them when none.
    top: Option<usize>,
    /// What chooses among these; none for the likeliest.
    chain: Option<LlamaSampler>,
    limit: Limit,
}

impl Choice {
    /// As `sampling` says, within `limit`.
    pub(super) fn new(sampling: &Sampling, limit: Limit) -> Self {
        let greedy = sampling.temperature <= 0.0;
        let top = if greedy { 1 } else { usize::try_from(sampling.top_k).unwrap_or(0) };
        let chain = (!greedy).then(|| {
            // llama.cpp takes the largest number to mean a random one.
            let seed = sampling.seed.map_or(u32::MAX, |seed| seed.min(u32::MAX - 1));
            let samplers = [
                LlamaSampler::top_p(sampling.top_p, 1),
                LlamaSampler::min_p(sampling.min_p, 1),
                LlamaSampler::temp(sampling.temperature),
                LlamaSampler::dist(seed),
            ];
            LlamaSampler::chain(samplers, true)
        });
        let penalties = Penalties::new(sampling);
        Self { penalties, top: (top > 0).then_some(top), chain, limit }
    }

    /// The next token, from what the batch's token `at` gave.
    pub(super) fn next(
        &mut self,
        context: &LlamaContext<'_>,
        loaded: &Loaded,
        at: i32,
    ) -> Result<LlamaToken, String> {
        let logits = context.get_logits_ith(at);
        let token = match &mut self.limit {
            Limit::Free => choose(&self.penalties, self.top, &mut self.chain, all(logits))?,
            Limit::Matcher(matcher) => {
                let mask = matcher.compute_mask_or_eos().map_err(|error| error.to_string())?;
                let mut admitted = Vec::new();
                mask.iter_set_entries(|token| {
                    if let (Ok(id), Some(logit)) = (i32::try_from(token), logits.get(token)) {
                        admitted.push((LlamaToken::new(id), *logit));
                    }
                });
                choose(&self.penalties, self.top, &mut self.chain, admitted.into_iter())?
            }
            Limit::Grammar(grammar) => {
                // The likely token first: asking the grammar of every token takes long.
                let token = choose(&self.penalties, self.top, &mut self.chain, all(logits))?;
                if admits(grammar, token) {
                    token
                } else {
                    let admitted = admitted(grammar, logits);
                    choose(&self.penalties, self.top, &mut self.chain, admitted.into_iter())?
                }
            }
        };
        self.accept(token, loaded)?;
        Ok(token)
    }

    fn accept(&mut self, token: LlamaToken, loaded: &Loaded) -> Result<(), String> {
        let vocabulary = loaded.model.vocab();
        let ends = vocabulary.is_eog(token);
        match &mut self.limit {
            Limit::Free => {}
            Limit::Matcher(_) if ends => return Ok(()),
            Limit::Matcher(matcher) => {
                let id = u32::try_from(token.0).map_err(|error| error.to_string())?;
                matcher.consume_token(id).map_err(|error| error.to_string())?;
                if let Some(error) = matcher.get_error() {
                    return Err(error);
                }
                // Quotes and brackets must repeat: only content is penalised.
                let piece = vocabulary.token_to_piece(token, false, None);
                if piece.iter().any(|byte| b"\"{}[],:".contains(byte)) {
                    return Ok(());
                }
            }
            Limit::Grammar(grammar) => {
                grammar.try_accept(token).map_err(|error| format!("the grammar: {error}"))?;
            }
        }
        self.penalties.accept(token);
        Ok(())
    }

    /// Nothing can follow: the constraint is satisfied.
    pub(super) fn is_complete(&self) -> bool {
        match &self.limit {
            Limit::Matcher(matcher) => matcher.is_stopped(),
            // A grammar at its end admits the end of the answer alone.
            Limit::Free | Limit::Grammar(_) => false,
        }
    }
}

/// Makes tokens that are in the answer already less likely, as llama.cpp does.
struct Penalties {
    repeat: f32,
    frequency: f32,
    presence: f32,
    /// The newest last.
    recent: VecDeque<LlamaToken>,
}

impl Penalties {
    fn new(sampling: &Sampling) -> Self {
        Self {
            repeat: sampling.repeat_penalty,
            frequency: sampling.frequency_penalty,
            presence: sampling.presence_penalty,
            recent: VecDeque::new(),
        }
    }

    fn is_off(&self) -> bool {
        self.repeat == 1.0 && self.frequency == 0.0 && self.presence == 0.0
    }

    fn accept(&mut self, token: LlamaToken) {
        if self.is_off() {
            return;
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(token);
    }

    /// How often each of the recent tokens is among them, in the order of their numbers.
    fn counts(&self) -> Vec<(LlamaToken, u16)> {
        let mut counts: Vec<(LlamaToken, u16)> = Vec::with_capacity(self.recent.len());
        for token in &self.recent {
            match counts.iter_mut().find(|(known, _)| known == token) {
                Some((_, count)) => *count += 1,
                None => counts.push((*token, 1)),
            }
        }
        counts.sort_unstable_by_key(|(token, _)| token.0);
        counts
    }

    fn apply(&self, logit: f32, count: u16) -> f32 {
        let repeated = if logit > 0.0 { logit / self.repeat } else { logit * self.repeat };
        repeated - f32::from(count) * self.frequency - self.presence
    }
}

fn all(logits: &[f32]) -> impl Iterator<Item = (LlamaToken, f32)> {
    (0_i32..).map(LlamaToken::new).zip(logits.iter().copied())
}

/// Chooses among candidates, which come in the order of their numbers.
///
/// llama.cpp's own chain would first copy the whole vocabulary; only the likeliest matter.
fn choose(
    penalties: &Penalties,
    top: Option<usize>,
    chain: &mut Option<LlamaSampler>,
    candidates: impl Iterator<Item = (LlamaToken, f32)>,
) -> Result<LlamaToken, String> {
    let counts = penalties.counts();
    let mut counts = counts.iter().peekable();
    let penalised = candidates.map(|(token, logit)| {
        while counts.next_if(|(known, _)| known.0 < token.0).is_some() {}
        match counts.peek() {
            Some((known, count)) if *known == token => (token, penalties.apply(logit, *count)),
            _ => (token, logit),
        }
    });
    let mut likeliest = likeliest(penalised, top);
    let Some(chain) = chain else {
        return likeliest.first().map(|(token, _)| *token).ok_or_else(none_admitted);
    };
    if let [(only, _)] = likeliest.as_slice() {
        return Ok(*only);
    }
    let data = likeliest.drain(..).map(|(token, logit)| LlamaTokenData::new(token, logit, 0.0));
    let data: Vec<_> = data.collect();
    if data.is_empty() {
        return Err(none_admitted());
    }
    let mut candidates = LlamaTokenDataArray::new(data, true);
    candidates.apply_sampler(chain);
    candidates.selected_token().ok_or_else(|| "no token was chosen".to_owned())
}

fn none_admitted() -> String {
    "the constraint admits no token".to_owned()
}

/// The `top` candidates with the highest logits, the highest first.
fn likeliest(
    candidates: impl Iterator<Item = (LlamaToken, f32)>,
    top: Option<usize>,
) -> Vec<(LlamaToken, f32)> {
    let by_logit = |one: &(LlamaToken, f32), other: &(LlamaToken, f32)| {
        other.1.total_cmp(&one.1).then(one.0.0.cmp(&other.0.0))
    };
    let Some(top) = top else {
        let mut all: Vec<_> = candidates.collect();
        all.sort_unstable_by(by_logit);
        return all;
    };
    // What is under the least of the best so far is passed over at once, which is nearly all.
    let room = top.saturating_mul(4).clamp(64, 1 << 20);
    let mut best: Vec<(LlamaToken, f32)> = Vec::with_capacity(room);
    let mut least = f32::NEG_INFINITY;
    for candidate in candidates {
        if candidate.1 < least {
            continue;
        }
        best.push(candidate);
        if best.len() == room && top < room {
            best.select_nth_unstable_by(top - 1, by_logit);
            best.truncate(top);
            least = best.iter().map(|(_, logit)| *logit).fold(f32::INFINITY, f32::min);
        }
    }
    best.sort_unstable_by(by_logit);
    best.truncate(top);
    best
}

fn admits(grammar: &mut LlamaSampler, token: LlamaToken) -> bool {
    let mut only = LlamaTokenDataArray::new(vec![LlamaTokenData::new(token, 1.0, 0.0)], false);
    only.apply_sampler(grammar);
    only.data.iter().any(|candidate| candidate.logit().is_finite())
}

fn admitted(grammar: &mut LlamaSampler, logits: &[f32]) -> Vec<(LlamaToken, f32)> {
    let data = all(logits).map(|(token, logit)| LlamaTokenData::new(token, logit, 0.0));
    let mut candidates = LlamaTokenDataArray::new(data.collect(), false);
    candidates.apply_sampler(grammar);
    let admitted = candidates.data.iter().filter(|candidate| candidate.logit().is_finite());
    admitted.map(|candidate| (candidate.id(), candidate.logit())).collect()
}

/// How likely `token` was among all, and the `top` likeliest, before sampling.
pub(super) fn logprob(logits: &[f32], token: LlamaToken, top: u8, loaded: &Loaded) -> TokenLogprob {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - highest).exp()).sum();
    // As precise as the logits themselves.
    #[expect(clippy::cast_possible_truncation, reason = "a logarithm of a sum of f32s")]
    let total = highest + sum.ln() as f32;
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let count = usize::from(top).min(order.len());
    let by_logit = |one: &usize, other: &usize| logits[*other].total_cmp(&logits[*one]);
    if (1..order.len()).contains(&count) {
        order.select_nth_unstable_by(count - 1, by_logit);
    }
    order.truncate(count);
    order.sort_unstable_by(by_logit);
    let vocabulary = loaded.model.vocab();
    let bytes = |token| vocabulary.token_to_piece(token, true, None);
    let top = order.into_iter().filter_map(|id| {
        Some((bytes(LlamaToken::new(i32::try_from(id).ok()?)), logits[id] - total))
    });
    let own = usize::try_from(token.0).ok().and_then(|id| logits.get(id));
    TokenLogprob {
        bytes: bytes(token),
        logprob: own.map_or(f32::NEG_INFINITY, |logit| logit - total),
        top: top.collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(logits: &[f32]) -> Vec<(LlamaToken, f32)> {
        all(logits).collect()
    }

    proptest! {
        #[test]
        fn the_likeliest_are_those_of_a_full_sort(
            logits in proptest::collection::vec(-30.0_f32..30.0, 1..3_000),
            top in 1_usize..200,
        ) {
            let mut sorted = tokens(&logits);
            sorted.sort_by(|one, other| other.1.total_cmp(&one.1));
            sorted.truncate(top);
            let found = likeliest(all(&logits), Some(top));
            let values = |list: &[(LlamaToken, f32)]| list.iter().map(|(_, x)| *x).collect::<Vec<_>>();
            prop_assert_eq!(values(&found), values(&sorted));
        }
    }

    #[test]
    fn what_was_said_becomes_less_likely() {
        let sampling = Sampling {
            temperature: 0.0,
            repeat_penalty: 2.0,
            frequency_penalty: 0.5,
            presence_penalty: 0.25,
            ..Sampling::default()
        };
        let mut penalties = Penalties::new(&sampling);
        let logits = [4.0, 3.0, -1.0];
        let next =
            |penalties: &Penalties| choose(penalties, Some(1), &mut None, all(&logits)).unwrap().0;
        assert_eq!(next(&penalties), 0);
        penalties.accept(LlamaToken::new(0));
        assert_eq!(next(&penalties), 1);
        for token in [1, 1, 0, 2, 2] {
            penalties.accept(LlamaToken::new(token));
        }
        let counts: Vec<_> = penalties.counts().iter().map(|(token, n)| (token.0, *n)).collect();
        assert_eq!(counts, [(0, 2), (1, 2), (2, 2)]);
        // 4/2 - 1 - 0.25, 3/2 - 1 - 0.25, -1*2 - 1 - 0.25
        assert_eq!(penalties.apply(4.0, 2), 0.75);
        assert_eq!(penalties.apply(-1.0, 2), -3.25);
        assert_eq!(next(&penalties), 0);
    }
}
