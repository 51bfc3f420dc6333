//! Does a text mean the same as a reference?

use super::{Function, Score, Verdict};

/// The cosine of the angle between two embeddings; what points away from the reference scores 0,
/// as do vectors that cannot be compared.
#[must_use]
pub fn verdict(text: &[f32], reference: &[f32]) -> Verdict {
    let cosine = cosine(text, reference).unwrap_or(0.0);
    let reason = format!("its meaning is at cosine {cosine:.2} of the reference");
    Verdict::new(Function::Similarity, Score::new(cosine), reason)
}

fn cosine(one: &[f32], other: &[f32]) -> Option<f64> {
    if one.len() != other.len() {
        return None;
    }
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let lengths = (dot(one, one) * dot(other, other)).sqrt();
    let cosine = dot(one, other) / lengths;
    cosine.is_finite().then_some(cosine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_compared_and_lengths_are_not() {
        let score = |a: &[f32], b: &[f32]| verdict(a, b).score.value();
        assert!((score(&[1.0, 2.0], &[2.0, 4.0]) - 1.0).abs() < 1e-9);
        assert!((score(&[1.0, 0.0], &[1.0, 1.0]) - 0.5_f64.sqrt()).abs() < 1e-7);
        assert_eq!(score(&[1.0, 0.0], &[-1.0, 0.0]), 0.0);
        assert_eq!(score(&[0.0], &[1.0]), 0.0);
        assert_eq!(score(&[1.0], &[1.0, 0.0]), 0.0);
        assert_eq!(score(&[], &[]), 0.0);
    }
}
