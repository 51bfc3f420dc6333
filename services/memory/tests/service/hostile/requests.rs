//! A request of each method.

use alina_proto::memory::v1::{
    BankDocument, BuildContextRequest, DescribeEntityRequest, EditDocumentRequest, Episode,
    ExplainRequest, ExportBankRequest, ExportNamespaceRequest, ForgetRequest, GetDocumentRequest,
    GetEntityRequest, GetStatsRequest, ImportBankRequest, ListActionsRequest, ListDocumentsRequest,
    ListMergeSuggestionsRequest, LogActionRequest, MergeEntitiesRequest, NeighborsRequest,
    PathRequest, RememberRequest, RestoreRequest, RetractRequest, ReviseRequest, SearchRequest,
    SyncBankRequest, TimelineRequest, UnmergeEntityRequest, VerifyActionsRequest, WatchRequest,
    edit_document_request::Edit, forget_request::Target,
};
use bytes::Bytes;
use prost::Message;

use super::raw::TextField;
use crate::fact;

/// An id that nothing has.
pub(super) const NOWHERE: &str = "00000000-0000-7000-8000-000000000000";

/// A request of each method that is served as it is.
pub(super) fn base(method: &str) -> Vec<u8> {
    let namespace = || "mine".to_owned();
    let id = || NOWHERE.to_owned();
    let ana = || "Ana".to_owned();
    match method {
        "Remember" => {
            let episode = Episode { text: "said".to_owned(), ..Episode::default() };
            let (episode, facts) = (Some(episode), vec![fact("Ana", "likes", "tea")]);
            RememberRequest { namespace: namespace(), episode, facts, ..Default::default() }
                .encode_to_vec()
        }
        "Search" => {
            SearchRequest { namespace: namespace(), query: "tea".to_owned(), ..Default::default() }
                .encode_to_vec()
        }
        "BuildContext" => BuildContextRequest {
            namespace: namespace(),
            query: "tea".to_owned(),
            token_budget: 1_000,
            ..Default::default()
        }
        .encode_to_vec(),
        "GetEntity" => {
            GetEntityRequest { namespace: namespace(), name: ana(), ..Default::default() }
                .encode_to_vec()
        }
        "DescribeEntity" => {
            DescribeEntityRequest { namespace: namespace(), name: ana(), ..Default::default() }
                .encode_to_vec()
        }
        "MergeEntities" => MergeEntitiesRequest {
            namespace: namespace(),
            into: ana(),
            from: ana(),
            ..Default::default()
        }
        .encode_to_vec(),
        "UnmergeEntity" => {
            UnmergeEntityRequest { namespace: namespace(), name: ana(), ..Default::default() }
                .encode_to_vec()
        }
        "ListMergeSuggestions" => {
            ListMergeSuggestionsRequest { namespace: namespace(), ..Default::default() }
                .encode_to_vec()
        }
        "Retract" => RetractRequest { namespace: namespace(), id: id(), ..Default::default() }
            .encode_to_vec(),
        "Restore" => RestoreRequest { namespace: namespace(), id: id() }.encode_to_vec(),
        "Revise" => {
            ReviseRequest { namespace: namespace(), id: id(), ..Default::default() }.encode_to_vec()
        }
        "Explain" => ExplainRequest { namespace: namespace(), id: id(), ..Default::default() }
            .encode_to_vec(),
        "Timeline" => {
            TimelineRequest { namespace: namespace(), entity: ana(), ..Default::default() }
                .encode_to_vec()
        }
        "Neighbors" => {
            NeighborsRequest { namespace: namespace(), entity: ana(), ..Default::default() }
                .encode_to_vec()
        }
        "Path" => {
            PathRequest { namespace: namespace(), from: ana(), to: ana(), ..Default::default() }
                .encode_to_vec()
        }
        "Forget" => ForgetRequest {
            namespace: namespace(),
            target: Some(Target::Session("none".to_owned())),
            dry_run: true,
            ..Default::default()
        }
        .encode_to_vec(),
        "Watch" => WatchRequest { namespace: namespace(), until_now: true, ..Default::default() }
            .encode_to_vec(),
        "LogAction" => LogActionRequest {
            namespace: namespace(),
            actor: "agent:planner".to_owned(),
            action: "run.finished".to_owned(),
            summary: "done".to_owned(),
            ..Default::default()
        }
        .encode_to_vec(),
        "ListActions" => {
            ListActionsRequest { namespace: namespace(), ..Default::default() }.encode_to_vec()
        }
        "VerifyActions" => {
            VerifyActionsRequest { namespace: namespace(), ..Default::default() }.encode_to_vec()
        }
        "ImportBank" => {
            let document = BankDocument { path: "a.md".to_owned(), content: "# A\nb\n".to_owned() };
            ImportBankRequest { namespace: namespace(), documents: vec![document] }.encode_to_vec()
        }
        "ListDocuments" => {
            ListDocumentsRequest { namespace: namespace(), ..Default::default() }.encode_to_vec()
        }
        "GetDocument" => {
            GetDocumentRequest { namespace: namespace(), path: "a.md".to_owned() }.encode_to_vec()
        }
        "EditDocument" => EditDocumentRequest {
            namespace: namespace(),
            path: "a.md".to_owned(),
            edit: Some(Edit::Append("more".to_owned())),
            ..Default::default()
        }
        .encode_to_vec(),
        "SyncBank" => {
            SyncBankRequest { namespace: namespace(), ..Default::default() }.encode_to_vec()
        }
        "ExportBank" => ExportBankRequest { namespace: namespace() }.encode_to_vec(),
        "ExportNamespace" => {
            ExportNamespaceRequest { namespace: namespace(), ..Default::default() }.encode_to_vec()
        }
        "GetStats" => GetStatsRequest { namespace: namespace() }.encode_to_vec(),
        _ => panic!("{method} is new: give it a request here that is served"),
    }
}

/// A request with one field of text set to `text`.
pub(super) fn with(method: &str, field: &TextField, text: &[u8]) -> Bytes {
    [base(method), field.set(text)].concat().into()
}
