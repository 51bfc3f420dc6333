//! The models there are: their files, what these say of themselves, and their names.

mod file;
mod ggml;
mod gguf;
mod memory;
pub mod residency;
mod safetensors;

use std::path::PathBuf;

pub use file::{Expected, ModelFile};
pub use gguf::{Header, read as read_gguf};
pub use memory::{InMemory, Lease, Loader, Memory, Residence, Resides, Stay, Using};
pub use safetensors::read as read_safetensors;

/// What a model's file says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traits {
    /// For example "Q4_1"; empty when unknown.
    pub quantization: String,
    /// Weights; 0 when unknown.
    pub parameters: u64,
    /// Tokens the model was trained for; 0 when unknown.
    pub context_length: u32,
}

/// What there is to say of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Whether it can be used.
    pub state: State,
    /// What its file says.
    pub traits: Traits,
    /// Of the file; 0 when unknown.
    pub size_bytes: u64,
    /// Where the file is, if it has one.
    pub path: Option<PathBuf>,
    /// What it takes of this process.
    pub memory: InMemory,
}

/// Whether a model can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// In memory.
    Loaded,
    /// Loaded at the next request.
    Available,
    /// Not before what this says is mended.
    Unavailable(String),
}
