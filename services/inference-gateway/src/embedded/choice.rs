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
const RECENT: u8 = 64;

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
    chain: LlamaSampler,
    limit: Limited,
}

enum Limited {
    Free,
    Matcher(Constrained),
    Grammar(LlamaSampler),
}

struct Constrained {
    matcher: Box<Matcher>,
    penalty: f32,
    /// Only tokens of content: quotes and brackets must repeat.
    recent: VecDeque<LlamaToken>,
}

impl Choice {
    /// As `sampling` says, within `limit`.
    pub(super) fn new(sampling: &Sampling, limit: Limit, loaded: &Loaded) -> Self {
        let mut chain = Vec::new();
        let (repeat, frequency, presence) =
            (sampling.repeat_penalty, sampling.frequency_penalty, sampling.presence_penalty);
        let free = !matches!(limit, Limit::Matcher(_));
        if free && (repeat != 1.0 || frequency != 0.0 || presence != 0.0) {
            let vocabulary = loaded.model.n_vocab();
            let recent = RECENT.into();
            chain.push(LlamaSampler::penalties(vocabulary, recent, repeat, frequency, presence));
        }
        if sampling.temperature <= 0.0 {
            chain.push(LlamaSampler::greedy());
        } else {
            if let Ok(top_k @ 1..) = i32::try_from(sampling.top_k) {
                chain.push(LlamaSampler::top_k(top_k));
            }
            chain.push(LlamaSampler::top_p(sampling.top_p, 1));
            chain.push(LlamaSampler::min_p(sampling.min_p, 1));
            chain.push(LlamaSampler::temp(sampling.temperature));
            // llama.cpp takes the largest number to mean a random one.
            let seed = sampling.seed.map_or(u32::MAX, |seed| seed.min(u32::MAX - 1));
            chain.push(LlamaSampler::dist(seed));
        }
        let limit = match limit {
            Limit::Free => Limited::Free,
            Limit::Grammar(grammar) => Limited::Grammar(grammar),
            Limit::Matcher(matcher) => {
                Limited::Matcher(Constrained { matcher, penalty: repeat, recent: VecDeque::new() })
            }
        };
        Self { chain: LlamaSampler::chain(chain, true), limit }
    }

    /// The next token, from what the batch's token `at` gave.
    pub(super) fn next(
        &mut self,
        context: &LlamaContext<'_>,
        loaded: &Loaded,
        at: i32,
    ) -> Result<LlamaToken, String> {
        match &mut self.limit {
            Limited::Free => Ok(self.chain.sample(context, at)),
            Limited::Matcher(constrained) => constrained.next(&mut self.chain, context, loaded, at),
            Limited::Grammar(grammar) => by_grammar(grammar, &mut self.chain, context, at),
        }
    }

    /// Nothing can follow: the constraint is satisfied.
    pub(super) fn is_complete(&self) -> bool {
        match &self.limit {
            Limited::Matcher(constrained) => constrained.matcher.is_stopped(),
            // A grammar at its end admits the end of the answer alone.
            Limited::Free | Limited::Grammar(_) => false,
        }
    }
}

/// Tries the likely token first: asking the grammar of every token of the vocabulary takes long.
fn by_grammar(
    grammar: &mut LlamaSampler,
    chain: &mut LlamaSampler,
    context: &LlamaContext<'_>,
    at: i32,
) -> Result<LlamaToken, String> {
    let mut choose = |mut candidates: LlamaTokenDataArray| {
        candidates.apply_sampler(chain);
        candidates.selected_token().ok_or("no token was chosen")
    };
    let mut token = choose(context.token_data_array_ith(at))?;
    let mut only = LlamaTokenDataArray::new(vec![LlamaTokenData::new(token, 1.0, 0.0)], false);
    only.apply_sampler(grammar);
    if !only.data.iter().any(|candidate| candidate.logit().is_finite()) {
        let mut admitted = context.token_data_array_ith(at);
        admitted.apply_sampler(grammar);
        admitted.data.retain(|candidate| candidate.logit().is_finite());
        if admitted.data.is_empty() {
            return Err("the grammar admits no token".to_owned());
        }
        token = choose(LlamaTokenDataArray::new(admitted.data, false))?;
    }
    grammar.try_accept(token).map_err(|error| format!("the grammar: {error}"))?;
    chain.accept(token);
    Ok(token)
}

impl Constrained {
    fn next(
        &mut self,
        chain: &mut LlamaSampler,
        context: &LlamaContext<'_>,
        loaded: &Loaded,
        at: i32,
    ) -> Result<LlamaToken, String> {
        let mask = self.matcher.compute_mask_or_eos().map_err(|error| error.to_string())?;
        let logits = context.get_logits_ith(at);
        let mut admitted = Vec::new();
        mask.iter_set_entries(|token| {
            if let (Ok(id), Some(logit)) = (i32::try_from(token), logits.get(token)) {
                let token = LlamaToken::new(id);
                let logit = if self.penalty == 1.0 || !self.recent.contains(&token) {
                    *logit
                } else if *logit > 0.0 {
                    *logit / self.penalty
                } else {
                    *logit * self.penalty
                };
                admitted.push(LlamaTokenData::new(token, logit, 0.0));
            }
        });
        let token = match admitted.as_slice() {
            [] => return Err("the constraint admits no token".to_owned()),
            [only] => only.id(),
            _ => {
                let mut candidates = LlamaTokenDataArray::new(admitted, false);
                candidates.apply_sampler(chain);
                candidates.selected_token().ok_or("no token was chosen")?
            }
        };
        let vocabulary = loaded.model.vocab();
        if vocabulary.is_eog(token) {
            return Ok(token);
        }
        let id = u32::try_from(token.0).map_err(|error| error.to_string())?;
        self.matcher.consume_token(id).map_err(|error| error.to_string())?;
        if let Some(error) = self.matcher.get_error() {
            return Err(error);
        }
        let piece = vocabulary.token_to_piece(token, false, None);
        if !piece.iter().any(|byte| b"\"{}[],:".contains(byte)) {
            if self.recent.len() == usize::from(RECENT) {
                self.recent.pop_front();
            }
            self.recent.push_back(token);
        }
        Ok(token)
    }
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
