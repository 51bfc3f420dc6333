//! The memory bank: documents that agents edit, files that people edit.

mod editing;
mod files;
mod interleaved;
mod people;

use std::{fs, path::Path, time::Duration};

use alina_proto::{
    Service,
    memory::v1::{
        EditDocumentRequest, EditDocumentResponse, GetDocumentRequest, GetDocumentResponse,
        ListDocumentsRequest, ListDocumentsResponse, SyncBankRequest, SyncBankResponse,
        edit_document_request::Edit,
    },
};
use alina_testkit::Suite;
use serde_json::json;
use tempfile::TempDir;
use tonic::Status;

use crate::{Memory, memory};

/// A service that keeps a folder in step.
struct Kept {
    suite: Suite,
    memory: Memory,
    folder: TempDir,
}

impl Kept {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With these files there from the start.
    async fn with(files: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("the temporary folder is writable");
        for (path, content) in files {
            fs::write(folder.path().join(path), content).unwrap();
        }
        let suite = Suite::builder()
            .service(Service::Memory)
            .set("memory.bank.folder", json!(folder.path()))
            .start()
            .await;
        let memory = memory(&suite.connector());
        Self { suite, memory, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap_or_default()
    }

    fn write(&self, path: &str, content: &str) {
        fs::write(self.path().join(path), content).unwrap();
    }

    async fn sync(&self) -> SyncBankResponse {
        self.memory.clone().sync_bank(SyncBankRequest::default()).await.unwrap().into_inner()
    }

    /// Waits for what the service does by itself.
    async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        for _ in 0..600 {
            if holds(self).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{what}: not within 15 s; {:?}", list(&self.memory).await);
    }
}

async fn list(memory: &Memory) -> ListDocumentsResponse {
    memory.clone().list_documents(ListDocumentsRequest::default()).await.unwrap().into_inner()
}

async fn get(memory: &Memory, path: &str) -> Result<GetDocumentResponse, Status> {
    let request = GetDocumentRequest { path: path.to_owned(), ..Default::default() };
    memory.clone().get_document(request).await.map(tonic::Response::into_inner)
}

async fn content(memory: &Memory, path: &str) -> Option<String> {
    let found = get(memory, path).await.ok()?;
    found.document.map(|document| document.content)
}

fn edit(path: &str, heading: &[&str], edit: Edit, seen: &str) -> EditDocumentRequest {
    EditDocumentRequest {
        path: path.to_owned(),
        heading: heading.iter().map(|title| (*title).to_owned()).collect(),
        edit: Some(edit),
        base_etag: seen.to_owned(),
        actor: "agent:writer".to_owned(),
        ..Default::default()
    }
}

async fn send(
    memory: &Memory,
    request: EditDocumentRequest,
) -> Result<EditDocumentResponse, Status> {
    memory.clone().edit_document(request).await.map(tonic::Response::into_inner)
}

async fn append(memory: &Memory, path: &str, heading: &[&str], text: &str) -> EditDocumentResponse {
    let request = edit(path, heading, Edit::Append(text.to_owned()), "");
    send(memory, request).await.expect("it is edited")
}
