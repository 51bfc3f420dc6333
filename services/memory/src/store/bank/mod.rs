//! The memory bank's documents and their sections.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{
    Store, belief::note_staleness, changes::Changes, insert_item, new_id, now, tenant::lock_beliefs,
};
use crate::{
    error::MemoryError,
    knowledge::{Item, Kind, Namespace, belief::ChangeKind, markdown},
};

/// A markdown document.
#[derive(Debug, Clone)]
pub struct Document {
    /// Relative.
    pub path: String,
    /// Markdown.
    pub content: String,
}

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

impl Store {
    /// Takes documents in, in one transaction; sections that are the same stay untouched.
    pub async fn import(
        &self,
        namespace: &Namespace,
        documents: Vec<Document>,
    ) -> Result<Imported, MemoryError> {
        let mut transaction = self.begin(namespace).await?;
        // One import at a time: two would each compare with what was before both.
        lock_beliefs(&mut transaction, namespace).await?;
        let at = now();
        let mut import = Import { at, ..Import::default() };
        for document in documents {
            import.one(&mut transaction, namespace, &document).await?;
        }
        let Import { imported, removed, mut changes, .. } = import;
        note_staleness(&mut transaction, &removed, &[], at, &mut changes).await?;
        changes.finish(&mut transaction, namespace, at).await?;
        transaction.commit().await?;
        Ok(imported)
    }

    /// All documents, by path.
    pub async fn documents(&self, namespace: &Namespace) -> Result<Vec<Document>, MemoryError> {
        let rows =
            sqlx::query("SELECT path, content FROM documents WHERE namespace = $1 ORDER BY path")
                .bind(&namespace.0)
                .fetch_all(&mut *self.read(namespace).await?)
                .await?;
        rows.iter()
            .map(|row| Ok(Document { path: row.try_get(0)?, content: row.try_get(1)? }))
            .collect()
    }
}

/// An import on its way.
#[derive(Default)]
struct Import {
    at: DateTime<Utc>,
    imported: Imported,
    removed: Vec<Uuid>,
    changes: Changes,
}

impl Import {
    async fn one(
        &mut self,
        connection: &mut PgConnection,
        namespace: &Namespace,
        document: &Document,
    ) -> Result<(), MemoryError> {
        sqlx::query(
            "INSERT INTO documents VALUES ($1, $2, $3, $4)
             ON CONFLICT (namespace, path) DO UPDATE SET content = $3, imported_at = $4",
        )
        .bind(&namespace.0)
        .bind(&document.path)
        .bind(&document.content)
        .bind(self.at)
        .execute(&mut *connection)
        .await?;

        let mut known = known_sections(connection, namespace, &document.path).await?;
        let sections = markdown::sections(&document.content);
        let mut fresh = Vec::new();
        for (position, section) in (0_i32..).zip(sections) {
            let text = section.text();
            let alike = known.get_mut(&section.heading);
            let same = alike.and_then(|of_heading| {
                let at = of_heading.iter().position(|(_, known)| *known == text)?;
                Some(of_heading.swap_remove(at).0)
            });
            match same {
                Some(id) => {
                    self.imported.unchanged += 1;
                    sqlx::query("UPDATE sections SET position = $2 WHERE id = $1")
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
                    self.remove(connection, id).await?;
                }
                None => self.imported.added += 1,
            }
            self.add(connection, namespace, (&document.path, position, &heading), text).await?;
        }
        for (id, _) in known.into_values().flatten() {
            self.imported.removed += 1;
            self.remove(connection, id).await?;
        }
        Ok(())
    }

    /// The row stays, as what was known until now.
    async fn remove(&mut self, connection: &mut PgConnection, id: Uuid) -> Result<(), MemoryError> {
        sqlx::query("UPDATE items SET retracted_at = $2, reason = 'imported anew' WHERE id = $1")
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
        let item = Item {
            id: new_id(),
            kind: Kind::Section,
            text,
            source: path.to_owned(),
            actor: "memory-bank".to_owned(),
            session: String::new(),
            valid_from: self.at,
            valid_to: None,
            recorded_at: self.at,
        };
        insert_item(connection, namespace, &item).await?;
        sqlx::query("INSERT INTO sections VALUES ($1, $2, $3, $4, $5)")
            .bind(item.id)
            .bind(&namespace.0)
            .bind(path)
            .bind(position)
            .bind(heading)
            .execute(connection)
            .await?;
        self.changes.note(ChangeKind::Recorded, item.id, Kind::Section);
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
        "SELECT id, heading, text FROM sections JOIN items USING (id)
          WHERE sections.namespace = $1 AND path = $2 AND retracted_at IS NULL ORDER BY position DESC",
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
