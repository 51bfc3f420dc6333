//! Finding what matters: candidates by words, by meaning, by time and by the graph, fused into a
//! pool; the pool, with what was said beside its best, ranked by what speaks for each.

mod brief;

use std::{collections::HashMap, sync::Arc, time::Duration};

use alina_client::{PeerChannel, deadline};
use alina_proto::inference::v1::{EmbedRequest, inference_service_client::InferenceServiceClient};
use chrono::{DateTime, Utc};
use pgvector::HalfVector;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{
    error::MemoryError,
    knowledge::{
        Kind,
        context::{self, Context},
        fusion::{self, Fused, Ranking},
        pool::{Link, Pool},
        question::{Question, Side, misspelt_names, possible_names},
        ranking::{self, Found},
        signals,
        time::Span,
    },
    store::{DIMENSIONS, Linked, Look, Scope, Store, Terms, weight},
};

/// How long the query's vector is waited for.
const EMBED_WITHIN: Duration = Duration::from_secs(2);
/// Of each ranking that is fused.
const DEPTH: i64 = 40;
/// So many of the best fused are measured; more when more are asked for.
const POOL: usize = 80;
/// So many of the best fused have what was said beside them looked at.
const SEEDS: usize = 20;
/// A context is filled up with the latest when fewer were found.
const ENOUGH: usize = 8;
/// A longer span of time holds too much to bring candidates of its own.
const SELECTIVE_DAYS: i64 = 100;
/// So many spans bring candidates of their own: a month of any year is many.
const SELECTIVE_SPANS: usize = 16;

/// Reads the store with the help of the embedding model.
#[derive(Debug, Clone)]
pub(crate) struct Recall {
    store: Store,
    inference: InferenceServiceClient<PeerChannel>,
    /// A search keeps its connection while the model calculates: some are left for others.
    places: Arc<Semaphore>,
}

/// Why facts are stale, by their ids.
pub(crate) type Doubts = HashMap<Uuid, Vec<String>>;

/// What was found.
pub(crate) struct Answer {
    pub(crate) found: Vec<Found>,
    /// Why those of it are stale that are.
    pub(crate) doubts: Doubts,
    pub(crate) vectors_used: bool,
}

impl Recall {
    /// Over a store of so many connections.
    pub(crate) fn new(
        store: Store,
        inference: InferenceServiceClient<PeerChannel>,
        connections: u32,
    ) -> Self {
        let places = usize::try_from(connections * 3 / 4).unwrap_or(1).max(1);
        Self { store, inference, places: Arc::new(Semaphore::new(places)) }
    }

    /// The best of `scope` for `query`.
    pub(crate) async fn search(&self, scope: &Scope, query: &str) -> Result<Answer, MemoryError> {
        self.search_from(scope, query, scope.as_of).await
    }

    /// The best of `scope` for `query`, with how long ago it was told from `now`.
    async fn search_from(
        &self,
        scope: &Scope,
        query: &str,
        now: DateTime<Utc>,
    ) -> Result<Answer, MemoryError> {
        let (found, vectors_used, look) = Box::pin(self.best(scope, query, now)).await?;
        let (found, doubts) = seen(look, scope, found).await?;
        Ok(Answer { found, doubts, vectors_used })
    }

    /// The best of `scope` for `query`, each as it was when it was found, and whether vectors took
    /// part; with the look, for what else is asked of the same state.
    async fn best(
        &self,
        scope: &Scope,
        query: &str,
        now: DateTime<Utc>,
    ) -> Result<(Vec<Found>, bool, Look), MemoryError> {
        let limit = usize::try_from(scope.limit).unwrap_or(usize::MAX);
        let deep = Scope { limit: scope.limit.max(DEPTH), ..scope.clone() };
        let (names, misspelt) = (possible_names(query), misspelt_names(query));
        let _place = self.places.acquire().await.ok();
        let mut look = self.store.look().await?;
        let called = look.called(&scope.namespace, &names, &misspelt).await?;
        let mut question = Question::read(query, &called, scope.as_of);
        // The model calculates while the database looks for words and names.
        let (found, vector) = tokio::join!(
            found_by_names(&mut look, &deep, &question.content, (&names, &misspelt)),
            self.vector_of(&question.content),
        );
        let (terms, mut words, linked) = found?;
        if vector.is_none() && !terms.select() {
            words = look.by_words(&deep, &terms).await?;
        }
        resolve_event(&mut look, &deep, &mut question).await?;
        let mut rankings = vec![("text", words)];
        if let Some(vector) = &vector {
            let few = terms.of_few();
            let (nearest, theirs) = look.by_vector(&deep, vector, &question.actors, few).await?;
            rankings.extend([("vector", nearest), ("actor", theirs)]);
        }
        more_rankings(&mut look, &deep, &question, vector.as_ref(), &linked, &mut rankings).await?;
        let mut fused = fusion::fuse(&rankings);
        // Some say the same and are given once.
        fused.truncate(POOL.max(limit.saturating_mul(2)));
        let pool = pool(&mut look, &deep, &fused, linked, &terms, vector.as_ref()).await?;
        let weights = terms.weights().unwrap_or_else(|| of_pool(&terms, &pool));
        let found = ranking::rank(&question, &weights, pool, now, limit);
        Ok((found, vector.is_some(), look))
    }

    /// The best for `query`, and the latest, packed into `budget` tokens.
    pub(crate) async fn context(
        &self,
        scope: &Scope,
        query: &str,
        budget: u32,
    ) -> Result<(Context, Doubts, bool), MemoryError> {
        let (mut found, vectors_used, mut look) =
            Box::pin(self.best(scope, query, scope.as_of)).await?;
        // An entity's bare name tells nothing.
        found.retain(|found| found.item.kind != Kind::Entity);
        if found.len() < ENOUGH {
            let kinds = vec![Kind::Episode, Kind::Fact];
            let recent = Scope { kinds, limit: ENOUGH as i64, ..scope.clone() };
            for late in look.recent(&recent).await?.into_iter().map(Found::recent) {
                if found.iter().all(|found| found.item.text != late.item.text) {
                    found.push(late);
                }
            }
        }
        // All at once: what is seen one after the other may not hold at the same time.
        let (found, doubts) = seen(look, scope, found).await?;
        Ok((packed(found, &doubts, budget), doubts, vectors_used))
    }

    async fn vector_of(&self, query: &str) -> Option<HalfVector> {
        let request = EmbedRequest {
            texts: vec![query.to_owned()],
            agent: "memory".to_owned(),
            ..EmbedRequest::default()
        };
        let mut inference = self.inference.clone();
        let embedded = deadline::within(EMBED_WITHIN, inference.embed(request)).await;
        match embedded {
            Ok(answer) => {
                let vector = answer.into_inner().embeddings.pop()?.values;
                // Another model than the stored vectors are of: words alone must do.
                (vector.len() == DIMENSIONS).then(|| HalfVector::from_f32_slice(&vector))
            }
            Err(status) => {
                tracing::debug!(%status, "searching without vectors");
                None
            }
        }
    }
}

/// What words and names bring: the terms of the content, what they occur in, what the graph links.
async fn found_by_names(
    look: &mut Look,
    scope: &Scope,
    content: &str,
    (names, misspelt): (&[String], &[String]),
) -> Result<(Terms, Vec<Uuid>, Vec<Linked>), MemoryError> {
    let terms = look.terms(&scope.namespace, content).await?;
    let words = if terms.select() { look.by_words(scope, &terms).await? } else { Vec::new() };
    let linked = look.linked(scope, names, misspelt).await?;
    Ok((terms, words, linked))
}

/// Candidates by what else the question names, added to `rankings`.
async fn more_rankings(
    look: &mut Look,
    scope: &Scope,
    question: &Question,
    vector: Option<&HalfVector>,
    linked: &[Linked],
    rankings: &mut Vec<Ranking>,
) -> Result<(), MemoryError> {
    let actors = &question.actors;
    // A name alone asks for what its bearer said.
    if rankings.iter().all(|(_, ids)| ids.is_empty()) && !actors.is_empty() {
        rankings.push(("actor", look.by_actors(scope, actors).await?));
    }
    let selective = |span: &&Span| span.days() <= SELECTIVE_DAYS;
    for span in question.spans.iter().filter(selective).rev().take(SELECTIVE_SPANS) {
        let of_time = look.by_time(scope, span, vector).await?;
        if !of_time.is_empty() {
            rankings.push(("time", of_time));
            break;
        }
    }
    if !linked.is_empty() {
        rankings.push(("graph", linked.iter().map(|linked| linked.id).collect()));
    }
    Ok(())
}

/// What was fused, with what was said beside the best of it.
async fn pool(
    look: &mut Look,
    scope: &Scope,
    fused: &[Fused],
    linked: Vec<Linked>,
    terms: &Terms,
    vector: Option<&HalfVector>,
) -> Result<Pool, MemoryError> {
    let ids: Vec<Uuid> = fused.iter().map(|fused| fused.id).collect();
    let seeds = &ids[..ids.len().min(SEEDS)];
    let mut pool = look.pool(scope, &ids, seeds, terms, vector).await?;
    let mut places: HashMap<_, _> =
        fused.iter().map(|fused| (fused.id, fused.places.clone())).collect();
    let mut links: HashMap<_, Link> =
        linked.into_iter().map(|linked| (linked.id, linked.link)).collect();
    for candidate in &mut pool.candidates {
        candidate.places = places.remove(&candidate.item.id).unwrap_or_default();
        candidate.link = links.remove(&candidate.item.id);
    }
    Ok(pool)
}

/// "before the move": the time of what fits "the move" best stands for it.
async fn resolve_event(
    look: &mut Look,
    scope: &Scope,
    question: &mut Question,
) -> Result<(), MemoryError> {
    let Some((side, event)) = &question.event else { return Ok(()) };
    let terms = look.terms(&scope.namespace, event).await?;
    // What is told of ten thousand times is no event, and takes long to look for.
    if !terms.select() {
        return Ok(());
    }
    let best = Scope { limit: 1, ..scope.clone() };
    let ids = look.by_words(&best, &terms).await?;
    let pool = look.pool(&best, &ids, &[], &terms, None).await?;
    let weights = terms.weights().unwrap_or_else(|| of_pool(&terms, &pool));
    let fitting = pool.candidates.iter().find(|found| signals::fits(found.terms, &weights));
    if let Some(found) = fitting {
        let day = found.item.valid_from.date_naive();
        question.spans = vec![match side {
            // Of the day itself nobody knows.
            Side::Before => Span::before(day.succ_opt().unwrap_or(day)),
            Side::After => Span::since(day),
        }];
    }
    Ok(())
}

/// What was found as it was believed at the time asked for, with why it is stale.
async fn seen(
    look: Look,
    scope: &Scope,
    mut found: Vec<Found>,
) -> Result<(Vec<Found>, Doubts), MemoryError> {
    let ids: Vec<Uuid> = found.iter().map(|found| found.item.id).collect();
    let mut seen = look.seen(&scope.namespace, &ids, &scope.view()).await?;
    let mut doubts = Doubts::new();
    // What row-level security does not show is nobody's to see.
    found.retain_mut(|found| {
        let Some(seen) = seen.remove(&found.item.id) else { return false };
        (found.item.valid_from, found.item.valid_to) = (seen.valid_from, seen.valid_to);
        if !seen.doubts.is_empty() {
            doubts.insert(found.item.id, seen.doubts);
        }
        true
    });
    Ok((found, doubts))
}

/// Packs a context whose lines say of stale facts that they are; their citations have the plain text.
fn packed(mut found: Vec<Found>, doubts: &Doubts, budget: u32) -> Context {
    let mut plain = HashMap::new();
    for found in &mut found {
        if let Some(doubts) = doubts.get(&found.item.id) {
            // In front: what is too long is cut behind.
            let why = doubts.first().map_or("", String::as_str);
            let marked = format!("(stale, for {why}) {}", found.item.text);
            plain.insert(found.item.id, std::mem::replace(&mut found.item.text, marked));
        }
    }
    let mut context = context::pack(found, budget);
    for cited in &mut context.cited {
        if let Some(text) = plain.remove(&cited.item.id) {
            cited.item.text = text;
        }
    }
    context
}

/// Weights of terms in a store that is not counted yet: by how many of the pool have them.
fn of_pool(terms: &Terms, pool: &Pool) -> Vec<f64> {
    let all = i64::try_from(pool.candidates.len()).unwrap_or(i64::MAX);
    (0..terms.queries.len())
        .map(|n| {
            let having = pool.candidates.iter().filter(|one| one.terms >> n & 1 == 1).count();
            weight(i64::try_from(having).unwrap_or(all), all)
        })
        .collect()
}
