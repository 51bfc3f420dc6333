//! The model itself: tokens, BERT, the mean over the tokens, unit length.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use tokenizers::{Encoding, Tokenizer, TruncationParams};

use super::WINDOW;
use crate::chat::Embedded;

/// Texts calculated at once.
const BATCH: usize = 16;
/// No text of this many bytes fits the window, but for one of blanks.
const MAX_TEXT: usize = 64 << 10;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A loaded model.
pub(super) struct Bert {
    model: BertModel,
    tokenizer: Tokenizer,
    dimensions: usize,
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
        let model = BertModel::load(weights, &config)?;
        Ok(Self { model, tokenizer, dimensions: config.hidden_size })
    }

    /// A vector of unit length for each text.
    pub(super) fn embed(&self, texts: &[String]) -> Result<Embedded, Fault> {
        let texts: Vec<&str> = texts.iter().map(|text| cut(text)).collect();
        let encodings = self.tokenizer.encode_batch(texts, true)?;
        let tokens: usize = encodings.iter().map(Encoding::len).sum();
        // Those of like length together: less padding.
        let mut order: Vec<usize> = (0..encodings.len()).collect();
        order.sort_by_key(|at| encodings[*at].len());
        let mut vectors = vec![Vec::new(); encodings.len()];
        for batch in order.chunks(BATCH) {
            let members: Vec<&Encoding> = batch.iter().map(|at| &encodings[*at]).collect();
            for (at, vector) in batch.iter().zip(self.forward(&members)?) {
                vectors[*at] = vector;
            }
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
        let output = self.model.forward(&tokens, &tokens.zeros_like()?, Some(&mask))?;
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
