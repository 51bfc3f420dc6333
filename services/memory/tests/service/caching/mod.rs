//! Answers that Redis keeps are never older than what was acknowledged.

mod clock;
mod faults;
mod meters;
mod property;
