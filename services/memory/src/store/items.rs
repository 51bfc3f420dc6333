//! Items as rows.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use crate::{
    error::MemoryError,
    knowledge::{Item, Kind, Namespace},
};

/// Columns that [`item`] reads.
pub(super) const COLUMNS: &str =
    "id, kind, text, source, actor, session, valid_from, valid_to, recorded_at";

pub(super) fn item(row: &PgRow) -> Result<Item, MemoryError> {
    Ok(Item {
        id: row.try_get("id")?,
        // The column holds only numbers this service wrote.
        kind: Kind::of(row.try_get("kind")?).unwrap_or(Kind::Episode),
        text: row.try_get("text")?,
        source: row.try_get("source")?,
        actor: row.try_get("actor")?,
        session: row.try_get("session")?,
        valid_from: row.try_get("valid_from")?,
        valid_to: row.try_get("valid_to")?,
        recorded_at: row.try_get("recorded_at")?,
    })
}

/// Writes items down, in one statement.
pub(super) async fn insert_items(
    connection: &mut PgConnection,
    namespace: &Namespace,
    items: Vec<Item>,
) -> Result<(), MemoryError> {
    let mut columns = Columns::default();
    for item in items {
        columns.ids.push(item.id);
        columns.kinds.push(item.kind.number());
        columns.texts.push(item.text);
        columns.sources.push(item.source);
        columns.actors.push(item.actor);
        columns.sessions.push(item.session);
        columns.begin.push(item.valid_from);
        columns.end.push(item.valid_to);
        columns.recorded.push(item.recorded_at);
    }
    sqlx::query(
        "INSERT INTO items (namespace, id, kind, text, source, actor, session, valid_from, valid_to,
                            recorded_at)
         SELECT $1, * FROM unnest($2::uuid[], $3::smallint[], $4::text[], $5::text[], $6::text[],
                                  $7::text[], $8::timestamptz[], $9::timestamptz[],
                                  $10::timestamptz[])",
    )
    .bind(&namespace.0)
    .bind(columns.ids)
    .bind(columns.kinds)
    .bind(columns.texts)
    .bind(columns.sources)
    .bind(columns.actors)
    .bind(columns.sessions)
    .bind(columns.begin)
    .bind(columns.end)
    .bind(columns.recorded)
    .execute(connection)
    .await?;
    Ok(())
}

#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    kinds: Vec<i16>,
    texts: Vec<String>,
    sources: Vec<String>,
    actors: Vec<String>,
    sessions: Vec<String>,
    begin: Vec<DateTime<Utc>>,
    end: Vec<Option<DateTime<Utc>>>,
    recorded: Vec<DateTime<Utc>>,
}
