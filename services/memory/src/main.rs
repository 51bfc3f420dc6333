//! Knowledge graph, retrieval, action log and memory bank
fn main() {}
