//! Documents of the memory bank.

use alina_proto::{
    memory::v1::{
        BankConflict, BankDocument, BankProblem, DocumentInfo, DocumentSection,
        DocumentState as WireState, EditDocumentRequest, EditDocumentResponse, GetDocumentRequest,
        GetDocumentResponse, ListDocumentsRequest, ListDocumentsResponse, SyncBankRequest,
        SyncBankResponse, edit_document_request::Edit as WireEdit,
    },
    time::timestamp,
};
use alina_service::status::Violations;
use prost::Message;
use tonic::Status;

use super::{
    Grpc,
    convert::{checked_name, checked_namespace, short},
    failure::failure,
};
use crate::{
    knowledge::{
        Namespace,
        bank::{
            LARGEST, PATH_RULE, etag, is_document,
            section::{Change, Edit, outline},
        },
    },
    store::{DocumentState, EditWish, Key, Listed},
};

/// As deep as headings go.
const MOST_HEADINGS: usize = 6;

fn checked_edit(request: EditDocumentRequest) -> Result<(Namespace, String, EditWish), Status> {
    let mut bad = Violations::default();
    let namespace = checked_namespace(&request.namespace, &mut bad);
    short(&request.idempotency_key, "idempotency_key", &mut bad);
    bad.check(is_document(&request.path), "path", PATH_RULE);
    bad.check(request.heading.len() <= MOST_HEADINGS, "heading", "must be at most 6 headings");
    for (place, heading) in request.heading.iter().enumerate() {
        checked_name(heading, format!("heading[{place}]"), &mut bad);
    }
    let whole = |text: &str| text.len() <= LARGEST && !text.contains('\0');
    let rule = "must be at most 1 MiB without NUL";
    let change = match request.edit {
        Some(WireEdit::Replace(text)) => {
            bad.check(whole(&text), "replace", rule);
            Some(Change::Replace(text))
        }
        Some(WireEdit::Append(text)) => {
            let some = !text.trim().is_empty();
            bad.check(whole(&text) && some, "append", "must be 1 byte to 1 MiB without NUL");
            Some(Change::Append(text))
        }
        None => None,
    };
    let seen = request.base_etag;
    let tag = seen.len() == 32 && seen.bytes().all(|byte| byte.is_ascii_hexdigit());
    bad.check(tag || seen.is_empty(), "base_etag", "must be an etag that this service gave");
    short(&request.actor, "actor", &mut bad);
    short(&request.run_id, "run_id", &mut bad);
    short(&request.reason, "reason", &mut bad);
    let Some(change) = change else {
        bad.add("edit", "one of replace and append is required");
        bad.finish()?;
        return Err(Status::invalid_argument("edit is required"));
    };
    bad.finish()?;
    let actor = if request.actor.is_empty() { "user".to_owned() } else { request.actor };
    let wish = EditWish {
        path: request.path,
        edit: Edit { heading: request.heading, change, seen },
        actor,
        run_id: request.run_id,
        reason: request.reason,
    };
    Ok((namespace, request.idempotency_key, wish))
}

impl From<Listed> for DocumentInfo {
    fn from(listed: Listed) -> Self {
        let state = match listed.state {
            DocumentState::Stored => WireState::Stored,
            DocumentState::InStep => WireState::InStep,
            DocumentState::Pending => WireState::Pending,
        };
        Self {
            path: listed.path,
            etag: listed.etag,
            bytes: listed.bytes.unsigned_abs(),
            changed_at: Some(timestamp(listed.changed_at)),
            state: state.into(),
        }
    }
}

impl Grpc {
    pub(super) async fn documents_listed(
        &self,
        request: ListDocumentsRequest,
    ) -> Result<ListDocumentsResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        bad.check(request.page_size <= 500, "page_size", "must be 1 to 500, or 0 for 100");
        short(&request.page_token, "page_token", &mut bad);
        bad.finish()?;
        let size = if request.page_size == 0 { 100 } else { request.page_size };
        let after = &request.page_token;
        let listed = self.store.list_documents(&namespace, after, i64::from(size)).await;
        let listed = listed.map_err(failure)?;
        let full = listed.len() == size as usize;
        let next = listed.last().filter(|_| full).map(|last| last.path.clone());
        let conflicts = self.store.conflicts(&namespace).await.map_err(failure)?;
        let conflicts = conflicts.into_iter().map(|conflict| BankConflict {
            path: conflict.path,
            name: conflict.name,
            at: Some(timestamp(conflict.at)),
            written: conflict.written,
        });
        Ok(ListDocumentsResponse {
            documents: listed.into_iter().map(Into::into).collect(),
            next_page_token: next.unwrap_or_default(),
            conflicts: conflicts.collect(),
            problems: self.problems(&namespace),
            folder: self.bank.folder_of(&namespace).to_owned(),
        })
    }

    pub(super) async fn document_given(
        &self,
        request: GetDocumentRequest,
    ) -> Result<GetDocumentResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        checked_name(&request.path, "path", &mut bad);
        bad.finish()?;
        let content = self.store.document(&namespace, &request.path).await.map_err(failure)?;
        let sections = outline(&content).into_iter().map(|place| {
            let text = content.get(place.body).unwrap_or_default();
            DocumentSection { heading: place.heading, text: text.to_owned(), etag: etag(text) }
        });
        Ok(GetDocumentResponse {
            sections: sections.collect(),
            etag: etag(&content),
            document: Some(BankDocument { path: request.path, content }),
        })
    }

    pub(super) async fn document_edited(
        &self,
        request: EditDocumentRequest,
    ) -> Result<EditDocumentResponse, Status> {
        let content = request.encode_to_vec();
        let (namespace, key, wish) = checked_edit(request)?;
        let key = Key::new("edit", &key, &content);
        let edited = self.store.edit_document(&namespace, key.as_ref(), &wish).await;
        let edited = edited.map_err(failure)?;
        self.written.notify_one();
        self.bank.changed(&namespace);
        Ok(EditDocumentResponse {
            etag: edited.etag,
            created: edited.created,
            unchanged: edited.unchanged,
        })
    }

    pub(super) async fn bank_synced(
        &self,
        request: SyncBankRequest,
    ) -> Result<SyncBankResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        bad.finish()?;
        self.bank.sync(&namespace, request.accept_deletions).await.map_err(failure)?;
        let counts = self.store.bank_counts(&namespace).await.map_err(failure)?;
        Ok(SyncBankResponse {
            documents: counts.documents.unsigned_abs(),
            conflicts: counts.conflicts.unsigned_abs(),
            problems: self.problems(&namespace),
        })
    }

    fn problems(&self, namespace: &Namespace) -> Vec<BankProblem> {
        let problems = self.bank.problems(namespace).into_iter();
        problems.map(|(path, problem)| BankProblem { path, problem }).collect()
    }
}
