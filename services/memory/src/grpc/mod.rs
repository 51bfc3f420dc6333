//! The wire: requests are checked here, failures become statuses here.

mod convert;

use std::sync::Arc;

use alina_proto::memory::v1::{
    BankDocument, BuildContextRequest, BuildContextResponse, ExportBankRequest, ExportBankResponse,
    GetEntityRequest, GetEntityResponse, GetStatsRequest, GetStatsResponse, ImportBankRequest,
    ImportBankResponse, ListActionsRequest, ListActionsResponse, LogActionRequest,
    LogActionResponse, RememberRequest, RememberResponse, SearchRequest, SearchResponse,
    memory_service_server::MemoryService,
};
use alina_service::status::Violations;
use prost::Message;
use tokio::sync::Notify;
use tonic::{Request, Response, Status};

use self::convert::{
    checked_action, checked_documents, checked_name, checked_namespace, checked_remember,
    checked_scope, citation, entity_response, explained_response, failure, learned,
    result_response,
};
use crate::{
    cache::{Cache, Key as CacheKey},
    error::MemoryError,
    knowledge::{Kind, Namespace},
    recall::Recall,
    store::{Key, Scope, Store},
};

const MAX_QUERY_BYTES: usize = 8_192;
/// What `learned.md` shows.
const LEARNED: i64 = 200;

pub(crate) struct Grpc {
    pub(crate) store: Store,
    pub(crate) recall: Recall,
    pub(crate) cache: Cache,
    pub(crate) written: Arc<Notify>,
}

impl Grpc {
    /// A read, from the cache if it is there. `read` tells whether its answer may be kept.
    async fn cached<Q: Message, A: Message + Default>(
        &self,
        operation: &str,
        namespace: &Namespace,
        request: &Q,
        read: impl Future<Output = Result<(A, bool), Status>>,
    ) -> Result<Response<A>, Status> {
        let version = self.store.version(namespace).await.map_err(failure)?;
        let key = CacheKey::new(operation, namespace, version, &request.encode_to_vec());
        if let Some(kept) = self.cache.get(&key).await
            && let Ok(answer) = A::decode(kept.as_slice())
        {
            return Ok(Response::new(answer));
        }
        let (answer, lasts) = read.await?;
        if lasts {
            self.cache.put(&key, &answer.encode_to_vec()).await;
        }
        Ok(Response::new(answer))
    }
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
        Ok(Response::new(RememberResponse {
            episode_id: written.episode_id.map(|id| id.to_string()).unwrap_or_default(),
            fact_ids: written.fact_ids.iter().map(ToString::to_string).collect(),
            repeated_request: written.repeated,
        }))
    }

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        let request = request.into_inner();
        let scope = checked_scope(&request)?;
        let read = async {
            let answer = self.recall.search(&scope, &request.query).await.map_err(failure)?;
            let wire = if request.explain { explained_response } else { result_response };
            let response = SearchResponse {
                results: answer.found.into_iter().map(wire).collect(),
                vectors_used: answer.vectors_used,
            };
            // Without vectors the answer is less than it could be in a moment.
            Ok((response, answer.vectors_used))
        };
        self.cached("search", &scope.namespace, &request, read).await
    }

    async fn build_context(
        &self,
        request: Request<BuildContextRequest>,
    ) -> Result<Response<BuildContextResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        let query = (1..=MAX_QUERY_BYTES).contains(&request.query.len());
        bad.check(query, "query", "must be 1 to 8,192 bytes");
        let budget = (32..=32_768).contains(&request.token_budget);
        bad.check(budget, "token_budget", "must be 32 to 32,768 tokens");
        for (field, text) in
            [("query", &request.query), ("exclude_session", &request.exclude_session)]
        {
            bad.check(!text.contains('\0'), field, "must not contain NUL");
        }
        bad.finish()?;
        let scope = Scope {
            exclude_session: request.exclude_session.clone(),
            ..Scope::everything(namespace, 50)
        };
        let read = async {
            let packed = self.recall.context(&scope, &request.query, request.token_budget).await;
            let (context, vectors_used) = packed.map_err(failure)?;
            let response = BuildContextResponse {
                context: context.text,
                citations: (1..).zip(context.cited).map(citation).collect(),
                tokens: context.tokens,
            };
            Ok((response, vectors_used))
        };
        self.cached("context", &scope.namespace, &request, read).await
    }

    async fn get_entity(
        &self,
        request: Request<GetEntityRequest>,
    ) -> Result<Response<GetEntityResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        checked_name(&request.name, "name", &mut bad);
        bad.finish()?;
        let read = async {
            let entity = self.store.entity(&namespace, &request.name).await.map_err(failure)?;
            let unknown = || failure(MemoryError::NoEntity(request.name.clone()));
            Ok((entity.map(entity_response).ok_or_else(unknown)?, true))
        };
        self.cached("entity", &namespace, &request, read).await
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
        let request = request.into_inner();
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        bad.check(request.page_size <= 500, "page_size", "must be 1 to 500, or 0 for 50");
        for (field, text) in [("run_id", &request.run_id), ("actor", &request.actor)] {
            bad.check(!text.contains('\0'), field, "must not contain NUL");
        }
        let before = match request.page_token.as_str() {
            "" => Some(i64::MAX),
            token => token.parse().ok(),
        };
        bad.check(before.is_some(), "page_token", "must be a next_page_token or empty");
        bad.finish()?;
        let size = if request.page_size == 0 { 50 } else { request.page_size };
        let actions = self
            .store
            .actions(
                &namespace,
                &request.run_id,
                &request.actor,
                before.unwrap_or(i64::MAX),
                i64::from(size),
            )
            .await
            .map_err(failure)?;
        let full = actions.len() == size as usize;
        let next = actions.last().filter(|_| full).map(|last| last.id.to_string());
        Ok(Response::new(ListActionsResponse {
            actions: actions.into_iter().map(Into::into).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn import_bank(
        &self,
        request: Request<ImportBankRequest>,
    ) -> Result<Response<ImportBankResponse>, Status> {
        let (namespace, documents) = checked_documents(request.into_inner())?;
        let imported = self.store.import(&namespace, documents).await.map_err(failure)?;
        self.written.notify_one();
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
        let documents = self.store.documents(&namespace).await.map_err(failure)?;
        let mut documents: Vec<BankDocument> = documents
            .into_iter()
            .filter(|document| document.path != convert::LEARNED_PATH)
            .map(|document| BankDocument { path: document.path, content: document.content })
            .collect();
        let kinds = vec![Kind::Episode, Kind::Fact];
        let scope = Scope { kinds, ..Scope::everything(namespace, LEARNED) };
        let recent = self.store.recent(&scope).await;
        documents.extend(learned(&recent.map_err(failure)?));
        Ok(Response::new(ExportBankResponse { documents }))
    }

    async fn get_stats(
        &self,
        request: Request<GetStatsRequest>,
    ) -> Result<Response<GetStatsResponse>, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.into_inner().namespace, &mut bad);
        bad.finish()?;
        let counts = self.store.counts(&namespace).await.map_err(failure)?;
        let [episodes, facts, entities, sections] = counts.items.map(i64::unsigned_abs);
        Ok(Response::new(GetStatsResponse {
            episodes,
            facts,
            entities,
            sections,
            actions: counts.actions.unsigned_abs(),
            awaiting_vectors: counts.awaiting_vectors.unsigned_abs(),
            cache_available: self.cache.is_available().await,
        }))
    }
}
