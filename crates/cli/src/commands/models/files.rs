//! `alina models pull` and `rm`.

use std::time::Duration;

use alina_proto::inference::v1::{ModelState, SetModelStateRequest};
use owo_colors::OwoColorize;
use serde_json::json;
use tonic::Code;

use super::configured::Gateway;
use crate::{
    failure::Failure,
    fetch::{self, Fetched, Progress, Server, Source, Wanted},
    output::{Output, bytes},
    session::Session,
};

/// A gateway that does not run need not be waited for.
const UNLOAD_WITHIN: Duration = Duration::from_secs(30);

pub(super) async fn pull(
    source: &str,
    name: Option<&str>,
    sha256: Option<&str>,
    session: &Session,
    output: Output,
) -> Result<(), Failure> {
    let gateway = Gateway::read(session);
    let progress = Progress::new(!output.is_json());
    let asked = source;
    let source = Source::new(source)?;
    if let Source::Ollama(model) = &source {
        if name.is_some() || sha256.is_some() {
            let said = "Ollama names and checks its models itself";
            return Err(Failure::other(said).hint("leave out --name and --sha256"));
        }
        return pull_with_ollama(&gateway, model, &progress, output).await;
    }
    let wanted = Wanted { source: &source, name, sha256, folder: &gateway.folder };
    let fetched = fetch::fetch(wanted, &progress).await;
    progress.end();
    let Fetched { name, path, bytes: size, sha256 } = fetched?;
    let value = json!({
        "name": name, "path": path, "size_bytes": size, "sha256": sha256, "source": asked,
    });
    output.show(&value, |out| {
        writeln!(out, "{} {name}: {} ({})", "✓".green(), path.display(), bytes(size))?;
        writeln!(out, "  sha256 {sha256}")
    })
}

async fn pull_with_ollama(
    gateway: &Gateway,
    model: &str,
    progress: &Progress,
    output: Output,
) -> Result<(), Failure> {
    let server = gateway.ollama.first().cloned();
    let known = server.is_some();
    let url = "http://127.0.0.1:11434".to_owned();
    let server = server.unwrap_or_else(|| Server { name: "ollama".to_owned(), url });
    let pulled = fetch::pull(&server, model, progress).await;
    progress.end();
    pulled?;
    let name = format!("{}/{model}", server.name);
    let value = json!({ "name": name, "server": server.url, "configured": known });
    output.show(&value, |out| {
        writeln!(out, "{} {name} is at {}", "✓".green(), server.url)?;
        if known {
            return Ok(());
        }
        writeln!(out, "  put the server into inference_gateway.ollama of config.yaml to use it")
    })
}

pub(super) async fn rm(name: &str, session: &Session, output: Output) -> Result<(), Failure> {
    let gateway = Gateway::read(session);
    if let Some((server, model)) = name.split_once('/') {
        let found = gateway.ollama.iter().find(|one| one.name == server);
        let found = found.ok_or_else(|| {
            Failure::other(format!("no server `{server}` in inference_gateway.ollama"))
        })?;
        fetch::delete(found, model).await?;
        return output
            .show(&json!({ "name": name }), |out| writeln!(out, "{} {name} is gone", "✓".green()));
    }
    let file = format!("{name}.gguf");
    let path = gateway.folder.join(&file);
    let named = gateway.models.iter().find(|model| {
        model.name == name
            || model
                .path
                .as_ref()
                .is_some_and(|path| gateway.folder.join(path) == gateway.folder.join(&file))
    });
    if let Some(named) = named {
        let said = format!("config.yaml names the model `{}`", named.name);
        return Err(Failure::other(said)
            .hint("take it out of inference_gateway.models first, and restart the suite"));
    }
    if name.starts_with('.') || !path.is_file() {
        return Err(Failure::other(format!("{} is not there", path.display()))
            .hint("`alina models` lists those there are"));
    }
    unload(name, session).await?;
    std::fs::remove_file(&path)?;
    // What is known of it goes with it; it may not be there.
    let _ = std::fs::remove_file(gateway.folder.join(format!(".{file}.checked")));
    output.show(&json!({ "name": name, "path": path }), |out| {
        writeln!(out, "{} {} is deleted", "✓".green(), path.display())
    })
}

/// Gives its memory back, when the gateway runs and has it.
async fn unload(name: &str, session: &Session) -> Result<(), Failure> {
    let connector = session.connect().await?;
    let request = SetModelStateRequest {
        model: name.to_owned(),
        state: ModelState::Available.into(),
        pinned: None,
    };
    let mut client = connector.inference();
    let asked = tokio::time::timeout(UNLOAD_WITHIN, client.set_model_state(request)).await;
    match asked {
        Err(_) => Err(Failure::late(UNLOAD_WITHIN).hint("it is in use; try again")),
        Ok(Err(status)) if matches!(status.code(), Code::Unavailable | Code::NotFound) => Ok(()),
        Ok(answer) => Ok(answer.map(drop)?),
    }
}
