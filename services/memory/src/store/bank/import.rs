//! A document's text becomes its sections.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::{
    error::MemoryError,
    knowledge::{Item, Kind, Namespace, belief::ChangeKind, markdown},
    store::{belief::note_staleness, changes::Changes, items::insert_items, new_id, now},
};

/// What an import changed, in sections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Under headings that were not there.
    pub added: u32,
    /// Other text under the same heading.
    pub changed: u32,
    /// Gone.
    pub removed: u32,
    /// As they were.
    pub unchanged: u32,
}

/// Documents on their way in, in one transaction.
#[derive(Default)]
pub(super) struct Import {
    pub(super) at: DateTime<Utc>,
    imported: Imported,
    removed: Vec<Uuid>,
    changes: Changes,
}

impl Import {
    pub(super) fn begin() -> Self {
        Self { at: now(), ..Self::default() }
    }

    /// Notes what became stale and what changed.
    pub(super) async fn finish(
        self,
        connection: &mut PgConnection,
        namespace: &Namespace,
    ) -> Result<Imported, MemoryError> {
        let Self { at, imported, removed, mut changes } = self;
        note_staleness(connection, &removed, &[], at, &mut changes).await?;
        changes.finish(connection, namespace, at).await?;
        Ok(imported)
    }

    /// The document at `path`, which has a row, has this `content` now; sections that are the same
    /// stay untouched.
    pub(super) async fn sections(
        &mut self,
        connection: &mut PgConnection,
        namespace: &Namespace,
        path: &str,
        content: &str,
    ) -> Result<(), MemoryError> {
        let mut known = known_sections(connection, namespace, path).await?;
        let mut fresh = Vec::new();
        for (position, section) in (0_i32..).zip(markdown::sections(content)) {
            let text = section.text();
            let alike = known.get_mut(&section.heading);
            let same = alike.and_then(|of_heading| {
                let at = of_heading.iter().position(|(_, known)| *known == text)?;
                Some(of_heading.swap_remove(at).0)
            });
            match same {
                Some(id) => {
                    self.imported.unchanged += 1;
                    sqlx::query(
                        "UPDATE sections SET position = $3 WHERE namespace = $1 AND id = $2",
                    )
                    .bind(&namespace.0)
                    .bind(id)
                    .bind(position)
                    .execute(&mut *connection)
                    .await?;
                }
                None => fresh.push((position, section.heading, text)),
            }
        }
        for (position, heading, text) in fresh {
            let old = known.get_mut(&heading).and_then(Vec::pop);
            match old {
                Some((id, _)) => {
                    self.imported.changed += 1;
                    self.remove(connection, namespace, id).await?;
                }
                None => self.imported.added += 1,
            }
            self.add(connection, namespace, (path, position, &heading), text).await?;
        }
        for (id, _) in known.into_values().flatten() {
            self.imported.removed += 1;
            self.remove(connection, namespace, id).await?;
        }
        Ok(())
    }

    /// The row stays, as what was known until now.
    async fn remove(
        &mut self,
        connection: &mut PgConnection,
        namespace: &Namespace,
        id: Uuid,
    ) -> Result<(), MemoryError> {
        sqlx::query(
            "UPDATE items SET retracted_at = $3, reason = 'imported anew'
              WHERE namespace = $1 AND id = $2",
        )
        .bind(&namespace.0)
        .bind(id)
        .bind(self.at)
        .execute(connection)
        .await?;
        self.removed.push(id);
        self.changes.note(ChangeKind::Retracted, id, Kind::Section);
        Ok(())
    }

    async fn add(
        &mut self,
        connection: &mut PgConnection,
        namespace: &Namespace,
        (path, position, heading): (&str, i32, &str),
        text: String,
    ) -> Result<(), MemoryError> {
        let id = new_id();
        let item = Item {
            id,
            kind: Kind::Section,
            text,
            source: path.to_owned(),
            actor: "memory-bank".to_owned(),
            session: String::new(),
            valid_from: self.at,
            valid_to: None,
            recorded_at: self.at,
        };
        insert_items(connection, namespace, vec![item]).await?;
        sqlx::query("INSERT INTO sections VALUES ($1, $2, $3, $4, $5)")
            .bind(id)
            .bind(&namespace.0)
            .bind(path)
            .bind(position)
            .bind(heading)
            .execute(connection)
            .await?;
        self.changes.note(ChangeKind::Recorded, id, Kind::Section);
        Ok(())
    }
}

/// Ids and texts by heading.
async fn known_sections(
    connection: &mut PgConnection,
    namespace: &Namespace,
    path: &str,
) -> Result<HashMap<String, Vec<(Uuid, String)>>, MemoryError> {
    let rows = sqlx::query(
        "SELECT sections.id, heading, text
           FROM sections JOIN items ON items.namespace = $1 AND items.id = sections.id
          WHERE sections.namespace = $1 AND path = $2 AND retracted_at IS NULL
          ORDER BY position DESC",
    )
    .bind(&namespace.0)
    .bind(path)
    .fetch_all(connection)
    .await?;
    let mut known: HashMap<String, Vec<_>> = HashMap::new();
    for row in rows {
        let of_heading = known.entry(row.try_get("heading")?).or_default();
        of_heading.push((row.try_get("id")?, row.try_get("text")?));
    }
    Ok(known)
}
