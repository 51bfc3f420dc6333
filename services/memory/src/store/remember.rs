//! Writing episodes and facts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Key, Store,
    changes::Changes,
    new_facts::{Origin, Told},
    new_id, now,
};
use crate::{
    error::MemoryError,
    knowledge::{Kind, Namespace, NewEpisode, NewFact},
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
        let mut transaction = self.begin_believing(namespace).await?;
        let recorded_at = now();
        let mut written = Remembered {
            episode_id: episode.as_ref().map(|_| new_id()),
            fact_ids: facts.iter().map(|_| new_id()).collect(),
            ..Remembered::default()
        };
        if let Some(key) = key {
            let answer = serde_json::to_value(&written)?;
            if let Some(answer) = key.claim(&mut transaction, namespace, &answer).await? {
                let earlier: Remembered = serde_json::from_value(answer)?;
                return Ok(Remembered { repeated: true, ..earlier });
            }
        }
        let facts = written.fact_ids.iter().copied().zip(facts).collect();
        let told = told(episode, written.episode_id, facts, recorded_at);
        let mut changes = Changes::default();
        written.stale = told.write(&mut transaction, namespace, recorded_at, &mut changes).await?;
        if let Some(key) = key
            && !written.stale.is_empty()
        {
            key.keep(&mut transaction, namespace, &serde_json::to_value(&written)?).await?;
        }
        changes.finish(&mut transaction, namespace, recorded_at).await?;
        transaction.commit().await?;
        Ok(written)
    }
}

fn told(
    episode: Option<NewEpisode>,
    id: Option<Uuid>,
    facts: Vec<(Uuid, NewFact)>,
    at: DateTime<Utc>,
) -> Told {
    let (Some(episode), Some(id)) = (episode, id) else {
        let origin = Origin { happened: at, ..Origin::default() };
        return Told { origin, said: None, facts, meant: None };
    };
    let origin = Origin {
        source: episode.source,
        actor: episode.actor,
        session: episode.session,
        happened: episode.occurred_at.unwrap_or(at),
        episode: Some(id),
    };
    let said = Some(origin.item(id, Kind::Episode, episode.text, at));
    Told { origin, said, facts, meant: None }
}
