//! What is done number by number: written so that the compiler vectorises it for the CPU at hand.

use std::f32::consts::FRAC_1_SQRT_2;

use pulp::Arch;

use crate::{Config, Error, weights::Weights};

/// Sums that are added to independently of each other.
const ABREAST: usize = 16;

/// Layer normalisation (Ba, Kiros and Hinton, 2016).
#[derive(Debug)]
pub(crate) struct Norm {
    weights: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    pub(crate) fn load(all: &Weights<'_>, config: &Config) -> Result<Self, Error> {
        let width = &[config.hidden_size];
        let (weights, bias) = (all.get("weight", width)?, all.get("bias", width)?);
        Ok(Self { weights, bias, epsilon: config.layer_norm_eps })
    }

    /// Of every row.
    pub(crate) fn apply(&self, arch: Arch, rows: &mut [f32]) {
        arch.dispatch(
            #[inline(always)]
            || {
                for row in rows.chunks_exact_mut(self.weights.len()) {
                    let length = row.len() as f32;
                    let mean = sum(row, |x| x) / length;
                    let variance = sum(row, |x| (x - mean) * (x - mean)) / length;
                    let scale = (variance + self.epsilon).sqrt().recip();
                    for ((x, weight), bias) in row.iter_mut().zip(&self.weights).zip(&self.bias) {
                        *x = (*x - mean) * scale * weight + bias;
                    }
                }
            },
        );
    }
}

#[inline(always)]
fn sum(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = row.as_chunks::<ABREAST>();
    let mut sums = [0.0; ABREAST];
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += of(*x);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|x| of(*x)).sum::<f32>()
}

/// Adds `other` to `values`.
pub(crate) fn add(values: &mut [f32], other: &[f32]) {
    for (value, other) in values.iter_mut().zip(other) {
        *value += other;
    }
}

/// Each row of `length` to shares of 1, by the exponential function.
pub(crate) fn softmax(rows: &mut [f32], length: usize) {
    for row in rows.chunks_exact_mut(length) {
        let most = row.iter().copied().fold(f32::MIN, f32::max);
        let mut all = 0.0;
        for x in row.iter_mut() {
            *x = (*x - most).exp();
            all += *x;
        }
        row.iter_mut().for_each(|x| *x /= all);
    }
}

/// The Gaussian error linear unit (Hendrycks and Gimpel, 2016). The usual one, by the error function of
/// the C library, takes as long as everything else together.
pub(crate) fn gelu(arch: Arch, values: &mut [f32]) {
    arch.dispatch(
        #[inline(always)]
        || {
            for x in values {
                *x = 0.5 * *x * (1.0 + erf(*x * FRAC_1_SQRT_2));
            }
        },
    );
}

/// The error function, to 3e-7: a quotient of polynomials, without a branch, as Eigen has it
/// (`generic_fast_erf_float`, MPL-2.0; the coefficients are a minimax fit on [-4, 4]).
#[inline(always)]
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

    #[test]
    fn a_row_is_normalised() {
        let weights = (0..19).map(|n| n as f32).collect();
        let norm = Norm { weights, bias: vec![0.5; 19], epsilon: 0.0 };
        // Twice the same, moved and stretched: the norm of both is the same.
        let mut rows: Vec<f32> = (0..19).map(|n| (n * n) as f32).collect();
        rows.extend((0..19).map(|n| (n * n) as f32 * 3.0 - 7.0));
        norm.apply(Arch::new(), &mut rows);
        let plain: Vec<f32> =
            rows[1..19].iter().zip(1_u8..).map(|(x, n)| (x - 0.5) / f32::from(n)).collect();
        let first = (rows[19 + 1] - 0.5 - plain[0]).abs();
        assert!(first < 1e-5, "{first}");
        for (one, other) in rows[..19].iter().zip(&rows[19..]) {
            assert!((one - other).abs() < 1e-4, "{one} {other}");
        }
        // Of squares of 0 to 18: mean 111, variance 10434.
        assert!((plain[17] - (324.0 - 111.0) / 10_434.0_f32.sqrt()).abs() < 1e-3, "{plain:?}");
    }

    #[test]
    fn shares_are_by_the_exponential_function_and_make_1() {
        let mut rows = [0.0, 2.0_f32.ln(), 1e4, 1e4];
        softmax(&mut rows, 2);
        for (share, expected) in rows.iter().zip([1.0 / 3.0, 2.0 / 3.0, 0.5, 0.5]) {
            assert!((share - expected).abs() < 1e-6, "{rows:?}");
        }
    }
}
