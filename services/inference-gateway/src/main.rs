//! Models, scheduling, the embedded engine and Ollama
fn main() {}
