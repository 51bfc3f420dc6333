//! The model itself: tokens, BERT, the mean over the tokens, unit length.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};
use tokenizers::{Encoding, Tokenizer, TruncationParams};

use super::{
    WINDOW,
    layers::{self, Config},
};
use crate::chat::Embedded;

/// Texts calculated at once by a thread.
const BATCH: usize = 8;
/// No text of this many bytes fits the window, but for one of blanks.
const MAX_TEXT: usize = 64 << 10;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A loaded model.
pub(super) struct Bert {
    model: layers::Bert,
    tokenizer: Tokenizer,
    dimensions: usize,
    /// Each batch is calculated by one thread: for the few milliseconds of a product of matrices
    /// threads would wait for each other longer than they help (`RAYON_NUM_THREADS=1`, which the
    /// suite starts this service with, is what candle reads).
    threads: ThreadPool,
}

impl Bert {
    /// Reads a folder that was verified. Blocks.
    pub(super) fn open(folder: &Path) -> Result<Self, Fault> {
        let config = std::fs::read(folder.join("config.json"))?;
        let config: Config = serde_json::from_slice(&config)?;
        let mut tokenizer = Tokenizer::from_file(folder.join("tokenizer.json"))?;
        let window = config.max_position_embeddings.min(WINDOW as usize);
        let truncation = TruncationParams { max_length: window, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation))?;
        // Padded here, to the longest of a batch.
        tokenizer.with_padding(None);
        let weights = std::fs::read(folder.join("model.safetensors"))?;
        let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)?;
        let model = layers::Bert::load(&weights, &config)?;
        let threads = std::thread::available_parallelism()?.get();
        let threads = ThreadPoolBuilder::new().num_threads(threads).build()?;
        Ok(Self { model, tokenizer, dimensions: config.hidden_size, threads })
    }

    /// A vector of unit length for each text.
    pub(super) fn embed(&self, texts: &[String]) -> Result<Embedded, Fault> {
        let texts: Vec<&str> = texts.iter().map(|text| cut(text)).collect();
        let encodings = self.tokenizer.encode_batch(texts, true)?;
        let tokens: usize = encodings.iter().map(Encoding::len).sum();
        // Those of like length together: less padding.
        let mut order: Vec<usize> = (0..encodings.len()).collect();
        order.sort_by_key(|at| encodings[*at].len());
        let made = |batch: &[usize]| {
            let members: Vec<&Encoding> = batch.iter().map(|at| &encodings[*at]).collect();
            self.forward(&members)
        };
        let made: Vec<_> = if order.len() <= BATCH {
            vec![made(&order)?]
        } else {
            self.threads.install(|| order.par_chunks(BATCH).map(made).collect::<Result<_, _>>())?
        };
        let mut vectors = vec![Vec::new(); encodings.len()];
        for (at, vector) in order.into_iter().zip(made.into_iter().flatten()) {
            vectors[at] = vector;
        }
        Ok(Embedded { vectors, tokens: u32::try_from(tokens).unwrap_or(u32::MAX) })
    }

    fn forward(&self, batch: &[&Encoding]) -> Result<Vec<Vec<f32>>, Fault> {
        let longest = batch.iter().map(|encoding| encoding.len()).max().unwrap_or(1).max(1);
        let shape = (batch.len(), longest);
        let padded = |of: fn(&Encoding) -> &[u32]| {
            let values = batch.iter().flat_map(|encoding| {
                let values = of(encoding).iter().copied();
                values.chain(std::iter::repeat(0)).take(longest).collect::<Vec<_>>()
            });
            Tensor::from_vec(values.collect::<Vec<u32>>(), shape, &Device::Cpu)
        };
        let tokens = padded(Encoding::get_ids)?;
        let mask = padded(Encoding::get_attention_mask)?;
        let output = self.model.forward(&tokens, &mask)?;
        let weights = mask.to_dtype(DType::F32)?.unsqueeze(2)?;
        let sum = output.broadcast_mul(&weights)?.sum(1)?;
        let mean = sum.broadcast_div(&weights.sum(1)?.maximum(1e-9)?)?;
        let length = mean.sqr()?.sum_keepdim(1)?.sqrt()?.maximum(1e-12)?;
        let vectors = mean.broadcast_div(&length)?.to_vec2::<f32>()?;
        if vectors.iter().any(|vector| vector.len() != self.dimensions) {
            return Err("the model gave vectors of another size than its config.json says".into());
        }
        Ok(vectors)
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}
