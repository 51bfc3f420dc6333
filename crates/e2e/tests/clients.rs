//! The clients that people have, unmodified, against the gateway's interfaces over HTTP.
//!
//! Each is a program in `python/clients`, run with the pinned versions of
//! deploy/requirements-clients.txt.

#![cfg(test)]

use std::{path::Path, process::Stdio, time::Duration};

use alina_proto::Service;
use alina_testkit::Suite;
use tokio::process::Command;

const DEADLINE: Duration = Duration::from_secs(120);

async fn passes(program: &str, arguments: &[&Path]) {
    let suite = Suite::builder().service(Service::InferenceGateway).start().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/clients");
    let python = alina_testkit::home().join("clients/bin/python3");
    let mut command = Command::new(python);
    command
        // No settings of whoever runs the tests, nor a proxy of theirs, reach the clients.
        .env_clear()
        .env("HOME", suite.dir())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(folder.join(program))
        .arg(suite.http_url())
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{program} did not end within {DEADLINE:?}"));
    let output = output.expect("./deploy/bootstrap test installs the clients");
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && said.contains("ok "),
        "{program}: {}\n{said}\n{complained}",
        output.status
    );
}

#[tokio::test]
async fn openai_works() {
    passes("with_openai.py", &[]).await;
}

#[tokio::test]
async fn ollama_works() {
    passes("with_ollama.py", &[]).await;
}

#[tokio::test]
async fn langchain_with_ollama_works() {
    passes("with_langchain_ollama.py", &[]).await;
}

#[tokio::test]
async fn langchain_with_openai_works() {
    passes("with_langchain_openai.py", &[]).await;
}

#[tokio::test]
async fn llama_index_works() {
    passes("with_llama_index.py", &[]).await;
}

#[tokio::test]
async fn autogen_works() {
    passes("with_autogen.py", &[]).await;
}

#[tokio::test]
async fn agent_squad_works() {
    passes("with_agent_squad.py", &[]).await;
}

#[tokio::test]
async fn embeddings_are_those_of_the_reference() {
    passes("reference.py", &[&alina_testkit::models().join("all-MiniLM-L6-v2")]).await;
}
