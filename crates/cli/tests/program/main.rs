//! The program as people and other programs meet it: real processes, real services.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod memory;
