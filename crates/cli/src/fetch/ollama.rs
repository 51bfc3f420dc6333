//! Models that an Ollama server fetches and keeps.

use futures::StreamExt;
use reqwest::{Client, Response};
use serde::Deserialize;
use serde_json::json;

use super::Progress;
use crate::failure::Failure;

/// A server: an entry of `inference_gateway.ollama`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) url: String,
}

/// A line of the server's answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    status: String,
    error: Option<String>,
    total: Option<u64>,
    completed: Option<u64>,
}

/// Has the server fetch `model`.
pub(crate) async fn pull(server: &Server, model: &str, progress: &Progress) -> Result<(), Failure> {
    let url = format!("{}/api/pull", server.url.trim_end_matches('/'));
    let body = json!({ "model": model, "stream": true });
    let response = Client::new().post(&url).json(&body).send().await;
    let response = sound(server, model, response).await?;
    let mut pieces = response.bytes_stream();
    let mut held = Vec::new();
    let mut done = false;
    let mut shown = String::new();
    while let Some(piece) = pieces.next().await {
        held.extend_from_slice(&piece.map_err(|error| away(server, &error))?);
        while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = held.drain(..=end).collect();
            done |= read(server, &line, &mut shown, progress)?;
        }
    }
    done |= read(server, &held, &mut shown, progress)?;
    let cut = || Failure::other(format!("{} stopped on the way", server.url));
    done.then_some(()).ok_or_else(|| cut().hint("give the command again to go on"))
}

/// Whether it says that all is done.
fn read(
    server: &Server,
    line: &[u8],
    shown: &mut String,
    progress: &Progress,
) -> Result<bool, Failure> {
    if line.trim_ascii().is_empty() {
        return Ok(false);
    }
    let line: Line = serde_json::from_slice(line)
        .map_err(|error| Failure::other(format!("{} is no Ollama server: {error}", server.url)))?;
    if let Some(error) = line.error {
        return Err(Failure::other(format!("{}: {error}", server.url)));
    }
    if *shown != line.status {
        progress.bytes(&line.status, line.total, 0);
        shown.clone_from(&line.status);
    }
    progress.set(line.completed.unwrap_or(0));
    Ok(line.status == "success")
}

/// Has the server delete `model`.
pub(crate) async fn delete(server: &Server, model: &str) -> Result<(), Failure> {
    let url = format!("{}/api/delete", server.url.trim_end_matches('/'));
    let response = Client::new().delete(&url).json(&json!({ "model": model })).send().await;
    sound(server, model, response).await.map(drop)
}

async fn sound(
    server: &Server,
    model: &str,
    response: reqwest::Result<Response>,
) -> Result<Response, Failure> {
    let response = response.map_err(|error| away(server, &error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.bytes().await.unwrap_or_default();
    let line: Line = serde_json::from_slice(&body).unwrap_or_default();
    let why = line.error.unwrap_or_else(|| status.to_string());
    Err(Failure::other(format!("{}: {model}: {why}", server.url)))
}

fn away(server: &Server, error: &reqwest::Error) -> Failure {
    Failure::other(format!("{} cannot be asked: {error}", server.url))
        .hint("start Ollama there, or put its address into inference_gateway.ollama in config.yaml")
}
