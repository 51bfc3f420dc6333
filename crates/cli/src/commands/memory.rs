//! `alina memory`.

use std::path::{Path, PathBuf};

use alina_client::PeerChannel;
use alina_proto::memory::v1::{
    BankDocument, Episode, ExportBankRequest, GetStatsRequest, ImportBankRequest,
    ListActionsRequest, RememberRequest, SearchRequest, memory_service_client::MemoryServiceClient,
};
use owo_colors::OwoColorize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    arguments::{Bank, Memory},
    failure::Failure,
    output::{Output, brief, rfc3339, table, when},
    session::Session,
};

type Client = MemoryServiceClient<PeerChannel>;

pub(super) async fn run(command: Memory, session: &Session, output: Output) -> Result<(), Failure> {
    let memory = session.connect().await?.memory();
    match command {
        Memory::Search { query, limit, namespace } => {
            let request = SearchRequest { query, limit, namespace, ..SearchRequest::default() };
            search(memory, request, output).await
        }
        Memory::Remember { text, namespace } => remember(memory, text, namespace, output).await,
        Memory::Bank(Bank::Import { folder }) => import(memory, &folder, output).await,
        Memory::Bank(Bank::Export { folder }) => export(memory, &folder, output).await,
        Memory::Actions { run } => actions(memory, run, output).await,
        Memory::Stats => stats(memory, output).await,
    }
}

async fn search(mut memory: Client, request: SearchRequest, output: Output) -> Result<(), Failure> {
    let found = memory.search(request).await?.into_inner();
    let value: Vec<Value> = found
        .results
        .iter()
        .map(|result| {
            json!({
                "id": result.id,
                "kind": result.kind().as_str_name().trim_start_matches("ITEM_KIND_").to_lowercase(),
                "text": result.text,
                "score": result.score,
                "reasons": result.reasons,
                "source": result.source,
                "valid_from": rfc3339(result.valid_from.as_ref()),
                "valid_to": rfc3339(result.valid_to.as_ref()),
                "recorded_at": rfc3339(result.recorded_at.as_ref()),
            })
        })
        .collect();
    output.show(&Value::Array(value), |out| {
        for result in &found.results {
            let at = when(result.valid_from.as_ref());
            let facts = format!("{at} · {} · {}", result.source, result.reasons.join(", "));
            writeln!(out, "{}\n  {}", brief(&result.text, 300), facts.dimmed())?;
        }
        if found.results.is_empty() {
            writeln!(out, "nothing was found")?;
        }
        if !found.vectors_used {
            let hint = "found by words only: no embedding model answers";
            writeln!(out, "{}", hint.yellow())?;
        }
        Ok(())
    })
}

async fn remember(
    mut memory: Client,
    text: String,
    namespace: String,
    output: Output,
) -> Result<(), Failure> {
    let episode = Episode {
        text,
        actor: "user".to_owned(),
        source: "alina".to_owned(),
        ..Episode::default()
    };
    let request = RememberRequest {
        namespace,
        idempotency_key: Uuid::new_v4().to_string(),
        episode: Some(episode),
        ..RememberRequest::default()
    };
    let id = memory.remember(request).await?.into_inner().episode_id;
    output.show(&json!({ "episode_id": id }), |out| writeln!(out, "{} {id}", "✓".green()))
}

async fn import(mut memory: Client, folder: &Path, output: Output) -> Result<(), Failure> {
    let mut documents = Vec::new();
    read_markdown(folder, folder, &mut documents)?;
    if documents.is_empty() {
        return Err(Failure::other(format!("{} holds no .md file", folder.display())));
    }
    let count = documents.len();
    let request = ImportBankRequest { documents, ..ImportBankRequest::default() };
    let done = memory.import_bank(request).await?.into_inner();
    let value = json!({
        "documents": count,
        "sections_added": done.sections_added,
        "sections_changed": done.sections_changed,
        "sections_removed": done.sections_removed,
        "sections_unchanged": done.sections_unchanged,
    });
    output.show(&value, |out| {
        writeln!(
            out,
            "{} {count} documents: {} sections new, {} changed, {} removed, {} as they were",
            "✓".green(),
            done.sections_added,
            done.sections_changed,
            done.sections_removed,
            done.sections_unchanged
        )
    })
}

fn read_markdown(root: &Path, folder: &Path, found: &mut Vec<BankDocument>) -> Result<(), Failure> {
    let wrong = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::other(format!("{}: {error}", path.display()))
    };
    let entries = std::fs::read_dir(folder).map_err(|error| wrong(folder, &error))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read_markdown(root, &path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let content = std::fs::read_to_string(&path).map_err(|error| wrong(&path, &error))?;
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            found.push(BankDocument { path: name, content });
        }
    }
    Ok(())
}

async fn export(mut memory: Client, folder: &Path, output: Output) -> Result<(), Failure> {
    let exported = memory.export_bank(ExportBankRequest::default()).await?.into_inner();
    for document in &exported.documents {
        // The service refuses paths that lead out; a folder of ours is not left to its word.
        let inside = Path::new(&document.path)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !inside {
            return Err(Failure::other(format!("`{}` leads out of the folder", document.path)));
        }
        let path = folder.join(&document.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, &document.content)?;
    }
    let names: Vec<&String> = exported.documents.iter().map(|document| &document.path).collect();
    output.show(&json!({ "folder": folder, "documents": names }), |out| {
        writeln!(out, "{} {} documents in {}", "✓".green(), names.len(), folder.display())
    })
}

async fn actions(mut memory: Client, run_id: String, output: Output) -> Result<(), Failure> {
    let request = ListActionsRequest { run_id, ..ListActionsRequest::default() };
    let actions = memory.list_actions(request).await?.into_inner().actions;
    let value: Vec<Value> = actions
        .iter()
        .map(|action| {
            json!({
                "id": action.id,
                "at": rfc3339(action.at.as_ref()),
                "actor": action.actor,
                "action": action.action,
                "summary": action.summary,
                "details": serde_json::from_str::<Value>(&action.details_json).ok(),
                "run_id": action.run_id,
            })
        })
        .collect();
    output.show(&Value::Array(value), |out| {
        let mut rows = table(["when", "who", "did", "what"]);
        for action in &actions {
            rows.add_row([
                when(action.at.as_ref()),
                action.actor.clone(),
                action.action.clone(),
                brief(&action.summary, 80),
            ]);
        }
        writeln!(out, "{rows}")
    })
}

async fn stats(mut memory: Client, output: Output) -> Result<(), Failure> {
    let stats = memory.get_stats(GetStatsRequest::default()).await?.into_inner();
    let value = json!({
        "episodes": stats.episodes,
        "facts": stats.facts,
        "entities": stats.entities,
        "sections": stats.sections,
        "actions": stats.actions,
        "awaiting_vectors": stats.awaiting_vectors,
        "cache_available": stats.cache_available,
    });
    output.show(&value, |out| {
        writeln!(
            out,
            "{} episodes, {} facts about {} entities, {} sections, {} actions; {} wait for vectors",
            stats.episodes,
            stats.facts,
            stats.entities,
            stats.sections,
            stats.actions,
            stats.awaiting_vectors
        )
    })
}
