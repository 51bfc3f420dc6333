//! Measures what ranks candidates.

use std::collections::HashMap;

use pgvector::Vector;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::{Look, SCOPE, Scope, Terms};
use crate::{
    error::MemoryError,
    knowledge::{
        Namespace,
        pool::{Candidate, Pool},
    },
    store::{COLUMNS, item},
};

/// So many episodes before and after one that was found are looked at.
const BESIDE: i64 = 2;

impl Look {
    /// The pool of `ids` and of what was said beside the `seeds` among them, as far as it is in
    /// scope.
    pub async fn pool(
        &mut self,
        scope: &Scope,
        ids: Vec<Uuid>,
        seeds: &[Uuid],
        terms: &Terms,
        vector: Option<&Vector>,
    ) -> Result<Pool, MemoryError> {
        let neighbours = self.neighbours(&scope.namespace, seeds).await?;
        let mut ids = ids;
        ids.extend(neighbours.iter().flat_map(|(first, second)| [*first, *second]));
        ids.sort_unstable();
        ids.dedup();
        let candidates = self.measured(scope, &ids, terms, vector).await?;
        Ok(Pool { candidates, neighbours })
    }

    /// Pairs of episodes that followed each other, around each of `seeds`.
    async fn neighbours(
        &mut self,
        namespace: &Namespace,
        seeds: &[Uuid],
    ) -> Result<Vec<(Uuid, Uuid)>, MemoryError> {
        let rows = sqlx::query(
            "SELECT seed.id AS seed, near.id, place
               FROM items AS seed, LATERAL (
                 (SELECT id, -row_number() OVER (ORDER BY valid_from DESC, id DESC) AS place
                    FROM items
                   WHERE namespace = $3 AND session = seed.session AND session <> ''
                     AND kind = 1
                     AND retracted_at IS NULL AND (valid_from, id) < (seed.valid_from, seed.id)
                   ORDER BY valid_from DESC, id DESC LIMIT $2)
                 UNION ALL
                 (SELECT id, row_number() OVER (ORDER BY valid_from, id) AS place
                    FROM items
                   WHERE namespace = $3 AND session = seed.session AND session <> ''
                     AND kind = 1
                     AND retracted_at IS NULL AND (valid_from, id) > (seed.valid_from, seed.id)
                   ORDER BY valid_from, id LIMIT $2)) AS near
              WHERE seed.namespace = $3 AND seed.id = ANY($1) AND seed.kind = 1 AND seed.session <> ''
              ORDER BY seed.id, place",
        )
        .bind(seeds)
        .bind(BESIDE)
        .bind(&namespace.0)
        .fetch_all(&mut *self.transaction)
        .await?;
        let mut chains: HashMap<Uuid, Vec<(i64, Uuid)>> = HashMap::new();
        for row in &rows {
            let seed: Uuid = row.try_get("seed")?;
            let chain = chains.entry(seed).or_insert_with(|| vec![(0, seed)]);
            chain.push((row.try_get("place")?, row.try_get("id")?));
        }
        let mut pairs = Vec::new();
        for mut chain in chains.into_values() {
            chain.sort_unstable();
            pairs.extend(chain.windows(2).map(|pair| (pair[0].1, pair[1].1)));
        }
        pairs.sort_unstable();
        pairs.dedup();
        Ok(pairs)
    }

    async fn measured(
        &mut self,
        scope: &Scope,
        ids: &[Uuid],
        terms: &Terms,
        vector: Option<&Vector>,
    ) -> Result<Vec<Candidate>, MemoryError> {
        let sql = format!(
            "WITH asked AS MATERIALIZED (
               SELECT query::tsquery, 1::bigint << (n - 1)::int AS bit
                 FROM unnest($6::text[]) WITH ORDINALITY AS t (query, n))
             SELECT {COLUMNS}, length(tsv) AS length, 1 - (embedding <=> $7) AS meaning,
                    EXISTS (SELECT FROM facts WHERE namespace = $1 AND episode_id = items.id) AS taught,
                    coalesce((SELECT sum(bit) FROM asked WHERE tsv @@ query), 0)::bigint AS terms
               FROM items WHERE id = ANY($5) AND {SCOPE}"
        );
        let query = scope.bind(sqlx::query(AssertSqlSafe(sql)));
        let rows = query
            .bind(ids)
            .bind(&terms.queries)
            .bind(vector)
            .fetch_all(&mut *self.transaction)
            .await?;
        rows.iter()
            .map(|row| {
                let length: i32 = row.try_get("length")?;
                let terms: i64 = row.try_get("terms")?;
                Ok(Candidate {
                    item: item(row)?,
                    terms: u32::try_from(terms).unwrap_or(0),
                    length: length.unsigned_abs(),
                    meaning: row.try_get("meaning")?,
                    taught: row.try_get("taught")?,
                    places: Vec::new(),
                    link: None,
                })
            })
            .collect()
    }
}
