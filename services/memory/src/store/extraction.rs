//! Episodes whose facts are to be extracted, what came of them, and what it cost.

use std::{collections::HashSet, time::Instant};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

use super::{
    Store,
    changes::Changes,
    new_facts::{Meant, Origin, Told, meant, names},
    new_id, now,
};
use crate::{
    error::MemoryError,
    knowledge::{Namespace, NewFact},
};

/// Costs are kept for so many days.
const KEPT_DAYS: i64 = 400;
/// Sums of costs, as [`cost`] reads them.
const COSTS: &str = "SELECT coalesce(sum(episodes), 0)::bigint AS episodes,
                            coalesce(sum(facts), 0)::bigint AS facts,
                            coalesce(sum(refused), 0)::bigint AS refused,
                            coalesce(sum(tokens), 0)::bigint AS tokens,
                            coalesce(sum(micros), 0)::bigint AS micros
                       FROM extraction_costs";

/// Who extracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Rules.
    Rules,
    /// A model.
    Model,
}

impl Tier {
    /// For the rows: who concluded a fact.
    #[must_use]
    pub const fn actor(self) -> &'static str {
        match self {
            Self::Rules => "extraction:rules",
            Self::Model => "extraction:model",
        }
    }

    /// For people and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Model => "model",
        }
    }

    const fn number(self) -> i16 {
        match self {
            Self::Rules => 1,
            Self::Model => 2,
        }
    }

    /// The table of those that wait.
    const fn queue(self) -> &'static str {
        match self {
            Self::Rules => "unextracted",
            Self::Model => "unasked",
        }
    }
}

/// An episode that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Its id.
    pub id: Uuid,
    /// What was said.
    pub text: String,
    /// By whom.
    pub actor: String,
    /// When.
    pub happened: DateTime<Utc>,
    source: String,
    session: String,
}

/// What an episode came to.
#[derive(Debug, Clone)]
pub struct Concluded {
    /// Which.
    pub episode: Waiting,
    /// What it states.
    pub facts: Vec<NewFact>,
}

/// What was used and brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Read.
    pub episodes: i64,
    /// Written.
    pub facts: i64,
    /// Proposed and not borne out by the text.
    pub refused: i64,
    /// Of the model, prompts included.
    pub tokens: i64,
    /// Microseconds, of reading and writing.
    pub micros: i64,
}

/// What the extraction of a namespace's facts has brought and cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extraction {
    /// Episodes that wait, for rules or a model.
    pub waiting: i64,
    /// By rules.
    pub rules: Cost,
    /// By a model.
    pub model: Cost,
}

impl Store {
    /// Up to `limit` episodes of one namespace that wait for `tier`: of the one after `after`, so that
    /// all have their turn. What is retracted waits until it is restored.
    pub async fn next_waiting(
        &self,
        tier: Tier,
        after: &str,
        limit: i64,
    ) -> Result<Option<(Namespace, Vec<Waiting>)>, MemoryError> {
        let queue = tier.queue();
        // The name of the table is a constant of this module. Items are looked up for the queue's head,
        // one by one: what is known of its size is never true, and a join would go through all items.
        let next = format!(
            "SELECT namespace FROM {queue} AS q
              WHERE namespace > $1 AND (
                SELECT retracted_at IS NULL FROM items i
                 WHERE i.namespace = q.namespace AND i.id = item_id)
              ORDER BY namespace, item_id LIMIT 1"
        );
        let next = sqlx::query_scalar(AssertSqlSafe(next));
        let Some(namespace) = next.bind(after).fetch_optional(&self.pool).await? else {
            return Ok(None);
        };
        let namespace = Namespace(namespace);
        let sql = format!(
            "SELECT item.*
               FROM {queue} AS q, LATERAL (
                 SELECT id, text, actor, valid_from, source, session FROM items i
                  WHERE i.namespace = $1 AND i.id = item_id AND retracted_at IS NULL
                 OFFSET 0) AS item
              WHERE q.namespace = $1 ORDER BY item_id LIMIT $2"
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(&namespace.0).bind(limit);
        let rows = rows.fetch_all(&self.pool).await?;
        let waiting = rows.iter().map(|row| {
            Ok(Waiting {
                id: row.try_get("id")?,
                text: row.try_get("text")?,
                actor: row.try_get("actor")?,
                happened: row.try_get("valid_from")?,
                source: row.try_get("source")?,
                session: row.try_get("session")?,
            })
        });
        Ok(Some((namespace, waiting.collect::<Result<_, MemoryError>>()?)))
    }

    /// Takes episodes from those that wait for `tier` and writes what they came to, in one
    /// transaction; with `ask` they wait for a model from then on. Those that somebody else took, or
    /// that were forgotten or retracted meanwhile, come to nothing. Gives how many were taken and how
    /// many facts written.
    pub async fn conclude(
        &self,
        namespace: &Namespace,
        tier: Tier,
        concluded: Vec<Concluded>,
        ask: bool,
        cost: Cost,
    ) -> Result<(i64, i64), MemoryError> {
        let begun = Instant::now();
        let silent = concluded.iter().all(|one| one.facts.is_empty());
        let meant = if silent { Meant::new() } else { self.meant(namespace, &concluded).await? };
        let mut transaction = match tier {
            _ if !silent => self.begin_believing(namespace).await?,
            // They are read again if this is lost, at no cost.
            Tier::Rules => self.begin_behind(namespace).await?,
            Tier::Model => self.begin(namespace).await?,
        };
        let ids: Vec<Uuid> = concluded.iter().map(|one| one.episode.id).collect();
        let taken = take(&mut transaction, namespace, tier, &ids).await?;
        if ask {
            sqlx::query("INSERT INTO unasked SELECT $1, unnest($2::uuid[]) ON CONFLICT DO NOTHING")
                .bind(&namespace.0)
                .bind(taken.iter().copied().collect::<Vec<_>>())
                .execute(&mut *transaction)
                .await?;
        }
        let at = now();
        let mut changes = Changes::default();
        let mut written = 0;
        for Concluded { episode, mut facts } in concluded {
            if !taken.contains(&episode.id) || facts.is_empty() {
                continue;
            }
            without_known(&mut transaction, namespace, episode.id, &mut facts).await?;
            if facts.is_empty() {
                continue;
            }
            let origin = Origin {
                source: episode.source,
                actor: tier.actor().to_owned(),
                session: episode.session,
                happened: episode.happened,
                episode: Some(episode.id),
            };
            let facts: Vec<_> = facts.into_iter().map(|fact| (new_id(), fact)).collect();
            written += i64::try_from(facts.len()).unwrap_or(0);
            let told = Told { origin, said: None, facts, meant: Some(meant.clone()) };
            told.write(&mut transaction, namespace, at, &mut changes).await?;
        }
        let episodes = i64::try_from(taken.len()).unwrap_or(i64::MAX);
        let micros = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
        let micros = cost.micros.saturating_add(micros);
        let cost = Cost { episodes, facts: written, micros, ..cost };
        note_cost(&mut transaction, namespace, tier, cost).await?;
        if !changes.is_empty() {
            changes.finish(&mut transaction, namespace, at).await?;
        }
        transaction.commit().await?;
        Ok((episodes, written))
    }

    async fn meant(
        &self,
        namespace: &Namespace,
        concluded: &[Concluded],
    ) -> Result<Meant, MemoryError> {
        let mut transaction = self.read(namespace).await?;
        let facts = concluded.iter().flat_map(|one| &one.facts);
        meant(&mut transaction, namespace, names(facts)).await
    }

    /// Lets nobody wait for `tier` any more: it is switched off.
    pub async fn dismiss_waiting(&self, tier: Tier) -> Result<(), MemoryError> {
        let sql = format!("DELETE FROM {}", tier.queue());
        // The name of the table is a constant of this module.
        sqlx::query(AssertSqlSafe(sql)).execute(&self.pool).await?;
        Ok(())
    }

    /// How many episodes wait for `tier`, over all namespaces.
    pub async fn count_waiting(&self, tier: Tier) -> Result<i64, MemoryError> {
        let sql = format!("SELECT count(*) FROM {}", tier.queue());
        // The name of the table is a constant of this module.
        Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.pool).await?)
    }

    /// What `tier` has cost in this hour, over all namespaces.
    pub async fn cost_of_hour(&self, tier: Tier) -> Result<Cost, MemoryError> {
        let sql = format!("{COSTS} WHERE hour = $1 AND tier = $2");
        // Put together from constants of this module.
        let row = sqlx::query(AssertSqlSafe(sql)).bind(hour(now())).bind(tier.number());
        cost(&row.fetch_one(&self.pool).await?)
    }

    /// Drops costs of long ago.
    pub async fn drop_old_costs(&self) -> Result<(), MemoryError> {
        sqlx::query("DELETE FROM extraction_costs WHERE hour < $1")
            .bind(now() - TimeDelta::days(KEPT_DAYS))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Episodes of a namespace that wait, and what extraction has cost it.
pub(super) async fn costs(
    connection: &mut PgConnection,
    namespace: &Namespace,
) -> Result<Extraction, MemoryError> {
    let waiting = sqlx::query_scalar(
        "SELECT count(*) FROM (
           SELECT item_id FROM unextracted WHERE namespace = $1
           UNION ALL SELECT item_id FROM unasked WHERE namespace = $1) AS waiting
           JOIN items i ON i.namespace = $1 AND i.id = item_id
          WHERE retracted_at IS NULL",
    );
    let waiting = waiting.bind(&namespace.0).fetch_one(&mut *connection).await?;
    let mut costs = [Cost::default(); 2];
    for (cost_of, tier) in costs.iter_mut().zip([Tier::Rules, Tier::Model]) {
        let sql = format!("{COSTS} WHERE namespace = $1 AND tier = $2");
        // Put together from constants of this module.
        let row = sqlx::query(AssertSqlSafe(sql)).bind(&namespace.0).bind(tier.number());
        *cost_of = cost(&row.fetch_one(&mut *connection).await?)?;
    }
    let [rules, model] = costs;
    Ok(Extraction { waiting, rules, model })
}

fn cost(row: &sqlx::postgres::PgRow) -> Result<Cost, MemoryError> {
    Ok(Cost {
        episodes: row.try_get("episodes")?,
        facts: row.try_get("facts")?,
        refused: row.try_get("refused")?,
        tokens: row.try_get("tokens")?,
        micros: row.try_get("micros")?,
    })
}

fn hour(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at)
}

/// Takes those of `ids` that still wait and are believed.
async fn take(
    connection: &mut PgConnection,
    namespace: &Namespace,
    tier: Tier,
    ids: &[Uuid],
) -> Result<HashSet<Uuid>, MemoryError> {
    let sql = format!(
        "DELETE FROM {} AS q USING items i
          WHERE q.namespace = $1 AND item_id = ANY($2) AND i.namespace = $1 AND i.id = item_id
            AND i.retracted_at IS NULL
         RETURNING item_id",
        tier.queue()
    );
    // The name of the table is a constant of this module.
    let taken: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(&namespace.0)
        .bind(ids)
        .fetch_all(connection)
        .await?;
    Ok(taken.into_iter().collect())
}

/// Leaves out what is known from the episode already, be it believed or retracted: what was given with
/// it is not concluded again, and what was found wrong does not come back.
async fn without_known(
    connection: &mut PgConnection,
    namespace: &Namespace,
    episode: Uuid,
    facts: &mut Vec<NewFact>,
) -> Result<(), MemoryError> {
    let rows = sqlx::query(
        "SELECT called, predicate, lower(object) AS object
           FROM facts JOIN names ON names.namespace = $1 AND names.entity_id = subject_id
          WHERE facts.namespace = $1 AND episode_id = $2",
    )
    .bind(&namespace.0)
    .bind(episode)
    .fetch_all(connection)
    .await?;
    for row in &rows {
        let (called, predicate, object): (String, String, String) =
            (row.try_get("called")?, row.try_get("predicate")?, row.try_get("object")?);
        facts.retain(|fact| {
            let same = fact.subject.to_lowercase() == called && fact.predicate == predicate;
            // Of two answers to one question the one that was given counts.
            !(same && (fact.functional || fact.object.to_lowercase() == object))
        });
    }
    Ok(())
}

async fn note_cost(
    connection: &mut PgConnection,
    namespace: &Namespace,
    tier: Tier,
    cost: Cost,
) -> Result<(), MemoryError> {
    sqlx::query(
        "INSERT INTO extraction_costs AS known
           (namespace, hour, tier, episodes, facts, refused, tokens, micros)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (namespace, hour, tier) DO UPDATE
           SET episodes = known.episodes + $4, facts = known.facts + $5,
               refused = known.refused + $6, tokens = known.tokens + $7,
               micros = known.micros + $8",
    )
    .bind(&namespace.0)
    .bind(hour(now()))
    .bind(tier.number())
    .bind(cost.episodes)
    .bind(cost.facts)
    .bind(cost.refused)
    .bind(cost.tokens)
    .bind(cost.micros)
    .execute(connection)
    .await?;
    Ok(())
}
