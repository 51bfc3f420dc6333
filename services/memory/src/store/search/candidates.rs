//! The best by words, by meaning and by time: ids, from indexes.

use chrono::NaiveTime;
use pgvector::HalfVector;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

use super::{Look, SCOPE, Scope, Terms};
use crate::{
    error::MemoryError,
    knowledge::{Item, time::Span},
    store::{
        Store,
        items::{COLUMNS, item},
    },
};

/// The text index is asked for the rarest terms only, as long as they occur in so many items: more
/// would have to be read and ranked one by one.
const MOST_MATCHES: i64 = 300;
/// Of items whose words are all frequent some are as good as others.
const ENOUGH_OF_FREQUENT: i64 = 200;
/// A word that occurs in more items than this tells little, and its list takes long to read: it is left
/// to the meaning when there is one.
const LONGEST_LIST: i64 = 10_000;
/// So many vectors are compared in less time than the index takes.
const MOST_COMPARED: i64 = 2_000;
/// So many that the actors asked for said last are compared.
const LATEST_OF_ACTORS: i64 = 300;
/// Of a span of time so many items are compared.
const MOST_OF_TIME: i64 = 400;
/// What is said of a time is mostly said within so many days after it.
const TOLD_WITHIN_DAYS: i64 = 14;

impl Look {
    /// Items in which terms occur, those with the most and rarest first. A long item's terms count
    /// a little less: the length normalisation of BM25 (Robertson and Zaragoza 2009; k1 0.9, b 0.4,
    /// an average of 15 words).
    pub async fn by_words(
        &mut self,
        scope: &Scope,
        terms: &Terms,
    ) -> Result<Vec<Uuid>, MemoryError> {
        if terms.queries.is_empty() {
            return Ok(Vec::new());
        }
        // While counts lag, a frequent term may be taken for a rare one, and crowd out what has all.
        let with_all = if terms.lagging {
            format!(
                "(SELECT id, tsv FROM items WHERE {SCOPE} AND tsv @@ $10::text::tsquery LIMIT $8) UNION"
            )
        } else {
            String::new()
        };
        let sql = format!(
            "WITH asked AS MATERIALIZED (
               SELECT query::tsquery, weight FROM unnest($5::text[], $6::float8[]) AS t (query, weight)),
             found AS MATERIALIZED (
               {with_all}
               (SELECT id, tsv FROM items WHERE {SCOPE} AND tsv @@ $7::text::tsquery LIMIT $8))
             SELECT id FROM found
              ORDER BY (SELECT sum(weight) FROM asked WHERE tsv @@ query)
                         / (1 + 0.9::float8 * (0.6::float8 + 0.4::float8 * length(tsv) / 15)) DESC, id DESC
              LIMIT $9"
        );
        let (selecting, most) = selecting(terms);
        let weights = terms.weights().unwrap_or_else(|| vec![1.0; terms.queries.len()]);
        let mut query = scope
            .bind(sqlx::query(AssertSqlSafe(sql)))
            .bind(&terms.queries)
            .bind(weights)
            .bind(selecting)
            .bind(most)
            .bind(scope.limit);
        if terms.lagging {
            query = query.bind(every(&terms.queries));
        }
        ids(&query.fetch_all(&mut *self.transaction).await?)
    }

    /// Items whose meaning is nearest to `vector`; and what these actors said that is: of the nearest
    /// of all, and of what they said last. The index of vectors knows no actors; through all of it
    /// their items would have to be looked for one by one. `few` items are all compared, without the
    /// index: it may pass over one that resembles no other.
    pub async fn by_vector(
        &mut self,
        scope: &Scope,
        vector: &HalfVector,
        actors: &[String],
        few: bool,
    ) -> Result<(Vec<Uuid>, Vec<Uuid>), MemoryError> {
        let all = if few { "OFFSET 0" } else { "" };
        let sql = format!(
            "WITH nearest AS MATERIALIZED (
               SELECT * FROM (
                 SELECT id, kind, actor, embedding <=> $5 AS distance
                   FROM items WHERE {SCOPE} AND embedding IS NOT NULL {all}) AS compared
                ORDER BY distance LIMIT $6),
             late AS MATERIALIZED (
               SELECT id, embedding FROM unnest($7) AS who, LATERAL (
                 SELECT id, embedding FROM items
                  WHERE {SCOPE} AND kind = 1 AND actor <> '' AND actor = who
                  ORDER BY valid_from DESC LIMIT $8) AS said),
             theirs AS (
               SELECT id, distance FROM nearest WHERE kind = 1 AND actor = ANY($7)
               UNION SELECT id, embedding <=> $5 FROM late WHERE embedding IS NOT NULL
               ORDER BY distance, id LIMIT $6)
             SELECT id, false AS theirs, distance FROM nearest
             UNION ALL SELECT id, true, distance FROM theirs ORDER BY theirs, distance, id"
        );
        let query = scope.bind(sqlx::query(AssertSqlSafe(sql)));
        let query = query.bind(vector).bind(scope.limit);
        let query = query.bind(actors).bind(LATEST_OF_ACTORS / count(actors));
        let rows = query.fetch_all(&mut *self.transaction).await?;
        let (mut all, mut theirs) = (Vec::new(), Vec::new());
        for row in &rows {
            let of = if row.try_get("theirs")? { &mut theirs } else { &mut all };
            of.push(row.try_get("id")?);
        }
        Ok((all, theirs))
    }

    /// Episodes of a span of time and shortly after it; the nearest to `vector` first, or without
    /// one the latest.
    pub async fn by_time(
        &mut self,
        scope: &Scope,
        span: &Span,
        vector: Option<&HalfVector>,
    ) -> Result<Vec<Uuid>, MemoryError> {
        let until = span.to.checked_add_signed(chrono::TimeDelta::days(TOLD_WITHIN_DAYS));
        let sql = format!(
            "WITH found AS MATERIALIZED (
               SELECT id, embedding, valid_from FROM items
                WHERE {SCOPE} AND kind = 1 AND valid_from >= $5 AND valid_from < $6 LIMIT $7)
             SELECT id FROM found
              ORDER BY embedding <=> $8 NULLS LAST, valid_from DESC, id DESC LIMIT $9"
        );
        let query = scope
            .bind(sqlx::query(AssertSqlSafe(sql)))
            .bind(span.from.and_time(NaiveTime::MIN).and_utc())
            .bind(until.unwrap_or(span.to).and_time(NaiveTime::MIN).and_utc())
            .bind(MOST_OF_TIME)
            .bind(vector)
            .bind(scope.limit);
        ids(&query.fetch_all(&mut *self.transaction).await?)
    }

    /// What these actors said last.
    pub async fn by_actors(
        &mut self,
        scope: &Scope,
        actors: &[String],
    ) -> Result<Vec<Uuid>, MemoryError> {
        let sql = format!(
            "SELECT id FROM unnest($5) AS who, LATERAL (
               SELECT id, valid_from FROM items
                WHERE {SCOPE} AND kind = 1 AND actor <> '' AND actor = who
                ORDER BY valid_from DESC LIMIT $6) AS said
              ORDER BY valid_from DESC, id DESC LIMIT $6"
        );
        let query = scope.bind(sqlx::query(AssertSqlSafe(sql))).bind(actors).bind(scope.limit);
        ids(&query.fetch_all(&mut *self.transaction).await?)
    }

    /// The items written down last.
    pub async fn recent(&mut self, scope: &Scope) -> Result<Vec<Item>, MemoryError> {
        // Planned for the limit: only then the index that has the order is used.
        sqlx::query("SET LOCAL plan_cache_mode = auto").execute(&mut *self.transaction).await?;
        recent(&mut self.transaction, scope).await
    }
}

impl Store {
    /// The items written down last.
    pub async fn recent(&self, scope: &Scope) -> Result<Vec<Item>, MemoryError> {
        recent(&mut *self.pool.acquire().await?, scope).await
    }
}

async fn recent(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Item>, MemoryError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM items WHERE {SCOPE} ORDER BY recorded_at DESC, id DESC LIMIT $5"
    );
    let query = scope.bind(sqlx::query(AssertSqlSafe(sql))).bind(scope.limit);
    query.fetch_all(connection).await?.iter().map(item).collect()
}

impl Terms {
    /// Whether one of them is rare enough to be looked for.
    #[must_use]
    pub fn select(&self) -> bool {
        self.items.first().is_some_and(|items| *items <= LONGEST_LIST)
    }

    /// Whether the namespace has few items, as far as is known.
    #[must_use]
    pub fn of_few(&self) -> bool {
        !self.lagging && (1..=MOST_COMPARED).contains(&self.all)
    }
}

/// Any of the rarest terms; when already the rarest is frequent, it together with those of the next two
/// whose lists are not much longer. With how many matches are enough.
fn selecting(terms: &Terms) -> (String, i64) {
    let mut matches = 0;
    let mut rare = Vec::new();
    for (query, items) in terms.queries.iter().zip(&terms.items) {
        matches += items;
        if matches > MOST_MATCHES {
            break;
        }
        rare.push(format!("({query})"));
    }
    if rare.is_empty() {
        let partners = terms.queries.iter().zip(&terms.items).skip(1).take(2);
        let partners = partners.filter(|(_, items)| **items <= 5 * LONGEST_LIST);
        let all = terms.queries.iter().take(1).chain(partners.map(|(query, _)| query));
        let all: Vec<String> = all.cloned().collect();
        return (every(&all), ENOUGH_OF_FREQUENT);
    }
    // Counts lag behind a little.
    (rare.join(" | "), 2 * MOST_MATCHES)
}

/// All of them.
fn every(queries: &[String]) -> String {
    let queries: Vec<String> = queries.iter().map(|query| format!("({query})")).collect();
    queries.join(" & ")
}

fn count(actors: &[String]) -> i64 {
    i64::try_from(actors.len()).unwrap_or(i64::MAX).max(1)
}

fn ids(rows: &[sqlx::postgres::PgRow]) -> Result<Vec<Uuid>, MemoryError> {
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}
