//! The words of a question as the text index knows them, and how rare they are.

use sqlx::{AssertSqlSafe, Row};

use super::Look;
use crate::{
    error::MemoryError,
    knowledge::{Namespace, pool::MOST_TERMS, question::Called},
    store::{Store, touch},
};

/// Items counted at once.
const COUNT_AT_ONCE: i64 = 128;

/// The terms of a question.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// As queries of the text index, rarest first.
    pub queries: Vec<String>,
    /// In how many items each occurs, as far as counted.
    pub items: Vec<i64>,
    /// How many items are counted.
    pub all: i64,
    /// Whether some are still to be counted: a term that seems rare may be frequent.
    pub lagging: bool,
}

impl Terms {
    /// How much each term says: its inverse document frequency, from 0 to 1 (Robertson and Sparck
    /// Jones 1976, as BM25 has it). Nothing is known of a store that is not counted yet.
    #[must_use]
    pub fn weights(&self) -> Option<Vec<f64>> {
        (self.all > 0).then(|| self.items.iter().map(|items| weight(*items, self.all)).collect())
    }
}

/// The weight of a term that occurs in `items` of `all`.
#[must_use]
pub fn weight(items: i64, all: i64) -> f64 {
    let all = all.max(items).max(1) as f64;
    let items = items as f64;
    (1.0 + (all - items + 0.5) / (items + 0.5)).ln() / (2.0 * all + 2.0).ln()
}

impl Look {
    /// The terms of `text`. One that occurs nowhere stands for the most similar that does, if one
    /// is similar: a misspelling.
    pub async fn terms(&mut self, namespace: &Namespace, text: &str) -> Result<Terms, MemoryError> {
        let rows = sqlx::query(
            "WITH own AS (
               SELECT asked.lexeme, coalesce(items, 0) AS items
                 FROM unnest(to_tsvector('english', $2)) AS asked LEFT JOIN terms
                   ON terms.namespace = $1 AND terms.lexeme = asked.lexeme
                WHERE strpos(asked.lexeme, '\\') = 0)
             SELECT own.lexeme, own.items, alike.lexeme AS alike, alike.items AS alike_items,
                    coalesce((SELECT items FROM terms WHERE namespace = $1 AND lexeme = ''), 0)
                      AS counted,
                    EXISTS (SELECT FROM uncounted WHERE namespace = $1) AS lagging
               FROM own LEFT JOIN LATERAL (
                 SELECT lexeme, terms.items FROM terms
                  WHERE own.items = 0 AND length(own.lexeme) >= 4 AND own.lexeme !~ '[0-9]'
                    AND namespace = $1 AND terms.lexeme % own.lexeme
                    AND similarity(terms.lexeme, own.lexeme) >= 0.45
                  ORDER BY similarity(terms.lexeme, own.lexeme) DESC, lexeme LIMIT 1) AS alike ON true
              ORDER BY coalesce(alike.items, own.items), own.lexeme LIMIT $3",
        )
        .bind(&namespace.0)
        .bind(text)
        .bind(MOST_TERMS as i64)
        .fetch_all(&mut *self.transaction)
        .await?;
        let mut terms = Terms::default();
        for row in &rows {
            let lexeme: String = row.try_get("lexeme")?;
            let alike: Option<String> = row.try_get("alike")?;
            let items: i64 = row.try_get("items")?;
            let alike_items: Option<i64> = row.try_get("alike_items")?;
            terms.queries.push(match alike {
                Some(alike) => format!("{} | {}", quoted(&lexeme), quoted(&alike)),
                None => quoted(&lexeme),
            });
            terms.items.push(alike_items.unwrap_or(items));
            terms.all = row.try_get("counted")?;
            terms.lagging = row.try_get("lagging")?;
        }
        Ok(terms)
    }

    /// Who is called as some of `names`, in lower case, are; or similarly to one of `misspelt` that
    /// nobody is called exactly.
    pub async fn called(
        &mut self,
        namespace: &Namespace,
        names: &[String],
        misspelt: &[String],
    ) -> Result<Vec<Called>, MemoryError> {
        let rows = sqlx::query(
            "SELECT actor, called, lower(called) AS asked FROM actors
              WHERE namespace = $1 AND lower(called) = ANY($2)
             UNION
             SELECT actor, called, asked FROM unnest($3) AS asked, LATERAL (
               SELECT actor, called FROM actors
                WHERE namespace = $1 AND length(asked) BETWEEN 4 AND 64
                  AND lower(called) % asked AND similarity(lower(called), asked) >= 0.5
                  AND NOT EXISTS (SELECT FROM actors
                                   WHERE namespace = $1 AND lower(called) = asked)
                ORDER BY similarity(lower(called), asked) DESC, actor LIMIT 1) AS alike
             LIMIT 100",
        )
        .bind(&namespace.0)
        .bind(names)
        .bind(misspelt)
        .fetch_all(&mut *self.transaction)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Called {
                    actor: row.try_get("actor")?,
                    called: row.try_get("called")?,
                    asked: row.try_get("asked")?,
                })
            })
            .collect()
    }
}

impl Store {
    /// Counts the words of some items written lately; tells how many items there were.
    pub async fn count_terms(&self) -> Result<usize, MemoryError> {
        let mut transaction = self.begin_behind_all().await?;
        let sql = format!(
            "WITH taken AS (
               DELETE FROM uncounted WHERE ctid = ANY(ARRAY(
                 SELECT ctid FROM uncounted LIMIT {COUNT_AT_ONCE} FOR UPDATE SKIP LOCKED))
               RETURNING namespace, item_id),
             new AS (
               SELECT namespace, tsv FROM taken, LATERAL (
                 SELECT tsv FROM items i WHERE i.namespace = taken.namespace AND i.id = item_id
                 OFFSET 0) AS item), -- looked up one by one: a join would go through all items
             found AS (
               SELECT namespace, lexeme, count(*) AS items
                 FROM new, unnest(tsvector_to_array(tsv) || '{{\"\"}}'::text[]) AS lexeme
                GROUP BY namespace, lexeme ORDER BY namespace, lexeme),
             counted AS (
               INSERT INTO terms SELECT * FROM found
               ON CONFLICT (namespace, lexeme) DO UPDATE SET items = terms.items + excluded.items)
             SELECT DISTINCT namespace, (SELECT count(*) FROM taken) FROM new ORDER BY namespace"
        );
        // Put together from constants of this module.
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *transaction).await?;
        let mut count = 0;
        for row in &rows {
            touch(&mut transaction, &Namespace(row.try_get(0)?)).await?;
            count = usize::try_from(row.try_get::<i64, _>(1)?).unwrap_or(usize::MAX);
        }
        transaction.commit().await?;
        Ok(count)
    }
}

/// A lexeme as a query of the text index.
fn quoted(lexeme: &str) -> String {
    format!("'{}'", lexeme.replace('\'', "''"))
}
