//! Agents, durable runs, workflows and tools
fn main() {}
