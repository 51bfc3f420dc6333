//! How the next token of one answer is chosen.

use std::collections::VecDeque;

use llama_cpp_2::{
    context::LlamaContext,
    sampling::LlamaSampler,
    token::{LlamaToken, data::LlamaTokenData, data_array::LlamaTokenDataArray},
};
use llguidance::Matcher;

use super::load::Loaded;
use crate::chat::Sampling;

/// Tokens among which a repetition is looked for.
const RECENT: u8 = 64;

/// The state of one answer's choices.
pub(super) struct Choice {
    chain: LlamaSampler,
    constrained: Option<Constrained>,
}

struct Constrained {
    matcher: Matcher,
    penalty: f32,
    /// Only tokens of content: quotes and brackets must repeat.
    recent: VecDeque<LlamaToken>,
}

impl Choice {
    /// As `sampling` says; with `matcher`, among the tokens that it admits.
    pub(super) fn new(sampling: &Sampling, matcher: Option<Matcher>, loaded: &Loaded) -> Self {
        let mut chain = Vec::new();
        let penalty = sampling.repeat_penalty;
        if matcher.is_none() && penalty != 1.0 {
            let vocabulary = loaded.model.n_vocab();
            chain.push(LlamaSampler::penalties(vocabulary, RECENT.into(), penalty, 0.0, 0.0));
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
        let constrained =
            matcher.map(|matcher| Constrained { matcher, penalty, recent: VecDeque::new() });
        Self { chain: LlamaSampler::chain(chain, true), constrained }
    }

    /// The next token, from what the batch's token `at` gave.
    pub(super) fn next(
        &mut self,
        context: &LlamaContext<'_>,
        loaded: &Loaded,
        at: i32,
    ) -> Result<LlamaToken, String> {
        match &mut self.constrained {
            None => Ok(self.chain.sample(context, at)),
            Some(constrained) => constrained.next(&mut self.chain, context, loaded, at),
        }
    }

    /// Nothing can follow: the schema is satisfied.
    pub(super) fn is_complete(&self) -> bool {
        self.constrained.as_ref().is_some_and(|constrained| constrained.matcher.is_stopped())
    }
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
            [] => return Err("the schema admits no token".to_owned()),
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
