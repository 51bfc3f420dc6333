//! The gateway through its real program, with the real models.

mod chat;
mod embed;
mod faults;
mod load;
mod ollama;
mod schema;
mod support;
