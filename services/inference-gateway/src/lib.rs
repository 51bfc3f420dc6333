//! Models for many agents on one CPU.
//!
//! A request comes in through [`grpc`] or [`http`], which check it. [`gateway`] finds its model in the
//! [`catalogue`], has the model prepare it (tokens counted, schema compiled), lets it wait for a
//! place in the [`schedule`], which is fair between agents, and passes the answer on as it comes.
//! Models are run by [`embedded`] (llama.cpp), [`embeddings`] (BERT), an [`ollama`] server or an
//! [`openai`]-compatible one; these two stand on [`remote`]. A name may stand for several models:
//! [`route`] says which is asked first, and the gateway asks the next when one fails before its
//! first token. [`models`] looks after files. What was used is kept by [`usage`].

mod assemble;
pub mod catalogue;
pub mod chat;
pub mod config;
pub mod discovery;
pub mod embedded;
pub mod embeddings;
pub mod error;
#[cfg(test)]
mod fuzz;
pub mod gateway;
pub mod grpc;
pub mod http;
pub mod metrics;
pub mod models;
pub mod ollama;
pub mod openai;
pub mod remote;
pub mod route;
pub mod schedule;
pub mod schema;
pub mod usage;

pub use assemble::build;
