//! The documents of the memory bank.

use std::path::{Path, PathBuf};

use alina_proto::memory::v1::{BankDocument, ExportBankRequest, ImportBankRequest};
use owo_colors::OwoColorize;
use serde_json::json;

use super::Asked;
use crate::failure::Failure;

impl Asked {
    pub(super) async fn import(mut self, folder: &Path) -> Result<(), Failure> {
        let mut documents = Vec::new();
        read_markdown(folder, folder, &mut documents)?;
        if documents.is_empty() {
            return Err(Failure::other(format!("{} holds no .md file", folder.display())));
        }
        let count = documents.len();
        let request = ImportBankRequest { namespace: self.namespace, documents };
        let done = self.memory.import_bank(request).await?.into_inner();
        let value = json!({
            "documents": count,
            "sections_added": done.sections_added,
            "sections_changed": done.sections_changed,
            "sections_removed": done.sections_removed,
            "sections_unchanged": done.sections_unchanged,
        });
        self.output.show(&value, |out| {
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

    pub(super) async fn export(mut self, folder: &Path) -> Result<(), Failure> {
        let request = ExportBankRequest { namespace: self.namespace };
        let exported = self.memory.export_bank(request).await?.into_inner();
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
        let names: Vec<&String> =
            exported.documents.iter().map(|document| &document.path).collect();
        self.output.show(&json!({ "folder": folder, "documents": names }), |out| {
            writeln!(out, "{} {} documents in {}", "✓".green(), names.len(), folder.display())
        })
    }
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
            if is_conflict(&name) {
                continue;
            }
            found.push(BankDocument { path: name, content });
        }
    }
    Ok(())
}

/// Whether it is a file that the service set aside, and no document.
fn is_conflict(name: &str) -> bool {
    let mark = name.strip_suffix(".md").and_then(|stem| stem.rsplit_once(".conflict-"));
    mark.is_some_and(|(_, hash)| hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}
