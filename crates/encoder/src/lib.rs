//! The encoder of BERT (Devlin et al., 2018) and of its smaller kin such as all-MiniLM-L6-v2, for short
//! texts on one thread of a CPU: from tokens to their vectors. It does without a general library of
//! tensors because a question has a dozen tokens: what such a library does around each of its hundred
//! steps, and its products of a dozen rows, take twice as long (`benches/product.rs`).

mod elementwise;
mod layer;
mod packed;
mod weights;

use pulp::Arch;
use serde::Deserialize;

pub use self::packed::Packed;
use self::{
    elementwise::Norm,
    layer::{Layer, Room},
    weights::Weights,
};

/// What a model's config.json says; of the rest this knows only the usual.
#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    hidden_size: usize,
    max_position_embeddings: usize,
    vocab_size: usize,
    type_vocab_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    layer_norm_eps: f32,
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".to_owned()
}

/// Why a model cannot be used, or a text not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// config.json is not what it should be.
    #[error("config.json: {0}")]
    Config(String),
    /// The file of the weights cannot be read.
    #[error("model.safetensors: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
    /// A tensor that is not what config.json says.
    #[error(
        "model.safetensors: {name} should be {expected:?}, in 32- or 16-bit numbers, not {found}"
    )]
    Tensor {
        /// Its name.
        name: String,
        /// The sizes it should have.
        expected: Vec<usize>,
        /// What it is.
        found: String,
    },
    /// A token that the model does not have.
    #[error("token {token} is not among the model's {vocabulary}")]
    Token {
        /// It.
        token: u32,
        /// How many there are.
        vocabulary: usize,
    },
    /// A text that is too long for the model.
    #[error("a text of {tokens} tokens is longer than the model's {longest}")]
    Length {
        /// How many it has.
        tokens: usize,
        /// How many it may have.
        longest: usize,
    },
}

/// From tokens to their vectors.
#[derive(Debug)]
pub struct Encoder {
    arch: Arch,
    width: usize,
    /// (vocabulary, width).
    words: Vec<f32>,
    /// (longest, width); with the first of the kinds, of which there is but one here, added.
    places: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

impl Encoder {
    /// Of the bytes of config.json and model.safetensors.
    ///
    /// # Errors
    /// When they are not of a BERT model, or do not fit each other.
    pub fn load(config: &[u8], weights: &[u8]) -> Result<Self, Error> {
        let config: Config =
            serde_json::from_slice(config).map_err(|error| Error::Config(error.to_string()))?;
        config.check()?;
        let all = Weights::read(weights)?;
        let all =
            if all.has("bert.embeddings.word_embeddings.weight") { all.of("bert") } else { all };
        let (width, embeddings) = (config.hidden_size, all.of("embeddings"));
        let table = |name: &str, rows| embeddings.of(name).get("weight", &[rows, width]);
        let kinds = table("token_type_embeddings", config.type_vocab_size)?;
        let mut places = table("position_embeddings", config.max_position_embeddings)?;
        for place in places.chunks_exact_mut(width) {
            elementwise::add(place, &kinds[..width]);
        }
        let layers = all.of("encoder.layer");
        let layers = (0..config.num_hidden_layers)
            .map(|n| Layer::load(&layers.of(&n.to_string()), &config))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            arch: Arch::new(),
            width,
            words: table("word_embeddings", config.vocab_size)?,
            places,
            norm: Norm::load(&embeddings.of("LayerNorm"), &config)?,
            layers,
        })
    }

    /// Numbers of a vector.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Tokens of the longest text.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.places.len() / self.width
    }

    /// The vectors (tokens, width) of all the texts' tokens, text after text.
    ///
    /// # Errors
    /// When a token is unknown or a text too long.
    pub fn encode(&self, texts: &[&[u32]]) -> Result<Vec<f32>, Error> {
        let mut vectors = Vec::new();
        for text in texts {
            if text.len() > self.longest() {
                return Err(Error::Length { tokens: text.len(), longest: self.longest() });
            }
            for (token, place) in text.iter().zip(self.places.chunks_exact(self.width)) {
                let begin = vectors.len();
                vectors.extend_from_slice(self.word(*token)?);
                elementwise::add(&mut vectors[begin..], place);
            }
        }
        self.norm.apply(self.arch, &mut vectors);
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        let mut room = Room::default();
        for layer in &self.layers {
            layer.apply(self.arch, &mut vectors, &lengths, &mut room);
        }
        Ok(vectors)
    }

    fn word(&self, token: u32) -> Result<&[f32], Error> {
        let vocabulary = self.words.len() / self.width;
        let found = usize::try_from(token).ok().filter(|token| *token < vocabulary);
        let found = found.ok_or(Error::Token { token, vocabulary })?;
        Ok(&self.words[found * self.width..][..self.width])
    }
}

impl Config {
    fn check(&self) -> Result<(), Error> {
        let (act, places) = (&self.hidden_act, &self.position_embedding_type);
        if act != "gelu" || places != "absolute" {
            let known = format!("`gelu` and `absolute` are known, not `{act}` and `{places}`");
            return Err(Error::Config(known));
        }
        let sizes =
            [self.hidden_size, self.intermediate_size, self.vocab_size, self.type_vocab_size];
        if sizes.contains(&0) || self.max_position_embeddings == 0 {
            return Err(Error::Config("sizes must not be 0".to_owned()));
        }
        let heads = self.num_attention_heads;
        if heads == 0 || !self.hidden_size.is_multiple_of(heads) {
            let problem = "hidden_size must be a multiple of num_attention_heads";
            return Err(Error::Config(problem.to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{RngExt, SeedableRng, rngs::SmallRng};
    use safetensors::{Dtype, serialize, tensor::TensorView};

    use super::*;

    const WIDTH: usize = 6;
    const WIDE: usize = 10;
    const CONFIG: &str = r#"{"hidden_size": 6, "max_position_embeddings": 4, "vocab_size": 3,
        "type_vocab_size": 2, "intermediate_size": 10, "num_hidden_layers": 2,
        "num_attention_heads": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu"}"#;

    /// A model of random numbers, all of whose names begin with `prefix`.
    fn model(prefix: &str) -> Vec<u8> {
        let mut sizes = BTreeMap::from([
            ("embeddings.word_embeddings.weight".to_owned(), vec![3, WIDTH]),
            ("embeddings.position_embeddings.weight".to_owned(), vec![4, WIDTH]),
            ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, WIDTH]),
        ]);
        let mut pair = |name: String, weight: Vec<usize>| {
            sizes.insert(format!("{name}.bias"), weight[..1].to_vec());
            sizes.insert(format!("{name}.weight"), weight);
        };
        pair("embeddings.LayerNorm".to_owned(), vec![WIDTH]);
        for layer in ["encoder.layer.0", "encoder.layer.1"] {
            for part in ["query", "key", "value"] {
                pair(format!("{layer}.attention.self.{part}"), vec![WIDTH, WIDTH]);
            }
            pair(format!("{layer}.attention.output.dense"), vec![WIDTH, WIDTH]);
            pair(format!("{layer}.attention.output.LayerNorm"), vec![WIDTH]);
            pair(format!("{layer}.intermediate.dense"), vec![WIDE, WIDTH]);
            pair(format!("{layer}.output.dense"), vec![WIDTH, WIDE]);
            pair(format!("{layer}.output.LayerNorm"), vec![WIDTH]);
        }
        let mut random = SmallRng::seed_from_u64(7);
        let numbers = sizes.into_iter().map(|(name, sizes)| {
            let numbers = (0..sizes.iter().product()).map(|_| random.random_range(-1.0..1.0_f32));
            let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
            (format!("{prefix}{name}"), sizes, bytes)
        });
        let numbers: Vec<_> = numbers.collect();
        let views = numbers.iter().map(|(name, sizes, bytes)| {
            (name, TensorView::new(Dtype::F32, sizes.clone(), bytes).unwrap())
        });
        serialize(views, None).unwrap()
    }

    #[test]
    fn a_text_has_the_same_vectors_in_any_company() {
        let encoder = Encoder::load(CONFIG.as_bytes(), &model("")).unwrap();
        assert_eq!((encoder.width(), encoder.longest()), (WIDTH, 4));
        let texts: [&[u32]; 4] = [&[0, 1, 2, 1], &[], &[2], &[1, 0]];
        let together = encoder.encode(&texts).unwrap();
        let alone: Vec<f32> =
            texts.iter().flat_map(|text| encoder.encode(&[text]).unwrap()).collect();
        assert_eq!(together.len(), 7 * WIDTH);
        let apart = together.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5, "{apart}");
        // Tokens know their place, and one another.
        assert_ne!(together[WIDTH..2 * WIDTH], together[3 * WIDTH..4 * WIDTH]);
        let other = encoder.encode(&[&[0, 1, 2, 2]]).unwrap();
        assert_ne!(other[..WIDTH], together[..WIDTH]);
        // The names of some models begin with "bert".
        let same = Encoder::load(CONFIG.as_bytes(), &model("bert.")).unwrap();
        assert_eq!(same.encode(&texts).unwrap(), together);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let encoder = Encoder::load(CONFIG.as_bytes(), &model("")).unwrap();
        let refused = |text: &[u32]| encoder.encode(&[&[0], text]).unwrap_err().to_string();
        assert_eq!(refused(&[1, 3]), "token 3 is not among the model's 3");
        assert_eq!(refused(&[0; 5]), "a text of 5 tokens is longer than the model's 4");
        for (from, to, told) in [
            ("\"gelu\"", "\"relu\"", "`gelu` and `absolute` are known, not `relu` and `absolute`"),
            ("\"num_attention_heads\": 2", "\"num_attention_heads\": 4", "hidden_size must be"),
            ("\"vocab_size\": 3", "\"vocab_size\": 0", "sizes must not be 0"),
            ("\"vocab_size\": 3", "\"vocab_size\": 9", "word_embeddings.weight should be [9, 6]"),
            ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "encoder.layer.2"),
            ("\"hidden_size\": 6,", "", "missing field `hidden_size`"),
        ] {
            let config = CONFIG.replacen(from, to, 1);
            let error = Encoder::load(config.as_bytes(), &model("")).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(Encoder::load(CONFIG.as_bytes(), b"no weights").is_err());
    }
}
