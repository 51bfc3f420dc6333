//! What back ends over HTTP have in common: asking within bounds of time and size, what refusals
//! mean, and telling an answer as it comes.

mod body;
mod client;
mod lines;
mod offered;
mod refusal;
mod telling;

pub(crate) use body::Body;
pub(crate) use client::{Client, Kind, content_type};
pub use offered::Offered;
pub(crate) use offered::near;
pub(crate) use refusal::{Fault, message};
pub(crate) use telling::{Size, Telling, Usage, told};

use std::time::Duration;

/// How long a server may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To take a connection.
    pub connect: Duration,
    /// From the request to the first token; a whole answer where no tokens come.
    pub first_token: Duration,
    /// From one token to the next.
    pub idle: Duration,
}

/// Vectors as a server gives them, made sure of and brought to unit length. None when they are not
/// what was asked for.
pub(crate) fn vectors(mut vectors: Vec<Vec<f32>>, count: usize) -> Option<Vec<Vec<f32>>> {
    let alike = vectors.windows(2).all(|pair| pair[0].len() == pair[1].len());
    let sound = vectors
        .iter()
        .all(|vector| !vector.is_empty() && vector.iter().all(|value| value.is_finite()));
    if vectors.len() != count || !alike || !sound {
        return None;
    }
    // Most give unit length; some models do not.
    for vector in &mut vectors {
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length > 1e-12 {
            vector.iter_mut().for_each(|x| *x /= length);
        }
    }
    Some(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_vectors_that_were_asked_for_pass() {
        assert_eq!(vectors(vec![vec![3.0, 4.0]], 1), Some(vec![vec![0.6, 0.8]]));
        for wrong in [vec![], vec![vec![1.0], vec![1.0, 0.0]], vec![vec![], vec![]]] {
            assert_eq!(vectors(wrong, 2), None);
        }
        assert_eq!(vectors(vec![vec![f32::NAN]], 1), None);
    }
}
