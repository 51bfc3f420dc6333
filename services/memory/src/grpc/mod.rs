//! The wire: requests are checked here, failures become statuses here.

mod archive;
mod bank;
mod cached;
mod context;
mod convert;
mod facts;
mod failure;
mod forget;
mod graph;
mod log;
mod merges;
mod stream;
mod watch;

use std::sync::Arc;

use alina_proto::memory::v1::{
    self as wire, BankDocument, BuildContextRequest, BuildContextResponse, ExportBankRequest,
    ExportBankResponse, GetEntityRequest, GetEntityResponse, GetStatsRequest, GetStatsResponse,
    ImportBankRequest, ImportBankResponse, ListActionsRequest, ListActionsResponse,
    LogActionRequest, LogActionResponse, RememberRequest, RememberResponse, SearchRequest,
    SearchResponse, memory_service_server::MemoryService,
};
use alina_service::status::Violations;
use chrono::Utc;
use prost::Message;
use tokio::sync::Notify;
use tonic::{Request, Response, Status, Streaming, codegen::BoxStream};
use uuid::Uuid;

use self::convert::{
    checked_documents, checked_name, checked_namespace, checked_remember, checked_scope,
    entity_response, explained_response, learned, result_response,
};
use self::{cached::When, facts::checked_view, failure::failure, log::checked_action};
use crate::{
    bank::Bank,
    cache::Cache,
    knowledge::{Kind, bank::LEARNED},
    recall::Recall,
    store::{Key, Scope, Stats, Store},
};

const MAX_QUERY_BYTES: usize = 8_192;
/// So much does `learned.md` show.
const MOST_LEARNED: i64 = 200;

pub(crate) use self::{archive::Archives, stream::Intake, watch::Watchers};

pub(crate) struct Grpc {
    pub(crate) store: Store,
    pub(crate) recall: Recall,
    pub(crate) cache: Cache,
    pub(crate) written: Arc<Notify>,
    pub(crate) watchers: Watchers,
    pub(crate) intake: Intake,
    pub(crate) archives: Archives,
    pub(crate) bank: Bank,
}

#[tonic::async_trait]
impl MemoryService for Grpc {
    async fn remember(
        &self,
        request: Request<RememberRequest>,
    ) -> Result<Response<RememberResponse>, Status> {
        let request = request.into_inner();
        let content = request.encode_to_vec();
        let (namespace, key, episode, facts) = checked_remember(request)?;
        let key = Key::new("remember", &key, &content);
        let written = self.store.remember(&namespace, key.as_ref(), episode, facts).await;
        let written = written.map_err(failure)?;
        self.written.notify_one();
        Ok(Response::new(written.into()))
    }

    async fn remember_stream(
        &self,
        requests: Request<Streaming<wire::RememberStreamRequest>>,
    ) -> Result<Response<BoxStream<wire::RememberStreamResponse>>, Status> {
        self.intake.clone().answered(requests.into_inner()).map(Response::new)
    }

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        let request = request.into_inner();
        let scope = checked_scope(&request)?;
        let read = Box::pin(async {
            let mut answer = self.recall.search(&scope, &request.query).await.map_err(failure)?;
            let wire = if request.explain { explained_response } else { result_response };
            let response = SearchResponse {
                results: answer
                    .found
                    .into_iter()
                    .map(|found| wire(found, &mut answer.doubts))
                    .collect(),
                vectors_used: answer.vectors_used,
            };
            // Without vectors the answer is less than it could be in a moment.
            Ok((response, answer.vectors_used))
        });
        let when = When::of(request.as_of.as_ref(), &scope.view());
        self.cached("search", &scope.namespace, when, &request, read).await
    }

    async fn build_context(
        &self,
        request: Request<BuildContextRequest>,
    ) -> Result<Response<BuildContextResponse>, Status> {
        self.context(request.into_inner()).await
    }

    async fn get_entity(
        &self,
        request: Request<GetEntityRequest>,
    ) -> Result<Response<GetEntityResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        checked_name(&request.name, "name", &mut bad);
        let (as_of, known_at) = (request.as_of.as_ref(), request.known_at.as_ref());
        let view = checked_view(as_of, known_at, request.include_stale, &mut bad);
        bad.finish()?;
        let ended = request.as_of.is_none();
        let read = async {
            let entity = self.store.entity(&namespace, &request.name, &view, ended).await;
            Ok((entity_response(entity.map_err(failure)?), true))
        };
        let when = When::of(request.as_of.as_ref(), &view);
        self.cached("entity", &namespace, when, &request, read).await
    }

    async fn log_action(
        &self,
        request: Request<LogActionRequest>,
    ) -> Result<Response<LogActionResponse>, Status> {
        let request = request.into_inner();
        let content = request.encode_to_vec();
        let (namespace, key, action) = checked_action(request)?;
        let key = Key::new("action", &key, &content);
        let id = self.store.log_action(&namespace, key.as_ref(), action).await.map_err(failure)?;
        Ok(Response::new(LogActionResponse { id: id.to_string() }))
    }

    async fn list_actions(
        &self,
        request: Request<ListActionsRequest>,
    ) -> Result<Response<ListActionsResponse>, Status> {
        self.listed(request.into_inner()).await.map(Response::new)
    }

    async fn import_bank(
        &self,
        request: Request<ImportBankRequest>,
    ) -> Result<Response<ImportBankResponse>, Status> {
        let (namespace, documents) = checked_documents(request.into_inner())?;
        let imported = self.store.import(&namespace, documents).await.map_err(failure)?;
        self.written.notify_one();
        self.bank.changed(&namespace);
        Ok(Response::new(ImportBankResponse {
            sections_added: imported.added,
            sections_changed: imported.changed,
            sections_removed: imported.removed,
            sections_unchanged: imported.unchanged,
        }))
    }

    async fn export_bank(
        &self,
        request: Request<ExportBankRequest>,
    ) -> Result<Response<ExportBankResponse>, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.into_inner().namespace, &mut bad);
        bad.finish()?;
        let begun = Utc::now();
        let documents = self.store.documents(&namespace).await.map_err(failure)?;
        let mut documents: Vec<BankDocument> = documents
            .into_iter()
            .filter(|document| document.path != LEARNED)
            .map(|document| BankDocument { path: document.path, content: document.content })
            .collect();
        let kinds = vec![Kind::Episode, Kind::Fact];
        let scope = Scope { kinds, ..Scope::everything(namespace, MOST_LEARNED) };
        let recent = self.store.recent(&scope).await.map_err(failure)?;
        documents.extend(learned(&recent));
        let ids: Vec<Uuid> = recent.iter().map(|item| item.id).collect();
        self.store.note_export(&scope.namespace, begun, &ids).await.map_err(failure)?;
        Ok(Response::new(ExportBankResponse { documents }))
    }

    async fn export_namespace(
        &self,
        request: Request<wire::ExportNamespaceRequest>,
    ) -> Result<Response<BoxStream<wire::ExportNamespaceResponse>>, Status> {
        self.exported(request.get_ref()).map(Response::new)
    }

    async fn import_namespace(
        &self,
        requests: Request<Streaming<wire::ImportNamespaceRequest>>,
    ) -> Result<Response<wire::ImportNamespaceResponse>, Status> {
        self.taken_in(requests.into_inner()).await.map(Response::new)
    }

    async fn list_documents(
        &self,
        request: Request<wire::ListDocumentsRequest>,
    ) -> Result<Response<wire::ListDocumentsResponse>, Status> {
        self.documents_listed(request.into_inner()).await.map(Response::new)
    }

    async fn get_document(
        &self,
        request: Request<wire::GetDocumentRequest>,
    ) -> Result<Response<wire::GetDocumentResponse>, Status> {
        self.document_given(request.into_inner()).await.map(Response::new)
    }

    async fn edit_document(
        &self,
        request: Request<wire::EditDocumentRequest>,
    ) -> Result<Response<wire::EditDocumentResponse>, Status> {
        self.document_edited(request.into_inner()).await.map(Response::new)
    }

    async fn sync_bank(
        &self,
        request: Request<wire::SyncBankRequest>,
    ) -> Result<Response<wire::SyncBankResponse>, Status> {
        self.bank_synced(request.into_inner()).await.map(Response::new)
    }

    async fn get_stats(
        &self,
        request: Request<GetStatsRequest>,
    ) -> Result<Response<GetStatsResponse>, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.into_inner().namespace, &mut bad);
        bad.finish()?;
        let Stats { counts, bank, extraction } =
            self.store.stats(&namespace).await.map_err(failure)?;
        let [episodes, facts, entities, sections] = counts.items.map(i64::unsigned_abs);
        Ok(Response::new(GetStatsResponse {
            episodes,
            facts,
            entities,
            sections,
            actions: counts.actions.unsigned_abs(),
            awaiting_vectors: counts.awaiting_vectors.unsigned_abs(),
            cache_available: self.cache.is_available().await,
            documents: bank.documents.unsigned_abs(),
            bank_conflicts: bank.conflicts.unsigned_abs(),
            awaiting_extraction: extraction.waiting.unsigned_abs(),
            rules: Some(extraction.rules.into()),
            model: Some(extraction.model.into()),
        }))
    }

    async fn describe_entity(
        &self,
        request: Request<wire::DescribeEntityRequest>,
    ) -> Result<Response<wire::DescribeEntityResponse>, Status> {
        self.described(request.into_inner()).await.map(Response::new)
    }

    async fn merge_entities(
        &self,
        request: Request<wire::MergeEntitiesRequest>,
    ) -> Result<Response<wire::MergeEntitiesResponse>, Status> {
        self.merged(request.into_inner()).await.map(Response::new)
    }

    async fn unmerge_entity(
        &self,
        request: Request<wire::UnmergeEntityRequest>,
    ) -> Result<Response<wire::UnmergeEntityResponse>, Status> {
        self.unmerged(request.into_inner()).await.map(Response::new)
    }

    async fn list_merge_suggestions(
        &self,
        request: Request<wire::ListMergeSuggestionsRequest>,
    ) -> Result<Response<wire::ListMergeSuggestionsResponse>, Status> {
        self.suggested(request.into_inner()).await.map(Response::new)
    }

    async fn retract(
        &self,
        request: Request<wire::RetractRequest>,
    ) -> Result<Response<wire::RetractResponse>, Status> {
        self.retracted(request.into_inner()).await.map(Response::new)
    }

    async fn restore(
        &self,
        request: Request<wire::RestoreRequest>,
    ) -> Result<Response<wire::RestoreResponse>, Status> {
        self.restored(request.into_inner()).await.map(Response::new)
    }

    async fn revise(
        &self,
        request: Request<wire::ReviseRequest>,
    ) -> Result<Response<wire::ReviseResponse>, Status> {
        self.revised(request.into_inner()).await.map(Response::new)
    }

    async fn explain(
        &self,
        request: Request<wire::ExplainRequest>,
    ) -> Result<Response<wire::ExplainResponse>, Status> {
        self.explained(request.into_inner()).await.map(Response::new)
    }

    async fn timeline(
        &self,
        request: Request<wire::TimelineRequest>,
    ) -> Result<Response<wire::TimelineResponse>, Status> {
        self.timeline_of(request.into_inner()).await.map(Response::new)
    }

    async fn neighbors(
        &self,
        request: Request<wire::NeighborsRequest>,
    ) -> Result<Response<wire::NeighborsResponse>, Status> {
        self.around(request.into_inner()).await.map(Response::new)
    }

    async fn path(
        &self,
        request: Request<wire::PathRequest>,
    ) -> Result<Response<wire::PathResponse>, Status> {
        self.way(request.into_inner()).await.map(Response::new)
    }

    async fn forget(
        &self,
        request: Request<wire::ForgetRequest>,
    ) -> Result<Response<wire::ForgetResponse>, Status> {
        self.forgotten(request.into_inner()).await.map(Response::new)
    }

    async fn verify_actions(
        &self,
        request: Request<wire::VerifyActionsRequest>,
    ) -> Result<Response<wire::VerifyActionsResponse>, Status> {
        self.verified(request.into_inner()).await.map(Response::new)
    }

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<BoxStream<wire::WatchResponse>>, Status> {
        let changes = self.watched(request.into_inner()).await?;
        Ok(Response::new(Box::pin(changes)))
    }
}
