//! The gateway through its real program, with the real models.

#[cfg(test)]
mod chat;
#[cfg(test)]
mod constraints;
#[cfg(test)]
mod embed;
#[cfg(test)]
mod fake_openai;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod http;
#[cfg(test)]
mod http_ollama;
#[cfg(test)]
mod http_openai;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod load;
#[cfg(test)]
mod minilm_gguf;
#[cfg(test)]
mod ollama;
#[cfg(test)]
mod openai;
#[cfg(test)]
mod residency;
#[cfg(test)]
mod responses;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod support;
