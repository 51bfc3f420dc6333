//! Writing episodes and facts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Key, Store,
    belief::{Spot, note_staleness, settle},
    changes::Changes,
    entities::{by_name, found_or_made},
    insert_item, new_id, now,
    resolution::resolved,
    tenant::lock_beliefs,
};
use crate::{
    error::MemoryError,
    knowledge::{Item, Kind, Namespace, NewEpisode, NewFact, belief::ChangeKind},
};

/// What was written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Remembered {
    /// When an episode was given.
    pub episode_id: Option<Uuid>,
    /// In the order of the facts.
    pub fact_ids: Vec<Uuid>,
    /// Those that are stale from the start.
    #[serde(default)]
    pub stale: Vec<Uuid>,
    /// Whether it was written by an earlier request with the same key.
    #[serde(skip)]
    pub repeated: bool,
}

/// Where facts come from and of when they are.
#[derive(Default)]
pub(super) struct Origin {
    pub(super) source: String,
    pub(super) actor: String,
    pub(super) session: String,
    pub(super) happened: DateTime<Utc>,
    pub(super) episode: Option<Uuid>,
    /// Whether names were read out of a text: they may be spelt otherwise than what they stand for.
    pub(super) extracted: bool,
}

impl Origin {
    fn item(&self, kind: Kind, text: String, recorded_at: DateTime<Utc>) -> Item {
        Item {
            id: new_id(),
            kind,
            text,
            source: self.source.clone(),
            actor: self.actor.clone(),
            session: self.session.clone(),
            valid_from: self.happened,
            valid_to: None,
            recorded_at,
        }
    }
}

impl Origin {
    /// The entity that a name stands for.
    async fn entity(
        &self,
        connection: &mut PgConnection,
        namespace: &Namespace,
        name: &str,
        kind: &str,
        at: DateTime<Utc>,
        changes: &mut Changes,
    ) -> Result<Uuid, MemoryError> {
        if self.extracted
            && by_name(connection, namespace, name).await?.is_none()
            && let Some(known) = resolved(connection, namespace, name).await?
        {
            return Ok(known);
        }
        found_or_made(connection, namespace, name, kind, at, changes).await
    }
}

impl Store {
    /// Writes an episode and facts in one transaction.
    ///
    /// # Errors
    /// When something a fact is derived from is unknown.
    pub async fn remember(
        &self,
        namespace: &Namespace,
        key: Option<&Key>,
        episode: Option<NewEpisode>,
        facts: Vec<NewFact>,
    ) -> Result<Remembered, MemoryError> {
        let episode = match episode {
            // Its id is the answer: it is kept with the key at once.
            Some(episode) if facts.is_empty() => {
                let batch = vec![(key.cloned(), episode)];
                let mut outcomes = self.remember_episodes(namespace, batch).await?;
                return outcomes.pop().unwrap_or_else(|| Ok(Remembered::default()));
            }
            episode => episode,
        };
        let mut transaction = self.begin(namespace).await?;
        if let Some(key) = key
            && let Some(answer) = key.answer(&mut transaction, namespace).await?
        {
            let earlier: Remembered = serde_json::from_value(answer)?;
            return Ok(Remembered { repeated: true, ..earlier });
        }
        if !facts.is_empty() {
            lock_beliefs(&mut transaction, namespace).await?;
        }
        let recorded_at = now();
        let mut changes = Changes::default();
        let mut origin = Origin { happened: recorded_at, ..Origin::default() };
        if let Some(episode) = episode {
            origin = Origin {
                source: episode.source,
                actor: episode.actor,
                session: episode.session,
                happened: episode.occurred_at.unwrap_or(recorded_at),
                episode: None,
                extracted: false,
            };
            let item = origin.item(Kind::Episode, episode.text, recorded_at);
            insert_item(&mut transaction, namespace, &item).await?;
            changes.note(ChangeKind::Recorded, item.id, Kind::Episode);
            origin.episode = Some(item.id);
        }
        let (fact_ids, stale) =
            write_facts(&mut transaction, namespace, &origin, &facts, recorded_at, &mut changes)
                .await?;
        let written = Remembered { episode_id: origin.episode, fact_ids, stale, repeated: false };
        if let Some(key) = key {
            key.keep(&mut transaction, namespace, &serde_json::to_value(&written)?).await?;
        }
        changes.finish(&mut transaction, namespace, recorded_at).await?;
        transaction.commit().await?;
        Ok(written)
    }
}

/// Writes facts, lets them end others, and marks what became stale; gives their ids and those that
/// are stale from the start.
pub(super) async fn write_facts(
    connection: &mut PgConnection,
    namespace: &Namespace,
    origin: &Origin,
    facts: &[NewFact],
    at: DateTime<Utc>,
    changes: &mut Changes,
) -> Result<(Vec<Uuid>, Vec<Uuid>), MemoryError> {
    let mut ids = Vec::with_capacity(facts.len());
    let mut ended = Vec::new();
    for fact in facts {
        let (id, spot) = write_fact(connection, namespace, origin, fact, at, changes).await?;
        ended.extend(settle(connection, &spot, at).await?);
        changes.note(ChangeKind::Recorded, id, Kind::Fact);
        ids.push(id);
    }
    ended.retain(|id| !ids.contains(id));
    ended.sort_unstable();
    ended.dedup();
    for id in &ended {
        changes.note(ChangeKind::Revised, *id, Kind::Fact);
    }
    for (fact, id) in facts.iter().zip(&ids) {
        let of_request =
            fact.derived_from_facts.iter().filter_map(|place| ids.get(*place).copied());
        let grounds = fact.derived_from.iter().copied().chain(of_request).chain(origin.episode);
        link(connection, namespace, *id, grounds.collect()).await?;
    }
    if facts.is_empty() {
        return Ok((ids, ended));
    }
    let mut stale = note_staleness(connection, &ended, &ids, at, changes).await?.now_stale;
    stale.retain(|id| ids.contains(id));
    Ok((ids, stale))
}

async fn write_fact(
    connection: &mut PgConnection,
    namespace: &Namespace,
    origin: &Origin,
    fact: &NewFact,
    at: DateTime<Utc>,
    changes: &mut Changes,
) -> Result<(Uuid, Spot), MemoryError> {
    let subject = origin
        .entity(connection, namespace, &fact.subject, &fact.subject_type, at, changes)
        .await?;
    let object = if fact.object_is_entity {
        let kind = &fact.object_type;
        Some(origin.entity(connection, namespace, &fact.object, kind, at, changes).await?)
    } else {
        None
    };
    let item = Item {
        valid_from: fact.valid_from.unwrap_or(origin.happened),
        valid_to: fact.valid_to,
        ..origin.item(Kind::Fact, fact.sentence(), at)
    };
    insert_item(connection, namespace, &item).await?;
    sqlx::query(
        "INSERT INTO facts (id, namespace, subject_id, predicate, object, object_id, episode_id,
                            functional, stated_to)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(item.id)
    .bind(&namespace.0)
    .bind(subject)
    .bind(&fact.predicate)
    .bind(&fact.object)
    .bind(object)
    .bind(origin.episode)
    .bind(fact.functional)
    .bind(fact.valid_to)
    .execute(connection)
    .await?;
    let (from, predicate) = (item.valid_from, fact.predicate.clone());
    Ok((item.id, Spot { subject, predicate, from, to: from }))
}

/// Lets a fact rest on `grounds`.
async fn link(
    connection: &mut PgConnection,
    namespace: &Namespace,
    fact: Uuid,
    mut grounds: Vec<Uuid>,
) -> Result<(), MemoryError> {
    grounds.sort_unstable();
    grounds.dedup();
    if grounds.is_empty() {
        return Ok(());
    }
    // Rows of other namespaces are not seen.
    let linked: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO grounds (fact_id, ground_id, namespace)
         SELECT $1, id, $2 FROM items
          WHERE id = ANY($3) AND namespace = $2 AND kind IN (1, 2, 4)
         RETURNING ground_id",
    )
    .bind(fact)
    .bind(&namespace.0)
    .bind(&grounds)
    .fetch_all(connection)
    .await?;
    match grounds.iter().find(|ground| !linked.contains(ground)) {
        Some(missing) => Err(MemoryError::NoItem {
            what: "episode, fact or section to derive from",
            id: missing.to_string(),
        }),
        None => Ok(()),
    }
}
