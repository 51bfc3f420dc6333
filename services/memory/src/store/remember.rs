//! Writing episodes and facts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{Key, Store, insert_item, new_id, now, touch};
use crate::{
    error::MemoryError,
    knowledge::{Item, Kind, Namespace, NewEpisode, NewFact},
};

/// What was written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Remembered {
    /// When an episode was given.
    pub episode_id: Option<Uuid>,
    /// In the order of the facts.
    pub fact_ids: Vec<Uuid>,
    /// Whether it was written by an earlier request with the same key.
    #[serde(skip)]
    pub repeated: bool,
}

impl Store {
    /// Writes an episode and facts in one transaction.
    pub async fn remember(
        &self,
        namespace: &Namespace,
        key: Option<&Key>,
        episode: Option<NewEpisode>,
        facts: Vec<NewFact>,
    ) -> Result<Remembered, MemoryError> {
        let mut transaction = self.pool.begin().await?;
        if let Some(key) = key
            && let Some(answer) = key.answer(&mut transaction, namespace).await?
        {
            let earlier: Remembered = serde_json::from_value(answer)?;
            return Ok(Remembered { repeated: true, ..earlier });
        }
        let recorded_at = now();
        let mut written = Remembered { episode_id: None, fact_ids: Vec::new(), repeated: false };
        let mut happened = recorded_at;
        let mut origin = (String::new(), String::new(), String::new());
        if let Some(episode) = episode {
            happened = episode.occurred_at.unwrap_or(recorded_at);
            origin = (episode.source, episode.actor, episode.session);
            let item = Item {
                id: new_id(),
                kind: Kind::Episode,
                text: episode.text,
                source: origin.0.clone(),
                actor: origin.1.clone(),
                session: origin.2.clone(),
                valid_from: happened,
                valid_to: None,
                recorded_at,
            };
            insert_item(&mut transaction, namespace, &item).await?;
            written.episode_id = Some(item.id);
        }
        lock_entities(&mut transaction, namespace, &facts).await?;
        for fact in facts {
            let item = Item {
                id: new_id(),
                kind: Kind::Fact,
                text: fact.sentence(),
                source: origin.0.clone(),
                actor: origin.1.clone(),
                session: origin.2.clone(),
                valid_from: fact.valid_from.unwrap_or(happened),
                valid_to: fact.valid_to,
                recorded_at,
            };
            written.fact_ids.push(item.id);
            write_fact(&mut transaction, namespace, item, &fact, written.episode_id).await?;
        }
        if let Some(key) = key {
            key.keep(&mut transaction, namespace, &serde_json::to_value(&written)?).await?;
        }
        touch(&mut transaction, namespace).await?;
        transaction.commit().await?;
        Ok(written)
    }
}

async fn write_fact(
    connection: &mut PgConnection,
    namespace: &Namespace,
    mut item: Item,
    fact: &NewFact,
    episode_id: Option<Uuid>,
) -> Result<(), MemoryError> {
    let subject = entity(connection, namespace, &fact.subject, item.recorded_at).await?;
    let object = if fact.object_is_entity {
        Some(entity(connection, namespace, &fact.object, item.recorded_at).await?)
    } else {
        None
    };
    if fact.functional {
        let next = make_way(connection, subject, &fact.predicate, item.valid_from).await?;
        item.valid_to = [item.valid_to, next].into_iter().flatten().min();
    }
    insert_item(connection, namespace, &item).await?;
    sqlx::query(
        "INSERT INTO facts (id, namespace, subject_id, predicate, object, object_id, episode_id,
                            functional)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(item.id)
    .bind(&namespace.0)
    .bind(subject)
    .bind(&fact.predicate)
    .bind(&fact.object)
    .bind(object)
    .bind(episode_id)
    .bind(fact.functional)
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends what held before `from`, and tells when something that was known to begin later ends the
/// new fact.
async fn make_way(
    connection: &mut PgConnection,
    subject: Uuid,
    predicate: &str,
    from: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, MemoryError> {
    sqlx::query(
        "UPDATE items SET valid_to = $3
          WHERE id IN (SELECT id FROM facts WHERE subject_id = $1 AND predicate = $2)
            AND retracted_at IS NULL AND valid_from <= $3 AND (valid_to IS NULL OR valid_to > $3)",
    )
    .bind(subject)
    .bind(predicate)
    .bind(from)
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query(
        "SELECT min(valid_from) FROM items JOIN facts USING (id)
          WHERE subject_id = $1 AND predicate = $2 AND retracted_at IS NULL AND valid_from > $3",
    )
    .bind(subject)
    .bind(predicate)
    .bind(from)
    .fetch_one(connection)
    .await?;
    Ok(row.try_get(0)?)
}

/// Two writers that make the same entity at once would each find none: one waits for the other.
/// All names are locked before the first is looked up, and in one order, so that nobody waits in a
/// circle.
async fn lock_entities(
    connection: &mut PgConnection,
    namespace: &Namespace,
    facts: &[NewFact],
) -> Result<(), MemoryError> {
    let subjects = facts.iter().map(|fact| &fact.subject);
    let objects = facts.iter().filter(|fact| fact.object_is_entity).map(|fact| &fact.object);
    let names: Vec<&str> = subjects.chain(objects).map(String::as_str).collect();
    sqlx::query(
        "SELECT pg_advisory_xact_lock(key) FROM (
           SELECT DISTINCT hashtextextended('entity:' || $1 || ':' || lower(name), 0) AS key
             FROM unnest($2::text[]) AS name ORDER BY key) AS keys",
    )
    .bind(&namespace.0)
    .bind(names)
    .execute(connection)
    .await?;
    Ok(())
}

/// The entity of that name or alias; made when there is none.
async fn entity(
    connection: &mut PgConnection,
    namespace: &Namespace,
    name: &str,
    recorded_at: DateTime<Utc>,
) -> Result<Uuid, MemoryError> {
    let known = sqlx::query_scalar(
        "SELECT id FROM entities
          WHERE namespace = $1
            AND (lower(name) = lower($2)
                 OR EXISTS (SELECT FROM unnest(aliases) AS alias WHERE lower(alias) = lower($2)))
          ORDER BY lower(name) = lower($2) DESC LIMIT 1",
    )
    .bind(&namespace.0)
    .bind(name)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(id) = known {
        return Ok(id);
    }
    let item = Item {
        id: new_id(),
        kind: Kind::Entity,
        text: name.to_owned(),
        source: String::new(),
        actor: String::new(),
        session: String::new(),
        valid_from: recorded_at,
        valid_to: None,
        recorded_at,
    };
    insert_item(connection, namespace, &item).await?;
    sqlx::query("INSERT INTO entities (id, namespace, name) VALUES ($1, $2, $3)")
        .bind(item.id)
        .bind(&namespace.0)
        .bind(name)
        .execute(connection)
        .await?;
    Ok(item.id)
}
