//! BERT's layers (Devlin et al., 2018), for short texts on a CPU: queries, keys and values by one
//! product, and a GELU that the compiler vectorises. The usual one, by the error function of the C
//! library, takes as long as everything else together.

use std::f32::consts::FRAC_1_SQRT_2;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};
use candle_nn::{
    VarBuilder,
    ops::{layer_norm, softmax_last_dim},
};
use serde::Deserialize;

/// What config.json says; of the rest this knows only the usual.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    pub(super) hidden_size: usize,
    pub(super) max_position_embeddings: usize,
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

/// From tokens to their vectors.
pub(super) struct Bert {
    words: Tensor,
    places: Tensor,
    kind: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    heads: usize,
    /// Queries, keys and values beside each other.
    attended: Linear,
    gathered: Linear,
    after_attention: Norm,
    widened: Linear,
    narrowed: Linear,
    after: Norm,
}

/// A product with weights of (in, out), and a sum.
struct Linear {
    weights: Tensor,
    bias: Tensor,
}

struct Norm {
    weights: Tensor,
    bias: Tensor,
    epsilon: f32,
}

impl Bert {
    pub(super) fn load(all: &VarBuilder<'_>, config: &Config) -> Result<Self> {
        if config.hidden_act != "gelu" || config.position_embedding_type != "absolute" {
            let (act, places) = (&config.hidden_act, &config.position_embedding_type);
            bail!("config.json: `gelu` and `absolute` are known, not `{act}` and `{places}`");
        }
        if config.num_attention_heads == 0
            || !config.hidden_size.is_multiple_of(config.num_attention_heads)
        {
            bail!("config.json: hidden_size must be a multiple of num_attention_heads");
        }
        let all = if all.contains_tensor("bert.embeddings.word_embeddings.weight") {
            all.pp("bert")
        } else {
            all.clone()
        };
        let width = config.hidden_size;
        let embeddings = all.pp("embeddings");
        let table = |name: &str, rows| embeddings.get((rows, width), &format!("{name}.weight"));
        let layers = (0..config.num_hidden_layers)
            .map(|n| Layer::load(&all.pp("encoder.layer").pp(n), config));
        Ok(Self {
            words: table("word_embeddings", config.vocab_size)?,
            places: table("position_embeddings", config.max_position_embeddings)?,
            kind: table("token_type_embeddings", config.type_vocab_size)?.narrow(0, 0, 1)?,
            norm: Norm::load(&embeddings.pp("LayerNorm"), config)?,
            layers: layers.collect::<Result<_>>()?,
        })
    }

    /// Vectors (texts, tokens, width) of `tokens` (texts, tokens); what `mask`, of the same shape,
    /// has as 0 is not looked at.
    pub(super) fn forward(&self, tokens: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (texts, length) = tokens.dims2()?;
        let words = self.words.index_select(&tokens.flatten_all()?, 0)?;
        let words = words.reshape((texts, length, ()))?;
        let places = self.places.narrow(0, 0, length)?.broadcast_add(&self.kind)?;
        let width = words.dim(2)?;
        let begun = words.broadcast_add(&places)?.reshape((texts * length, width))?;
        // Far less likely than anything else.
        let absent = ((mask.to_dtype(DType::F32)? - 1.0)? * f64::from(-f32::MIN / 2.0))?;
        let absent = absent.reshape((texts, 1, 1, length))?;
        let begun = self.norm.forward(&begun)?;
        let ended = self
            .layers
            .iter()
            .try_fold(begun, |x, layer| layer.forward(&x, (texts, length), &absent))?;
        ended.reshape((texts, length, width))
    }
}

impl Layer {
    fn load(all: &VarBuilder<'_>, config: &Config) -> Result<Self> {
        let (width, wide) = (config.hidden_size, config.intermediate_size);
        let own = all.pp("attention.self");
        let parts = ["query", "key", "value"].map(|name| Linear::load(&own.pp(name), width, width));
        let [query, key, value] = parts;
        let (query, key, value) = (query?, key?, value?);
        let attended = Linear {
            weights: Tensor::cat(&[query.weights, key.weights, value.weights], 1)?,
            bias: Tensor::cat(&[query.bias, key.bias, value.bias], 0)?,
        };
        Ok(Self {
            heads: config.num_attention_heads,
            attended,
            gathered: Linear::load(&all.pp("attention.output.dense"), width, width)?,
            after_attention: Norm::load(&all.pp("attention.output.LayerNorm"), config)?,
            widened: Linear::load(&all.pp("intermediate.dense"), width, wide)?,
            narrowed: Linear::load(&all.pp("output.dense"), wide, width)?,
            after: Norm::load(&all.pp("output.LayerNorm"), config)?,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        (texts, length): (usize, usize),
        absent: &Tensor,
    ) -> Result<Tensor> {
        let width = x.dim(1)?;
        let of_head = width / self.heads;
        // (3, texts, heads, tokens, width of a head)
        let parts = self.attended.forward(x)?;
        let parts = parts.reshape((texts, length, 3, self.heads, of_head))?;
        let parts = parts.permute((2, 0, 3, 1, 4))?.contiguous()?;
        let (query, key, value) = (parts.get(0)?, parts.get(1)?, parts.get(2)?);
        let likeness = (query.matmul(&key.t()?)? * (1.0 / (of_head as f64).sqrt()))?;
        let share = softmax_last_dim(&likeness.broadcast_add(absent)?)?;
        let attended = share.matmul(&value)?.transpose(1, 2)?.contiguous()?;
        let attended = attended.reshape((texts * length, width))?;
        let x = self.after_attention.forward(&(self.gathered.forward(&attended)? + x)?)?;
        let wide = self.widened.forward(&x)?.apply_op1_no_bwd(&Gelu)?;
        self.after.forward(&(self.narrowed.forward(&wide)? + x)?)
    }
}

impl Linear {
    fn load(all: &VarBuilder<'_>, from: usize, to: usize) -> Result<Self> {
        let weights = all.get((to, from), "weight")?.t()?.contiguous()?;
        Ok(Self { weights, bias: all.get(to, "bias")? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weights)?.broadcast_add(&self.bias)
    }
}

impl Norm {
    fn load(all: &VarBuilder<'_>, config: &Config) -> Result<Self> {
        let (width, epsilon) = (config.hidden_size, config.layer_norm_eps);
        Ok(Self { weights: all.get(width, "weight")?, bias: all.get(width, "bias")?, epsilon })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, &self.weights, &self.bias, self.epsilon)
    }
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some((begin, end)) = layout.contiguous_offsets() else {
            bail!("gelu of a tensor that is not contiguous");
        };
        let values = storage.as_slice::<f32>()?;
        let made = values[begin..end].iter().map(|x| 0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2)));
        Ok((CpuStorage::F32(made.collect()), layout.shape().clone()))
    }
}

/// The error function, to 3e-7: a quotient of polynomials, without a branch, as Eigen has it
/// (`generic_fast_erf_float`, MPL-2.0; the coefficients are a minimax fit on [-4, 4]).
fn erf(x: f32) -> f32 {
    const ABOVE: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_5e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const BELOW: [f32; 5] =
        [-1.456_607_2e-5, -2.133_740_5e-4, -1.682_827e-3, -7.373_329_3e-3, -1.426_473_9e-2];
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let horner = |of: &[f32]| of.iter().fold(0.0, |sum, next| sum * square + next);
    x * horner(&ABOVE) / horner(&BELOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_is_that_of_tables() {
        // Abramowitz and Stegun 1964, table 7.1.
        for (x, expected) in [
            (0.0, 0.0),
            (0.1, 0.112_462_916),
            (0.5, 0.520_499_9),
            (1.0, 0.842_700_8),
            (1.5, 0.966_105_15),
            (2.0, 0.995_322_3),
            (3.0, 0.999_977_9),
            (9.0, 1.0),
        ] {
            assert!((erf(x) - expected).abs() < 3e-7, "{x}: {}", erf(x));
            assert!((erf(-x) + expected).abs() < 3e-7, "-{x}: {}", erf(-x));
        }
    }
}
