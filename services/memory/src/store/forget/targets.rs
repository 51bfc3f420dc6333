//! What is to be deleted: what was asked for, and all that is derived from it.

use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{Target, Wish};
use crate::{
    error::MemoryError,
    knowledge::{Namespace, belief::LATEST, log::FORGOTTEN},
    store::{entities::described, groups::Groups},
};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Ids of items, with those derived from others of them.
    pub(super) items: Vec<Uuid>,
    /// Numbers and places of the log's entries.
    pub(super) actions: Vec<(i64, i64)>,
    /// The path of a document.
    pub(super) document: Option<String>,
    /// Matches texts that name what is to be forgotten.
    pub(super) pattern: Option<String>,
}

/// Finds what is asked for.
pub(super) async fn find(
    connection: &mut PgConnection,
    namespace: &Namespace,
    wish: &Wish,
) -> Result<Found, MemoryError> {
    let mut found = Found::default();
    match &wish.target {
        Target::Item(id) => found.items = item(connection, *id).await?,
        Target::Entity(name) => {
            // With what is merged into it: it is one.
            let groups = Groups::known_at(connection, namespace, LATEST).await?;
            let entity = described(connection, namespace, name, &groups).await?;
            found.items = about(connection, &entity.ids).await?;
            found.pattern = pattern(entity.aliases.iter().chain([&entity.name]));
        }
        Target::Actor(actor) => {
            found.items = said(connection, namespace, "actor", actor).await?;
            // "agent:planner" is called "planner", too.
            let bare = actor.rsplit(':').next().unwrap_or(actor).to_owned();
            found.pattern = pattern([actor, &bare].into_iter());
        }
        Target::Session(session) => {
            found.items = said(connection, namespace, "session", session).await?;
        }
        Target::Document(path) => {
            found.items = sections(connection, namespace, path).await?;
            found.document = Some(path.clone());
        }
    }
    let mentioned = found.pattern.as_ref().filter(|_| wish.mentions);
    if let Some(pattern) = mentioned {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id FROM items WHERE namespace = $1 AND kind = 1 AND text ~* $2",
        )
        .bind(&namespace.0)
        .bind(pattern)
        .fetch_all(&mut *connection)
        .await?;
        found.items.extend(ids);
    }
    found.actions = actions(connection, namespace, wish, mentioned).await?;
    found.items = with_derived(connection, &found.items).await?;
    Ok(found)
}

async fn item(connection: &mut PgConnection, id: Uuid) -> Result<Vec<Uuid>, MemoryError> {
    let known = sqlx::query_scalar("SELECT id FROM items WHERE id = $1 AND kind IN (1, 2)");
    let known: Vec<Uuid> = known.bind(id).fetch_all(connection).await?;
    if known.is_empty() {
        return Err(MemoryError::NoItem { what: "fact or episode", id: id.to_string() });
    }
    Ok(known)
}

/// Entities, the facts about them, and the episodes these were learned from.
async fn about(connection: &mut PgConnection, entities: &[Uuid]) -> Result<Vec<Uuid>, MemoryError> {
    let ids = sqlx::query_scalar(
        "WITH told AS (SELECT id, episode_id FROM facts
                        WHERE subject_id = ANY($1) OR object_id = ANY($1))
         SELECT unnest($1) UNION SELECT id FROM told
         UNION SELECT episode_id FROM told WHERE episode_id IS NOT NULL",
    );
    Ok(ids.bind(entities).fetch_all(connection).await?)
}

/// Episodes and facts whose `column`, "actor" or "session", says so.
async fn said(
    connection: &mut PgConnection,
    namespace: &Namespace,
    column: &'static str,
    value: &str,
) -> Result<Vec<Uuid>, MemoryError> {
    let sql =
        format!("SELECT id FROM items WHERE namespace = $1 AND kind IN (1, 2) AND {column} = $2");
    // The column's name is a constant of this module.
    let ids = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
    Ok(ids.bind(&namespace.0).bind(value).fetch_all(connection).await?)
}

/// All sections a document ever had.
async fn sections(
    connection: &mut PgConnection,
    namespace: &Namespace,
    path: &str,
) -> Result<Vec<Uuid>, MemoryError> {
    let known: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM documents WHERE namespace = $1 AND path = $2)",
    )
    .bind(&namespace.0)
    .bind(path)
    .fetch_one(&mut *connection)
    .await?;
    if !known {
        return Err(MemoryError::NoItem { what: "document", id: path.to_owned() });
    }
    let ids = sqlx::query_scalar("SELECT id FROM sections WHERE namespace = $1 AND path = $2");
    Ok(ids.bind(&namespace.0).bind(path).fetch_all(connection).await?)
}

/// Entries of the log that are an actor's, of a session's run, or name what is to be forgotten.
/// Those that tell of deletions stay: without them tombstones would look like tampering.
async fn actions(
    connection: &mut PgConnection,
    namespace: &Namespace,
    wish: &Wish,
    pattern: Option<&String>,
) -> Result<Vec<(i64, i64)>, MemoryError> {
    let (actor, run) = match &wish.target {
        Target::Actor(actor) => (Some(actor), None),
        Target::Session(session) => (None, Some(session)),
        Target::Item(_) | Target::Entity(_) | Target::Document(_) => (None, None),
    };
    let rows = sqlx::query(
        "SELECT id, position FROM actions
          WHERE namespace = $1 AND forgotten_by IS NULL AND action <> $2
            AND (actor = $3 OR run_id = $4
                 OR concat_ws(' ', actor, summary, details) ~* $5)
          ORDER BY position",
    )
    .bind(&namespace.0)
    .bind(FORGOTTEN)
    .bind(actor)
    .bind(run)
    .bind(pattern)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// With all facts that rest on one of `ids`, however indirectly.
async fn with_derived(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<Uuid>, MemoryError> {
    let all = sqlx::query_scalar(
        "WITH RECURSIVE gone (id) AS (
           SELECT unnest($1::uuid[])
           UNION SELECT g.fact_id FROM gone JOIN grounds g ON g.ground_id = gone.id)
         SELECT id FROM gone",
    );
    Ok(all.bind(ids).fetch_all(connection).await?)
}

/// A regular expression of PostgreSQL that matches texts with one of `names` as whole words.
fn pattern<'n>(names: impl Iterator<Item = &'n String>) -> Option<String> {
    let names: Vec<String> =
        names.filter(|name| !name.is_empty()).map(|name| quoted(name)).collect();
    let edge = "[^[:alnum:]_]";
    (!names.is_empty()).then(|| format!("(^|{edge})({})($|{edge})", names.join("|")))
}

/// A name for a regular expression: each sign stands for itself.
fn quoted(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() * 2);
    for sign in name.chars() {
        if sign.is_ascii() && !sign.is_ascii_alphanumeric() {
            quoted.push('\\');
        }
        quoted.push(sign);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_by_the_letter() {
        assert_eq!(quoted("C++ (new)"), "C\\+\\+\\ \\(new\\)");
        assert_eq!(quoted("Zoë_1"), "Zoë\\_1");
        assert_eq!(pattern([String::new()].iter()), None);
    }
}
