//! A layer: attention, and a network of two products.

use pulp::Arch;

use crate::{
    Config, Error, Packed,
    elementwise::{Norm, add, gelu, softmax},
    weights::Weights,
};

#[derive(Debug)]
pub(crate) struct Layer {
    width: usize,
    heads: usize,
    /// Queries, keys and values beside each other.
    attended: Packed,
    gathered: Packed,
    after_attention: Norm,
    widened: Packed,
    narrowed: Packed,
    after: Norm,
}

/// Where a layer calculates, for the next to use again.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// (tokens, 3 * width).
    parts: Vec<f32>,
    /// (tokens, width).
    gathered: Vec<f32>,
    /// (tokens, width).
    sum: Vec<f32>,
    /// (tokens, intermediate size).
    wide: Vec<f32>,
}

impl Layer {
    pub(crate) fn load(all: &Weights<'_>, config: &Config) -> Result<Self, Error> {
        let (width, wide) = (config.hidden_size, config.intermediate_size);
        let own = all.of("attention.self");
        let own = ["query", "key", "value"].map(|name| own.of(name));
        let one = |name: &str, from, to| packed(&[all.of(name)], from, to);
        Ok(Self {
            width,
            heads: config.num_attention_heads,
            attended: packed(&own, width, width)?,
            gathered: one("attention.output.dense", width, width)?,
            after_attention: Norm::load(&all.of("attention.output.LayerNorm"), config)?,
            widened: one("intermediate.dense", width, wide)?,
            narrowed: one("output.dense", wide, width)?,
            after: Norm::load(&all.of("output.LayerNorm"), config)?,
        })
    }

    /// Replaces the vectors (tokens, width) of texts of these `lengths`.
    pub(crate) fn apply(
        &self,
        arch: Arch,
        vectors: &mut [f32],
        lengths: &[usize],
        room: &mut Room,
    ) {
        self.attended.multiply(vectors, &mut room.parts);
        self.attend(lengths, room);
        self.gathered.multiply(&room.gathered, &mut room.sum);
        add(vectors, &room.sum);
        self.after_attention.apply(arch, vectors);
        self.widened.multiply(vectors, &mut room.wide);
        gelu(arch, &mut room.wide);
        self.narrowed.multiply(&room.wide, &mut room.sum);
        add(vectors, &room.sum);
        self.after.apply(arch, vectors);
    }

    /// Scaled dot-product attention of the tokens of each text (Vaswani et al., 2017), from `room.parts`
    /// to `room.gathered`.
    fn attend(&self, lengths: &[usize], room: &mut Room) {
        let of_head = self.width / self.heads;
        let scale = (of_head as f32).sqrt().recip();
        room.gathered.resize(room.parts.len() / 3, 0.0);
        let (mut parts, mut gathered) = (&room.parts[..], &mut room.gathered[..]);
        let (mut shares, mut found) = (Vec::new(), Vec::new());
        for length in lengths.iter().copied().filter(|length| *length > 0) {
            let (own, others) = parts.split_at(length * 3 * self.width);
            let (into, rest) = gathered.split_at_mut(length * self.width);
            (parts, gathered) = (others, rest);
            for head in 0..self.heads {
                // Which part of a token's vector.
                let part = |which: usize| {
                    let begin = which * self.width + head * of_head;
                    own.chunks_exact(3 * self.width).map(move |token| &token[begin..][..of_head])
                };
                let queries: Vec<f32> = part(0).flatten().map(|x| x * scale).collect();
                let keys = Packed::of_columns(part(1), of_head);
                keys.multiply(&queries, &mut shares);
                softmax(&mut shares, length);
                let values = Packed::of_rows(part(2), of_head);
                values.multiply(&shares, &mut found);
                for (into, found) in
                    into.chunks_exact_mut(self.width).zip(found.chunks_exact(of_head))
                {
                    into[head * of_head..][..of_head].copy_from_slice(found);
                }
            }
        }
    }
}

/// The weights of `parts` of the same size, beside each other.
fn packed(parts: &[Weights<'_>], from: usize, to: usize) -> Result<Packed, Error> {
    let (mut weights, mut bias) = (Vec::new(), Vec::new());
    for part in parts {
        weights.append(&mut part.get("weight", &[to, from])?);
        bias.append(&mut part.get("bias", &[to])?);
    }
    Ok(Packed::of_columns(weights.chunks_exact(from), from).plus(&bias))
}
