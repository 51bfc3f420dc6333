//! Vectors of texts from embedding models in GGUF files: BERT and its kin, and decoders made for it.

use std::{num::NonZeroU32, path::Path};

use llama_cpp_2::{
    context::{
        LlamaContext,
        params::{LlamaContextParams, LlamaPoolingType},
    },
    llama_batch::LlamaBatch,
    token::LlamaToken,
};

use super::{
    EngineSettings,
    load::{Loaded, backend},
};
use crate::chat::Embedded;

/// Texts calculated at once, as far as their tokens fit.
const TEXTS: u16 = 16;
/// Tokens calculated at once, if no text may have more.
const TOKENS: u32 = 512;
/// No text of this many bytes fits any window, but for one of blanks.
const BYTES_OF_TOKEN: usize = 64;

/// A loaded embedding model.
pub(crate) struct VectorModel {
    loaded: Loaded,
    threads: usize,
}

/// What calculates: the model's context.
pub(crate) struct Embedder<'a> {
    loaded: &'a Loaded,
    context: LlamaContext<'a>,
    batch: LlamaBatch<'static>,
    capacity: usize,
}

impl VectorModel {
    /// Loads a file that was verified; texts are cut to `window` tokens, or fewer if the model
    /// takes no more. Blocks.
    ///
    /// # Errors
    /// When llama.cpp refuses it.
    pub(crate) fn open(path: &Path, window: u32, threads: usize) -> Result<Self, String> {
        let settings =
            EngineSettings { context_length: window, sequences: TEXTS, threads, prefix_bytes: 0 };
        Ok(Self { loaded: Loaded::open(path, settings)?, threads })
    }

    /// Ready to calculate.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn embedder(&self) -> Result<Embedder<'_>, String> {
        let (loaded, capacity) = (&self.loaded, self.loaded.context.max(TOKENS));
        let threads = i32::try_from(self.threads).unwrap_or(i32::MAX);
        let mut params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(capacity))
            .with_n_seq_max(TEXTS.into())
            .with_n_batch(capacity)
            // Of models that look at what follows, too, a text cannot be calculated in parts.
            .with_n_ubatch(capacity)
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_kv_unified(true)
            .with_embeddings(true)
            .with_no_perf(true);
        if !says_how_to_pool(loaded) {
            params = params.with_pooling_type(LlamaPoolingType::Mean);
        }
        let context = loaded.model.new_context(backend()?, params).map_err(|error| {
            format!("no context of {capacity} tokens could be made ({error}); lower context_length")
        })?;
        let capacity = capacity as usize;
        let batch = LlamaBatch::new(capacity, 1);
        Ok(Embedder { loaded, context, batch, capacity })
    }
}

/// Whether the file says how the tokens' vectors become the text's, by a number that is not "not at
/// all".
fn says_how_to_pool(loaded: &Loaded) -> bool {
    let value = |key: &str| loaded.model.meta_val_str(key).ok();
    let pooling = value("general.architecture").and_then(|of| value(&format!("{of}.pooling_type")));
    pooling.is_some_and(|pooling| pooling != "0")
}

impl Embedder<'_> {
    /// A vector of unit length for each text.
    ///
    /// # Errors
    /// When llama.cpp fails.
    pub(crate) fn embed(&mut self, texts: &[String]) -> Result<Embedded, String> {
        let all: Vec<Vec<LlamaToken>> = texts.iter().map(|text| self.tokens(text)).collect();
        let mut vectors = Vec::with_capacity(all.len());
        let mut rest = &all[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.fitting(rest));
            vectors.extend(self.calculate(now)?);
            rest = later;
        }
        let tokens: usize = all.iter().map(Vec::len).sum();
        Ok(Embedded { vectors, tokens: u32::try_from(tokens).unwrap_or(u32::MAX) })
    }

    /// Of a text, cut to the window; what the model wants at its end stays there.
    fn tokens(&self, text: &str) -> Vec<LlamaToken> {
        let (vocabulary, window) = (self.loaded.model.vocab(), self.loaded.context as usize);
        let text = &text[..text.floor_char_boundary(window.saturating_mul(BYTES_OF_TOKEN))];
        let mut tokens = vocabulary.tokenize(text.as_bytes(), true, false);
        if tokens.len() > window {
            let last = tokens.last().copied();
            let ends = [vocabulary.eos(), vocabulary.sep()];
            tokens.truncate(window);
            if let (Some(end), Some(place)) = (last.filter(|t| ends.contains(t)), tokens.last_mut())
            {
                *place = end;
            }
        }
        tokens
    }

    /// How many of the first texts are calculated at once; at least one.
    fn fitting(&self, texts: &[Vec<LlamaToken>]) -> usize {
        let mut tokens = 0;
        let fits = |text: &&Vec<LlamaToken>| {
            tokens += text.len();
            tokens <= self.capacity
        };
        texts.iter().take(TEXTS.into()).take_while(fits).count().max(1)
    }

    fn calculate(&mut self, texts: &[Vec<LlamaToken>]) -> Result<Vec<Vec<f32>>, String> {
        self.context.clear_kv_cache();
        self.batch.clear();
        for (sequence, tokens) in (0..).zip(texts) {
            for (position, token) in (0..).zip(tokens) {
                let added = self.batch.add(*token, position, &[sequence], true);
                added.map_err(|error| error.to_string())?;
            }
        }
        if self.batch.n_tokens() > 0 {
            self.context.decode(&mut self.batch).map_err(|error| error.to_string())?;
        }
        let dimensions = usize::try_from(self.loaded.model.n_embd_out()).unwrap_or_default();
        let vector = |(sequence, tokens): (i32, &Vec<LlamaToken>)| {
            if tokens.is_empty() {
                return Ok(vec![0.0; dimensions]);
            }
            let vector = self.context.embeddings_seq_ith(sequence);
            unit(vector.map_err(|error| error.to_string())?)
        };
        (0..).zip(texts).map(vector).collect()
    }
}

fn unit(vector: &[f32]) -> Result<Vec<f32>, String> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if !length.is_finite() {
        return Err("what it calculates are no numbers".to_owned());
    }
    Ok(vector.iter().map(|value| value / length.max(1e-12)).collect())
}
