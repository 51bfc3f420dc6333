//! Who may call.

use std::sync::Arc;

use http::{HeaderMap, header::AUTHORIZATION};
use sha2::{Digest, Sha256};

/// The tokens in force; none means that nobody is asked. Held and compared as hashes, so that the
/// time a comparison takes says nothing about a token.
#[derive(Debug, Clone)]
pub(crate) struct Tokens(Arc<[[u8; 32]]>);

impl Tokens {
    pub(crate) fn new(tokens: &[String]) -> Self {
        Self(tokens.iter().map(|token| hash(token)).collect())
    }

    /// Whether a call to `path` with these headers may pass. Health checks always may.
    pub(crate) fn admit(&self, path: &str, headers: &HeaderMap) -> bool {
        if self.0.is_empty() || path.starts_with("/grpc.health.v1.Health/") {
            return true;
        }
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        given
            .and_then(|value| value.strip_prefix("Bearer "))
            .is_some_and(|token| self.0.contains(&hash(token)))
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_a_token_only_when_there_are_any() {
        let none = HeaderMap::new();
        let mut right = HeaderMap::new();
        right.insert(AUTHORIZATION, "Bearer second".parse().unwrap());
        let mut wrong = HeaderMap::new();
        wrong.insert(AUTHORIZATION, "Bearer third".parse().unwrap());

        assert!(Tokens::new(&[]).admit("/x", &none));
        let tokens = Tokens::new(&["first".to_owned(), "second".to_owned()]);
        assert!(tokens.admit("/x", &right));
        assert!(!tokens.admit("/x", &wrong) && !tokens.admit("/x", &none));
        assert!(tokens.admit("/grpc.health.v1.Health/Check", &none));
    }
}
