//! Contexts: what a model is given to know.

use alina_proto::{
    memory::v1::{
        BuildContextRequest, BuildContextResponse, Citation, ContextProfile, ItemKind, SearchResult,
    },
    time::timestamp,
};
use alina_service::status::Violations;
use tonic::{Response, Status};

use super::{
    Grpc, MAX_QUERY_BYTES,
    cached::When,
    convert::{checked_namespace, citation, result_response, short, time},
    failure::failure,
};
use crate::{
    knowledge::{
        brief::{Line, Source},
        ranking::Found,
    },
    recall::Doubts,
    store::Scope,
};

/// A request that can be served.
struct Asked {
    scope: Scope,
    profile: ContextProfile,
    as_of_is_given: bool,
}

fn checked(request: &BuildContextRequest) -> Result<Asked, Status> {
    let mut bad = Violations::default();
    let namespace = checked_namespace(&request.namespace, &mut bad);
    let profile = ContextProfile::try_from(request.profile).ok();
    bad.check(profile.is_some(), "profile", "must be UNSPECIFIED or SESSION_START");
    let profile = profile.unwrap_or_default();
    let least = usize::from(profile == ContextProfile::Unspecified);
    let query = (least..=MAX_QUERY_BYTES).contains(&request.query.len());
    let rule = "must be 1 to 8,192 bytes; it may be empty for the profile SESSION_START";
    bad.check(query, "query", rule);
    let budget = (32..=32_768).contains(&request.token_budget);
    bad.check(budget, "token_budget", "must be 32 to 32,768 tokens");
    bad.check(!request.query.contains('\0'), "query", "must not contain NUL");
    short(&request.exclude_session, "exclude_session", &mut bad);
    let as_of = time(request.as_of.as_ref(), "as_of", &mut bad);
    let known_at = time(request.known_at.as_ref(), "known_at", &mut bad);
    bad.finish()?;
    let everything = Scope::everything(namespace, 50);
    let scope = Scope {
        exclude_session: request.exclude_session.clone(),
        as_of: as_of.unwrap_or(everything.as_of),
        known_at,
        include_stale: request.include_stale.unwrap_or(true),
        ..everything
    };
    Ok(Asked { scope, profile, as_of_is_given: as_of.is_some() })
}

impl Grpc {
    pub(super) async fn context(
        &self,
        request: BuildContextRequest,
    ) -> Result<Response<BuildContextResponse>, Status> {
        let asked = checked(&request)?;
        match asked.profile {
            ContextProfile::Unspecified => self.by_query(&asked.scope, &request).await,
            ContextProfile::SessionStart => self.session_start(&asked, &request).await,
        }
    }

    async fn by_query(
        &self,
        scope: &Scope,
        request: &BuildContextRequest,
    ) -> Result<Response<BuildContextResponse>, Status> {
        let read = Box::pin(async {
            let packed = self.recall.context(scope, &request.query, request.token_budget).await;
            let (context, mut doubts, vectors_used) = packed.map_err(failure)?;
            let response = BuildContextResponse {
                context: context.text,
                citations: (1..)
                    .zip(context.cited)
                    .map(|(number, found)| citation(number, found, &mut doubts))
                    .collect(),
                tokens: context.tokens,
            };
            Ok((response, vectors_used))
        });
        let when = When::of(request.as_of.as_ref(), &scope.view());
        self.cached("context", &scope.namespace, when, request, read).await
    }

    async fn session_start(
        &self,
        Asked { scope, as_of_is_given, .. }: &Asked,
        request: &BuildContextRequest,
    ) -> Result<Response<BuildContextResponse>, Status> {
        let read = Box::pin(async {
            let (query, budget) = (request.query.as_str(), request.token_budget);
            let brief = self.recall.session_start(scope, query, *as_of_is_given, budget).await;
            let (brief, lasts) = brief.map_err(failure)?;
            let response = BuildContextResponse {
                context: brief.text,
                citations: (1..)
                    .zip(brief.cited)
                    .map(|(number, line)| cited(number, line))
                    .collect(),
                tokens: brief.tokens,
            };
            Ok((response, lasts))
        });
        // Entries of the log leave the namespace's version alone.
        let head = self.store.head(&scope.namespace).await.map_err(failure)?;
        let when = When::of(request.as_of.as_ref(), &scope.view());
        self.cached(&format!("brief:{head}"), &scope.namespace, when, request, read).await
    }
}

fn cited(number: u32, Line { source, reasons, doubts }: Line) -> Citation {
    let item = match source {
        Source::Item(item) => {
            let mut why = Doubts::from([(item.id, doubts)]);
            result_response(Found { reasons, ..Found::recent(item) }, &mut why)
        }
        Source::Action(id, entry) => SearchResult {
            id: id.to_string(),
            kind: ItemKind::Action.into(),
            text: entry.what.summary,
            reasons,
            source: entry.what.action,
            actor: entry.what.actor,
            session: entry.what.run_id,
            valid_from: Some(timestamp(entry.at)),
            recorded_at: Some(timestamp(entry.at)),
            ..SearchResult::default()
        },
    };
    Citation { label: format!("[{number}]"), item: Some(item) }
}
