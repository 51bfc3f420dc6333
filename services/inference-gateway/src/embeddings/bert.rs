//! The model itself: tokens, BERT, the mean over the tokens, unit length.

use std::path::Path;

use alina_encoder::Encoder;
use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};
use tokenizers::{Encoding, Tokenizer, TruncationParams};

use super::WINDOW;
use crate::chat::Embedded;

/// Texts calculated at once by a thread.
const BATCH: usize = 8;
/// No text of this many bytes fits the window, but for one of blanks.
const MAX_TEXT: usize = 64 << 10;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A loaded model.
pub(super) struct Bert {
    encoder: Encoder,
    tokenizer: Tokenizer,
    /// Each batch is calculated by one thread: for the few milliseconds of a product of matrices
    /// threads would wait for each other longer than they help.
    threads: ThreadPool,
}

impl Bert {
    /// Reads a folder that was verified. Blocks.
    pub(super) fn open(folder: &Path) -> Result<Self, Fault> {
        let config = std::fs::read(folder.join("config.json"))?;
        let weights = std::fs::read(folder.join("model.safetensors"))?;
        let encoder = Encoder::load(&config, &weights)?;
        let mut tokenizer = Tokenizer::from_file(folder.join("tokenizer.json"))?;
        let window = encoder.longest().min(WINDOW as usize);
        let truncation = TruncationParams { max_length: window, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation))?;
        // Attention is among the tokens of one text: all may be of different lengths.
        tokenizer.with_padding(None);
        let threads = std::thread::available_parallelism()?.get();
        let threads = ThreadPoolBuilder::new().num_threads(threads).build()?;
        Ok(Self { encoder, tokenizer, threads })
    }

    /// A vector of unit length for each text.
    pub(super) fn embed(&self, texts: &[String]) -> Result<Embedded, Fault> {
        let made = |texts: &[String]| {
            let tokens: Vec<Encoding> = texts
                .iter()
                .map(|text| self.tokenizer.encode(cut(text), true))
                .collect::<Result<_, _>>()?;
            self.encode(&tokens)
        };
        let made = if texts.len() <= BATCH {
            vec![made(texts)?]
        } else {
            self.threads
                .install(|| texts.par_chunks(BATCH).map(made).collect::<Result<Vec<_>, _>>())?
        };
        let tokens: usize = made.iter().map(|(_, tokens)| tokens).sum();
        let vectors = made.into_iter().flat_map(|(vectors, _)| vectors).collect();
        Ok(Embedded { vectors, tokens: u32::try_from(tokens).unwrap_or(u32::MAX) })
    }

    /// The mean of each text's tokens, as sentence-transformers pools them, brought to unit length; and
    /// how many tokens there were.
    fn encode(&self, texts: &[Encoding]) -> Result<(Vec<Vec<f32>>, usize), Fault> {
        let texts: Vec<&[u32]> = texts.iter().map(Encoding::get_ids).collect();
        let encoded = self.encoder.encode(&texts)?;
        let mut tokens = encoded.chunks_exact(self.encoder.width());
        let vectors = texts.iter().map(|text| {
            // Their sum: a mean of unit length is no other.
            let mut sum = vec![0.0; self.encoder.width()];
            for token in tokens.by_ref().take(text.len()) {
                sum.iter_mut().zip(token).for_each(|(sum, x)| *sum += x);
            }
            let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
            sum.iter_mut().for_each(|x| *x /= length);
            sum
        });
        Ok((vectors.collect(), texts.iter().map(|text| text.len()).sum()))
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}
