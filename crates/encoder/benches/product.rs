//! All the products of a question's vector by all-MiniLM-L6-v2 (42 MB of weights), packed once and by
//! candle in turn: `cargo bench -p alina-encoder`.

#![expect(clippy::print_stderr, reason = "a report for a person")]

use std::time::Instant;

use alina_encoder::Packed;
use candle_core::{Device, Tensor};

/// (from, to) of the products of a layer.
const LAYER: [(usize, usize); 4] = [(384, 1152), (384, 384), (384, 1536), (1536, 384)];
const LAYERS: usize = 6;
const TIMES: usize = 51;

fn main() -> candle_core::Result<()> {
    let all = || (0..LAYERS).flat_map(|_| LAYER);
    let random = |shape| Tensor::randn(0.0_f32, 0.05, shape, &Device::Cpu);
    let given =
        all().map(|(from, to)| random((to, from))).collect::<candle_core::Result<Vec<_>>>()?;
    let packed = given.iter().map(|weights| {
        let (from, weights) = (weights.dim(1)?, weights.flatten_all()?.to_vec1()?);
        Ok(Packed::of_columns(weights.chunks_exact(from), from))
    });
    let packed = packed.collect::<candle_core::Result<Vec<_>>>()?;
    let turned = given.iter().map(|weights| weights.t()?.contiguous());
    let turned = turned.collect::<candle_core::Result<Vec<_>>>()?;
    eprintln!("tokens   packed   candle    ratio   (ms, medians of {TIMES})");
    for tokens in [1, 4, 8, 12, 16, 24, 32, 64, 256, 2_048] {
        let rows = random((tokens, 1536))?;
        let rows: Vec<Tensor> = all()
            .map(|(from, _)| rows.narrow(1, 0, from)?.contiguous())
            .collect::<Result<_, _>>()?;
        let plain: Vec<Vec<f32>> =
            rows.iter().map(|rows| rows.flatten_all()?.to_vec1()).collect::<Result<_, _>>()?;
        let mut product = Vec::new();
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..TIMES {
            let begun = Instant::now();
            for (rows, matrix) in plain.iter().zip(&packed) {
                matrix.multiply(rows, &mut product);
                std::hint::black_box(&product);
            }
            took[0].push(begun.elapsed().as_secs_f64() * 1e3);
            let begun = Instant::now();
            for (rows, matrix) in rows.iter().zip(&turned) {
                std::hint::black_box(rows.matmul(matrix)?);
            }
            took[1].push(begun.elapsed().as_secs_f64() * 1e3);
        }
        let [ours, theirs] = took.map(|mut took| {
            took.sort_by(f64::total_cmp);
            took[TIMES / 2]
        });
        eprintln!("{tokens:6} {ours:8.2} {theirs:8.2} {:8.2}", theirs / ours);
    }
    Ok(())
}
