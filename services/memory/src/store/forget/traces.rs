//! What tells of items beside their rows.

use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::Export;
use crate::{error::MemoryError, knowledge::Namespace};

/// So many copies and mentions are told of.
const MOST_TOLD: i64 = 100;

/// How many of `ids` have a vector.
pub(super) async fn vectors(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<u64, MemoryError> {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM items WHERE id = ANY($1) AND embedding IS NOT NULL",
    );
    let count: i64 = count.bind(ids).fetch_one(connection).await?;
    Ok(count.unsigned_abs())
}

/// Exports that hold some of `ids`, the latest first.
pub(super) async fn exports(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<Export>, MemoryError> {
    let rows = sqlx::query(
        "SELECT at, items FROM exports JOIN LATERAL (
           SELECT CASE WHEN whole
                    THEN (SELECT count(*) FROM items
                           WHERE items.id = ANY($1) AND recorded_at <= exports.at)
                    ELSE (SELECT count(*) FROM exported
                           WHERE export_id = exports.id AND item_id = ANY($1)) END AS items
         ) AS held ON items > 0
          ORDER BY exports.id DESC LIMIT $2",
    )
    .bind(ids)
    .bind(MOST_TOLD)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok(Export { at: row.try_get("at")?, items: row.try_get("items")? }))
        .collect()
}

/// Takes the words of items that are still there out of the counts.
pub(super) async fn uncount(
    connection: &mut PgConnection,
    namespace: &Namespace,
    ids: &[Uuid],
) -> Result<(), MemoryError> {
    // Whoever counts one of them right now is waited for.
    let never: Vec<Uuid> = sqlx::query_scalar(
        "DELETE FROM uncounted WHERE namespace = $2 AND item_id = ANY($1) RETURNING item_id",
    )
    .bind(ids)
    .bind(&namespace.0)
    .fetch_all(&mut *connection)
    .await?;
    // In the order of the lexemes, as they are counted: nobody waits in a circle.
    sqlx::query(
        "SELECT FROM terms WHERE namespace = $1 AND lexeme IN (
           SELECT unnest(tsvector_to_array(tsv) || '{\"\"}'::text[]) FROM items
            WHERE namespace = $1 AND id = ANY($2))
          ORDER BY lexeme FOR UPDATE",
    )
    .bind(&namespace.0)
    .bind(ids)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "WITH lost AS (
           SELECT lexeme, count(*) AS items
             FROM items, unnest(tsvector_to_array(tsv) || '{\"\"}'::text[]) AS lexeme
            WHERE namespace = $1 AND id = ANY($2) AND id <> ALL($3) GROUP BY lexeme)
         UPDATE terms SET items = greatest(terms.items - lost.items, 0) FROM lost
          WHERE namespace = $1 AND terms.lexeme = lost.lexeme",
    )
    .bind(&namespace.0)
    .bind(ids)
    .bind(never)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM terms WHERE namespace = $1 AND items = 0 AND lexeme <> ''")
        .bind(&namespace.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// Drops the names of actors who have said nothing that is still there.
pub(super) async fn actors(
    connection: &mut PgConnection,
    namespace: &Namespace,
) -> Result<(), MemoryError> {
    sqlx::query(
        "DELETE FROM actors WHERE namespace = $1 AND NOT EXISTS (
           SELECT FROM items
            WHERE namespace = $1 AND kind = 1 AND actor <> '' AND actor = actors.actor)",
    )
    .bind(&namespace.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Drops the digests of the requests that wrote `ids` or the log's entries `actions`: a short text
/// could be guessed by them. The keys stay: a request that is sent again must not bring back what
/// was forgotten.
pub(super) async fn keys(
    connection: &mut PgConnection,
    namespace: &Namespace,
    ids: &[Uuid],
    actions: &[(i64, i64)],
) -> Result<(), MemoryError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let actions: Vec<i64> = actions.iter().map(|(id, _)| *id).collect();
    sqlx::query(
        "UPDATE idempotency_keys SET content = ''
          WHERE namespace = $1
            AND (answer ->> 'episode_id' = ANY($2) OR answer -> 'fact_ids' ?| $2
                 OR answer IN (SELECT to_jsonb(unnest($3::bigint[]))))",
    )
    .bind(&namespace.0)
    .bind(ids)
    .bind(actions)
    .execute(connection)
    .await?;
    Ok(())
}

/// Marks the files of a document, and of what of it was set aside, as to be deleted, and drops what is
/// set aside. A file has what it had last, or what was being written into it.
pub(super) async fn files(
    connection: &mut PgConnection,
    namespace: &Namespace,
    path: &str,
) -> Result<(), MemoryError> {
    sqlx::query(
        "INSERT INTO bank_forgotten (namespace, path, digest)
         SELECT $1, path, sha256(convert_to(text, 'UTF8'))
           FROM documents, unnest(ARRAY[content, base, writing]) AS text
          WHERE namespace = $1 AND path = $2 AND on_disk AND text IS NOT NULL
         UNION
         SELECT $1, name, sha256(convert_to(content, 'UTF8')) FROM bank_conflicts
          WHERE namespace = $1 AND path = $2 AND written
         ON CONFLICT DO NOTHING",
    )
    .bind(&namespace.0)
    .bind(path)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM bank_conflicts WHERE namespace = $1 AND path = $2")
        .bind(&namespace.0)
        .bind(path)
        .execute(connection)
        .await?;
    Ok(())
}

/// What still names what was forgotten: ids of episodes, facts and sections, paths of documents, names
/// of conflicts.
pub(super) async fn mentions(
    connection: &mut PgConnection,
    namespace: &Namespace,
    pattern: &str,
) -> Result<Vec<String>, MemoryError> {
    let found = sqlx::query_scalar(
        "(SELECT id::text FROM items
           WHERE namespace = $1 AND kind <> 3 AND (text ~* $2 OR actor ~* $2) ORDER BY id LIMIT $3)
         UNION ALL
         (SELECT path FROM documents
           WHERE namespace = $1 AND concat_ws(' ', content, base, before) ~* $2
           ORDER BY path LIMIT $3)
         UNION ALL
         (SELECT name FROM bank_conflicts WHERE namespace = $1 AND content ~* $2
           ORDER BY name LIMIT $3)
         LIMIT $3",
    );
    Ok(found.bind(&namespace.0).bind(pattern).bind(MOST_TOLD).fetch_all(connection).await?)
}
