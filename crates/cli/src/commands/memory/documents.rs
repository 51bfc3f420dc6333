//! The documents of the memory bank, kept in step with a folder's files.

use std::io::Read;

use alina_proto::memory::v1::{
    BankProblem, DocumentState, EditDocumentRequest, GetDocumentRequest, GetDocumentResponse,
    ListDocumentsRequest, ListDocumentsResponse, SyncBankRequest, edit_document_request,
};
use owo_colors::OwoColorize;
use serde_json::{Value, json};
use tonic::Code;
use uuid::Uuid;

use super::Asked;
use crate::{
    arguments::Edit,
    failure::Failure,
    output::{bytes, rfc3339, table, when},
};

fn state_name(state: DocumentState) -> &'static str {
    match state {
        DocumentState::Unspecified => "",
        DocumentState::Stored => "no file",
        DocumentState::InStep => "in step",
        DocumentState::Pending => "to be written",
    }
}

fn problems_value(problems: &[BankProblem]) -> Vec<Value> {
    let value = |at: &BankProblem| json!({ "path": at.path, "problem": at.problem });
    problems.iter().map(value).collect()
}

impl Asked {
    pub(super) async fn status(mut self) -> Result<(), Failure> {
        let all = self.all_documents().await?;
        let documents: Vec<Value> = all
            .documents
            .iter()
            .map(|document| {
                json!({
                    "path": document.path,
                    "etag": document.etag,
                    "bytes": document.bytes,
                    "changed_at": rfc3339(document.changed_at.as_ref()),
                    "state": state_name(document.state()).replace(' ', "_"),
                })
            })
            .collect();
        let conflicts: Vec<Value> = all
            .conflicts
            .iter()
            .map(|at| {
                json!({
                    "path": at.path,
                    "name": at.name,
                    "at": rfc3339(at.at.as_ref()),
                    "written": at.written,
                })
            })
            .collect();
        let value = json!({
            "folder": all.folder,
            "documents": documents,
            "conflicts": conflicts,
            "problems": problems_value(&all.problems),
        });
        self.output.show(&value, |out| {
            match all.folder.as_str() {
                "" => writeln!(out, "no folder is kept in step: memory.bank in config.yaml")?,
                folder => writeln!(out, "in step with {folder}")?,
            }
            if !all.documents.is_empty() {
                let mut rows = table(["document", "file", "size", "changed"]);
                for document in &all.documents {
                    rows.add_row([
                        document.path.clone(),
                        state_name(document.state()).to_owned(),
                        bytes(document.bytes),
                        when(document.changed_at.as_ref()),
                    ]);
                }
                writeln!(out, "{rows}")?;
            }
            for conflict in &all.conflicts {
                let said = format!(
                    "{} was edited by a person and an agent; the agent's is in {}",
                    conflict.path, conflict.name
                );
                writeln!(out, "{} {said}", "!".yellow().bold())?;
                let how = "take from it what is right, then delete it";
                writeln!(out, "  {}", how.dimmed())?;
            }
            for BankProblem { path, problem } in &all.problems {
                let path = if path.is_empty() { "the folder" } else { path };
                writeln!(out, "{} {path}: {problem}", "!".red().bold())?;
            }
            Ok(())
        })
    }

    async fn all_documents(&mut self) -> Result<ListDocumentsResponse, Failure> {
        let mut all = ListDocumentsResponse::default();
        loop {
            let request = ListDocumentsRequest {
                namespace: self.namespace.clone(),
                page_size: 500,
                page_token: all.next_page_token.clone(),
            };
            let page = self.memory.list_documents(request).await?.into_inner();
            let before = std::mem::take(&mut all.documents);
            all = page;
            all.documents.splice(..0, before);
            if all.next_page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    async fn document(&mut self, path: &str) -> Result<GetDocumentResponse, tonic::Status> {
        let request =
            GetDocumentRequest { namespace: self.namespace.clone(), path: path.to_owned() };
        Ok(self.memory.get_document(request).await?.into_inner())
    }

    pub(super) async fn show(mut self, path: String, section: &[String]) -> Result<(), Failure> {
        let document = self.document(&path).await?;
        let (etag, text) = part(&document, section)?;
        let sections: Vec<Value> = document
            .sections
            .iter()
            .map(|at| json!({ "heading": at.heading, "etag": at.etag }))
            .collect();
        let value = json!({ "path": path, "etag": etag, "content": text, "sections": sections });
        self.output.show(&value, |out| {
            write!(out, "{text}")?;
            if text.ends_with('\n') || text.is_empty() { Ok(()) } else { writeln!(out) }
        })
    }

    pub(super) async fn edit(mut self, edit: Edit) -> Result<(), Failure> {
        let (new, append) = match (edit.text.append, edit.text.replace) {
            (Some(text), _) => (text, true),
            (None, text) => (text.unwrap_or_default(), false),
        };
        let new = if new == "-" { standard_input()? } else { new };
        let (change, base_etag) = if append {
            (edit_document_request::Edit::Append(new), String::new())
        } else {
            // What is there now is what is replaced.
            let seen = match self.document(&edit.path).await {
                Ok(document) => part(&document, &edit.section)?.0.to_owned(),
                Err(status) if status.code() == Code::NotFound => String::new(),
                Err(status) => return Err(status.into()),
            };
            (edit_document_request::Edit::Replace(new), seen)
        };
        let request = EditDocumentRequest {
            namespace: self.namespace,
            idempotency_key: Uuid::new_v4().to_string(),
            path: edit.path.clone(),
            heading: edit.section,
            edit: Some(change),
            base_etag,
            reason: edit.reason,
            ..EditDocumentRequest::default()
        };
        let done = self.memory.edit_document(request).await?.into_inner();
        let value = json!({
            "path": edit.path,
            "etag": done.etag,
            "created": done.created,
            "unchanged": done.unchanged,
        });
        self.output.show(&value, |out| {
            let what = match (done.created, done.unchanged) {
                (true, _) => "made",
                (_, true) => "as it was",
                _ => "edited",
            };
            writeln!(out, "{} {} {what}", "✓".green(), edit.path)
        })
    }

    pub(super) async fn sync(mut self, accept_deletions: bool) -> Result<(), Failure> {
        let request = SyncBankRequest { namespace: self.namespace, accept_deletions };
        let done = self.memory.sync_bank(request).await?.into_inner();
        let value = json!({
            "documents": done.documents,
            "conflicts": done.conflicts,
            "problems": problems_value(&done.problems),
        });
        self.output.show(&value, |out| {
            writeln!(
                out,
                "{} {} documents; {} conflicts, {} files that cannot be kept in step: alina memory \
                 bank status",
                "✓".green(),
                done.documents,
                done.conflicts,
                done.problems.len()
            )
        })
    }
}

/// The etag and the text of a section, or of the whole document.
fn part<'d>(
    document: &'d GetDocumentResponse,
    section: &[String],
) -> Result<(&'d str, &'d str), Failure> {
    if section.is_empty() {
        let content = document.document.as_ref().map_or("", |whole| whole.content.as_str());
        return Ok((&document.etag, content));
    }
    let exact = document.sections.iter().find(|at| at.heading == section);
    let ending = || document.sections.iter().find(|at| at.heading.ends_with(section));
    let found = exact.or_else(ending).map(|at| (at.etag.as_str(), at.text.as_str()));
    found.ok_or_else(|| Failure::other(format!("there is no section {}", section.join(" › "))))
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}
