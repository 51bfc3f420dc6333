//! Measures what ranks candidates.

use pgvector::HalfVector;
use sqlx::{AssertSqlSafe, Row, postgres::PgRow};
use uuid::Uuid;

use super::{Look, SCOPE, Scope, Terms};
use crate::{
    error::MemoryError,
    knowledge::pool::{Candidate, Pool},
    store::items::{COLUMNS, item},
};

/// So many episodes before and after one that was found are looked at.
const BESIDE: i64 = 2;

impl Look {
    /// The pool of `ids` and of what was said beside the `seeds` among them, as far as it is in
    /// scope.
    pub async fn pool(
        &mut self,
        scope: &Scope,
        ids: &[Uuid],
        seeds: &[Uuid],
        terms: &Terms,
        vector: Option<&HalfVector>,
    ) -> Result<Pool, MemoryError> {
        let sql = format!(
            "WITH asked AS MATERIALIZED (
               SELECT query::tsquery, 1::bigint << (n - 1)::int AS bit
                 FROM unnest($6::text[]) WITH ORDINALITY AS t (query, n)),
             beside AS MATERIALIZED (
               SELECT near.id, array_agg(seed.id) AS seeds, array_agg(place) AS places
                 FROM items AS seed, LATERAL (
                   (SELECT id, -row_number() OVER (ORDER BY valid_from DESC, id DESC) AS place
                      FROM items
                     WHERE namespace = $1 AND session = seed.session AND session <> ''
                       AND kind = 1
                       AND retracted_at IS NULL AND (valid_from, id) < (seed.valid_from, seed.id)
                     ORDER BY valid_from DESC, id DESC LIMIT $9)
                   UNION ALL
                   (SELECT id, row_number() OVER (ORDER BY valid_from, id) AS place
                      FROM items
                     WHERE namespace = $1 AND session = seed.session AND session <> ''
                       AND kind = 1
                       AND retracted_at IS NULL AND (valid_from, id) > (seed.valid_from, seed.id)
                     ORDER BY valid_from, id LIMIT $9)) AS near
                WHERE seed.namespace = $1 AND seed.id = ANY($8) AND seed.kind = 1
                  AND seed.session <> ''
                GROUP BY near.id)
             SELECT {COLUMNS}, length(tsv) AS length, 1 - (embedding <=> $7) AS meaning,
                    EXISTS (SELECT FROM facts WHERE namespace = $1 AND episode_id = items.id) AS taught,
                    coalesce((SELECT sum(bit) FROM asked WHERE tsv @@ query), 0)::bigint AS terms,
                    seeds, places
               FROM items LEFT JOIN beside USING (id)
              WHERE id = ANY($5 || ARRAY(SELECT id FROM beside)) AND {SCOPE}"
        );
        let query = scope.bind(sqlx::query(AssertSqlSafe(sql)));
        let rows = query
            .bind(ids)
            .bind(&terms.queries)
            .bind(vector)
            .bind(seeds)
            .bind(BESIDE)
            .fetch_all(&mut *self.transaction)
            .await?;
        let mut beside = Vec::new();
        let mut candidates = Vec::with_capacity(rows.len());
        for row in &rows {
            let candidate = candidate(row)?;
            let seeds: Option<Vec<Uuid>> = row.try_get("seeds")?;
            let places: Option<Vec<i64>> = row.try_get("places")?;
            let of = seeds.into_iter().flatten().zip(places.into_iter().flatten());
            beside.extend(of.map(|(seed, place)| (seed, place, candidate.item.id)));
            candidates.push(candidate);
        }
        beside.extend(seeds.iter().map(|seed| (*seed, 0, *seed)));
        Ok(Pool { candidates, neighbours: pairs(beside) })
    }
}

/// Pairs of episodes that followed each other, of each seed's with their places before or after it.
fn pairs(mut beside: Vec<(Uuid, i64, Uuid)>) -> Vec<(Uuid, Uuid)> {
    beside.sort_unstable();
    let followed =
        |pair: &&[(Uuid, i64, Uuid)]| pair[0].0 == pair[1].0 && pair[0].1 + 1 == pair[1].1;
    let mut pairs: Vec<_> =
        beside.windows(2).filter(followed).map(|pair| (pair[0].2, pair[1].2)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

fn candidate(row: &PgRow) -> Result<Candidate, MemoryError> {
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
}
