//! Scoring, prompt versions, experiments and promotion
fn main() {}
