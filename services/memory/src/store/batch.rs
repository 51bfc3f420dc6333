//! Writing many episodes in one transaction.

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, Row};

use super::{Key, Remembered, Store, changes::Changes, items::insert_items, new_id, now};
use crate::{
    error::MemoryError,
    knowledge::{Item, Kind, Namespace, NewEpisode, belief::ChangeKind},
};

/// What became of each request of a batch.
pub type Outcomes = Vec<Result<Remembered, MemoryError>>;

impl Store {
    /// Writes episodes, in their order, all or none; no key may occur twice. A key that was used for
    /// other content is told of its episode alone.
    ///
    /// # Errors
    /// When the store fails: nothing is written then.
    pub async fn remember_episodes(
        &self,
        namespace: &Namespace,
        batch: Vec<(Option<Key>, NewEpisode)>,
    ) -> Result<Outcomes, MemoryError> {
        let mut transaction = self.begin(namespace).await?;
        let recorded_at = now();
        let mut outcomes: Outcomes = batch
            .iter()
            .map(|_| Ok(Remembered { episode_id: Some(new_id()), ..Remembered::default() }))
            .collect();
        let claimed = claim(&mut transaction, namespace, &batch, &outcomes).await?;
        let mut earlier = earlier(&mut transaction, namespace, &batch, &claimed).await?;

        let mut items = Vec::new();
        let mut changes = Changes::default();
        for ((key, episode), outcome) in batch.into_iter().zip(&mut outcomes) {
            match key {
                Some(key) if !claimed.contains(&key.key) => *outcome = key.earlier(&mut earlier),
                _ => {
                    let id = outcome.as_ref().ok().and_then(|written| written.episode_id);
                    let id = id.unwrap_or_else(new_id);
                    changes.note(ChangeKind::Recorded, id, Kind::Episode);
                    items.push(Item {
                        id,
                        kind: Kind::Episode,
                        text: episode.text,
                        source: episode.source,
                        actor: episode.actor,
                        session: episode.session,
                        valid_from: episode.occurred_at.unwrap_or(recorded_at),
                        valid_to: None,
                        recorded_at,
                    });
                }
            }
        }
        if !items.is_empty() {
            insert_items(&mut transaction, namespace, items).await?;
            changes.finish(&mut transaction, namespace, recorded_at).await?;
        }
        transaction.commit().await?;
        Ok(outcomes)
    }
}

/// Keys with the digest and the answer of their first use.
type Earlier = HashMap<String, (Option<Vec<u8>>, serde_json::Value)>;

impl Key {
    /// What its first use was answered with.
    fn earlier(self, known: &mut Earlier) -> Result<Remembered, MemoryError> {
        match known.remove(&self.key) {
            Some((content, answer)) if content.as_ref() == Some(&self.content) => {
                let written: Remembered = serde_json::from_value(answer)?;
                Ok(Remembered { repeated: true, ..written })
            }
            _ => Err(MemoryError::KeyReused(self.given().to_owned())),
        }
    }
}

/// Takes the keys that are free, with their answers; gives those taken. In the order of the keys: two
/// batches that want the same ones wait for each other in no circle.
async fn claim(
    connection: &mut PgConnection,
    namespace: &Namespace,
    batch: &[(Option<Key>, NewEpisode)],
    outcomes: &Outcomes,
) -> Result<HashSet<String>, MemoryError> {
    let (mut keys, mut contents, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for ((key, _), outcome) in batch.iter().zip(outcomes) {
        if let (Some(key), Ok(written)) = (key, outcome) {
            keys.push(key.key.as_str());
            contents.push(key.content.as_slice());
            answers.push(serde_json::to_value(written)?);
        }
    }
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let claimed: Vec<String> = sqlx::query_scalar(
        "INSERT INTO idempotency_keys (namespace, key, content, answer)
         SELECT $1, key, content, answer
           FROM unnest($2::text[], $3::bytea[], $4::jsonb[]) AS t (key, content, answer)
          ORDER BY key
         ON CONFLICT DO NOTHING RETURNING key",
    )
    .bind(&namespace.0)
    .bind(keys)
    .bind(contents)
    .bind(answers)
    .fetch_all(connection)
    .await?;
    Ok(claimed.into_iter().collect())
}

/// The first uses of those keys of the batch that were not free.
async fn earlier(
    connection: &mut PgConnection,
    namespace: &Namespace,
    batch: &[(Option<Key>, NewEpisode)],
    claimed: &HashSet<String>,
) -> Result<Earlier, MemoryError> {
    let keys = batch.iter().filter_map(|(key, _)| key.as_ref());
    let used: Vec<&str> =
        keys.map(|key| key.key.as_str()).filter(|key| !claimed.contains(*key)).collect();
    if used.is_empty() {
        return Ok(Earlier::new());
    }
    let rows = sqlx::query(
        "SELECT key, content, answer FROM idempotency_keys WHERE namespace = $1 AND key = ANY($2)",
    )
    .bind(&namespace.0)
    .bind(used)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)))).collect()
}
