//! Models that servers have.

use crate::{catalogue::nearest, chat::ModelName, config::Kind, models::Traits};

/// A model that a server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// What the server calls it.
    pub model: String,
    /// What it is for.
    pub kind: Kind,
    /// Of its file; 0 when the server does not say.
    pub size_bytes: u64,
    /// It is in memory, as far as the server says.
    pub loaded: bool,
    /// What the server says of it.
    pub traits: Traits,
}

/// Full names of `offered` models of `server` that look like `name`.
pub(crate) fn near(server: &str, name: &ModelName, offered: &[Offered]) -> Vec<String> {
    let known: Vec<String> =
        offered.iter().map(|offered| format!("{server}/{}", offered.model)).collect();
    nearest(&name.0, known.iter().map(String::as_str))
}
