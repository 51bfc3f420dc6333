//! Collection, alert rules and status
fn main() {}
