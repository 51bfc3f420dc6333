//! Whether everything is there, and once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use alina_proto::memory::v1::{
    ChangeKind, ExplainRequest, ItemKind, ListActionsRequest, Standing, TimelineEntry,
    TimelineRequest, VerifyActionsRequest, WatchRequest,
};
use alina_testkit::Database;
use sqlx::PgPool;
use uuid::Uuid;

use super::{
    ledger::{Ledger, NAMESPACES, Shown, Written},
    load::id,
};
use crate::Memory;

/// Heads of a chain that are tried; all of the chain is calculated for each.
const HEADS: usize = 20;
/// It is done in the background.
const COUNTED_WITHIN: Duration = Duration::from_secs(60);

/// Whether all items of `ids` are there.
pub(super) async fn nothing_is_lost(database: &Database, ids: &[Uuid]) {
    let pool = database.pool().await;
    let lost = lost(&pool, ids).await;
    assert!(lost.is_empty(), "{lost:?} are lost, of {} acknowledged items", ids.len());
    pool.close().await;
}

async fn lost(pool: &PgPool, ids: &[Uuid]) -> Vec<Uuid> {
    let lost = sqlx::query_scalar(
        "SELECT id FROM unnest($1::uuid[]) AS asked (id)
          WHERE id NOT IN (SELECT id FROM memory.items)",
    );
    lost.bind(ids).fetch_all(pool).await.expect("PostgreSQL answers")
}

/// Whether all that was acknowledged is there, nothing twice, and all that follows from it.
pub(super) async fn everything_is_there_once(
    database: &Database,
    memory: &Memory,
    ledger: &Ledger,
) {
    let pool = database.pool().await;
    items(&pool, ledger).await;
    forgotten(&pool, ledger).await;
    keys(&pool).await;
    words(&pool).await;
    let mut memory = memory.clone();
    for namespace in NAMESPACES {
        actions(&mut memory, ledger, namespace).await;
        chain(&mut memory, ledger, namespace).await;
        changes(&mut memory, ledger, namespace).await;
    }
    let gauges = ledger.gauges.lock().unwrap().clone();
    for ((namespace, gauge), shown) in gauges {
        functional(&mut memory, namespace, &gauge, shown).await;
    }
    let known = ledger.corrected.lock().unwrap().clone();
    for ((namespace, id), retracted) in known {
        corrected(&mut memory, namespace, id, retracted).await;
    }
}

/// The same texts, each once, under the ids that were given.
async fn items(pool: &PgPool, ledger: &Ledger) {
    for (kind, written) in [(1_i16, &ledger.episodes), (2, &ledger.facts)] {
        let written = written.lock().unwrap().clone();
        let stored: Vec<(String, Uuid, String)> = sqlx::query_as(
            "SELECT namespace, id, text FROM memory.items WHERE kind = $1
              ORDER BY namespace, text, id",
        )
        .bind(kind)
        .fetch_all(pool)
        .await
        .expect("PostgreSQL answers");
        let mut known: Vec<(String, Uuid, String)> = written
            .into_iter()
            .map(|Written { namespace, id, text }| (namespace.to_owned(), id, text))
            .collect();
        known.sort_by(|one, other| (&one.0, &one.2, one.1).cmp(&(&other.0, &other.2, other.1)));
        let (stored_once, known_once): (BTreeSet<_>, BTreeSet<_>) =
            (stored.iter().collect(), known.iter().collect());
        let lost: Vec<_> = known_once.difference(&stored_once).take(3).collect();
        let twice: Vec<_> = stored_once.difference(&known_once).take(3).collect();
        assert!(lost.is_empty() && twice.is_empty(), "lost: {lost:?}; written twice: {twice:?}");
        assert_eq!(stored.len(), known.len(), "each is acknowledged once");
    }
}

/// Nothing of what was forgotten, and nothing else of it either.
async fn forgotten(pool: &PgPool, ledger: &Ledger) {
    let forgotten = ledger.forgotten.lock().unwrap().clone();
    let (mut ids, mut texts) = (Vec::new(), Vec::new());
    for one in forgotten {
        ids.extend(one.ids);
        texts.push(one.text);
    }
    assert_eq!(lost(pool, &ids).await.len(), ids.len(), "what is forgotten is gone");
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM memory.items WHERE text = ANY($1))
              + (SELECT count(*) FROM memory.entities WHERE name LIKE 'safe %' AND NOT EXISTS (
                   SELECT FROM memory.facts WHERE subject_id = entities.id))",
    )
    .bind(texts)
    .fetch_one(pool)
    .await
    .expect("PostgreSQL answers");
    assert_eq!(left, 0, "nothing is left of what is forgotten");
}

/// No key was taken without what it stands for.
async fn keys(pool: &PgPool) {
    let half: i64 =
        sqlx::query_scalar("SELECT count(*) FROM memory.idempotency_keys WHERE answer = 'null'")
            .fetch_one(pool)
            .await
            .expect("PostgreSQL answers");
    assert_eq!(half, 0);
}

/// Each word of each item is counted once, in the end.
pub(super) async fn words(pool: &PgPool) {
    let begun = Instant::now();
    loop {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM memory.uncounted")
            .fetch_one(pool)
            .await
            .expect("PostgreSQL answers");
        if left == 0 {
            break;
        }
        assert!(begun.elapsed() < COUNTED_WITHIN, "{left} items stay uncounted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let wrong: i64 = sqlx::query_scalar(
        "SELECT count(*)
           FROM memory.terms AS told FULL JOIN (
             SELECT namespace, lexeme, count(*) AS items
               FROM memory.items, unnest(tsvector_to_array(tsv) || '{\"\"}'::text[]) AS lexeme
              GROUP BY namespace, lexeme) AS held USING (namespace, lexeme)
          WHERE told.items IS DISTINCT FROM held.items",
    )
    .fetch_one(pool)
    .await
    .expect("PostgreSQL answers");
    assert_eq!(wrong, 0, "words are counted otherwise than they are written");
}

async fn actions(memory: &mut Memory, ledger: &Ledger, namespace: &str) {
    let (mut stored, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListActionsRequest {
            namespace: namespace.to_owned(),
            page_size: 500,
            page_token,
            ..ListActionsRequest::default()
        };
        let page = memory.list_actions(request).await.expect("a page").into_inner();
        // Forget tells of itself in the log.
        let done = page.actions.into_iter().filter(|action| action.action == "does");
        stored.extend(done.map(|action| action.summary));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut known = ledger.actions.lock().unwrap()[namespace].clone();
    known.sort();
    stored.sort();
    assert!(stored == known, "{} actions are known, {} stored", known.len(), stored.len());
}

/// Every head that was ever told is still a place of the chain.
async fn chain(memory: &mut Memory, ledger: &Ledger, namespace: &str) {
    let heads = ledger.heads.lock().unwrap()[namespace].clone();
    let every = heads.len().div_ceil(HEADS);
    for (known_position, known_hash) in heads.into_iter().rev().step_by(every) {
        let namespace = namespace.to_owned();
        let request = VerifyActionsRequest { namespace, known_position, known_hash };
        let verified = memory.verify_actions(request).await.expect("it is verified").into_inner();
        assert!(verified.intact && verified.length >= known_position, "{verified:?}");
    }
}

/// Numbers without gaps; everything that was written is told once.
async fn changes(memory: &mut Memory, ledger: &Ledger, namespace: &str) {
    let request =
        WatchRequest { namespace: namespace.to_owned(), after_sequence: 0, until_now: true };
    let mut changes = memory.watch(request).await.expect("it is watched").into_inner();
    let (mut recorded, mut number) = (BTreeMap::<Uuid, u32>::new(), 0);
    while let Some(change) = changes.message().await.expect("no error") {
        number += 1;
        assert_eq!(change.sequence, number, "numbers have no gaps");
        if change.kind() == ChangeKind::Recorded && change.item_kind() != ItemKind::Entity {
            *recorded.entry(id(&change.id)).or_default() += 1;
        }
    }
    let (episodes, facts) = (ledger.episodes.lock().unwrap(), ledger.facts.lock().unwrap());
    for written in episodes.iter().chain(facts.iter()) {
        let expected = (written.namespace == namespace).then_some(1);
        assert_eq!(recorded.get(&written.id).copied(), expected, "{written:?}");
    }
}

async fn timeline(
    memory: &mut Memory,
    namespace: &str,
    entity: &str,
    predicate: &str,
) -> Vec<TimelineEntry> {
    let request = TimelineRequest {
        namespace: namespace.to_owned(),
        entity: entity.to_owned(),
        predicate: predicate.to_owned(),
        page_size: 500,
        ..TimelineRequest::default()
    };
    memory.timeline(request).await.expect("a timeline").into_inner().entries
}

/// Each ends where the next begins, and what rests on one that ended is stale.
async fn functional(memory: &mut Memory, namespace: &str, gauge: &str, mut shown: Vec<Shown>) {
    shown.sort_by_key(|shown| shown.from);
    let ends = shown.iter().skip(1).map(|next| Some(next.from)).chain([None]);
    let expected: Vec<_> = shown
        .iter()
        .zip(ends)
        .map(|(shown, end)| (shown.object.clone(), shown.from, end))
        .collect();
    let shows: Vec<_> = timeline(memory, namespace, gauge, "shows")
        .await
        .into_iter()
        .filter_map(|entry| entry.fact)
        .map(|fact| {
            let begins = fact.valid_from.expect("it begins").seconds;
            (fact.object, begins, fact.valid_to.map(|end| end.seconds))
        })
        .collect();
    assert_eq!(shows, expected, "{gauge}");
    let last = shown.last().map(|shown| shown.object.clone());
    for fact in timeline(memory, namespace, gauge, "rings").await {
        let fact = fact.fact.expect("a fact");
        assert_eq!(fact.stale, Some(&fact.object) != last.as_ref(), "{fact:?}");
    }
}

async fn corrected(memory: &mut Memory, namespace: &str, id: Uuid, retracted: bool) {
    let request = ExplainRequest {
        namespace: namespace.to_owned(),
        id: id.to_string(),
        ..ExplainRequest::default()
    };
    let told = memory.explain(request).await.expect("it is explained").into_inner();
    let expected = if retracted { Standing::Retracted } else { Standing::Holds };
    assert_eq!(told.reasons[0].standing(), expected, "{:?}", told.reasons[0]);
}
