//! The alina program
fn main() {}
