//! The memory bank's documents and their sections.
//!
//! Whoever changes a document holds the lock of beliefs: two would each compare with what was before
//! both.

mod conflicts;
mod edit;
mod import;
mod reading;
mod sync;

use sqlx::{PgConnection, Row};

pub(super) use self::reading::counts;
pub use self::{
    conflicts::Conflict,
    edit::{EditWish, Edited},
    import::Imported,
    reading::{BankCounts, Document, DocumentState, Listed},
    sync::{Settled, Tracked},
};
use self::{conflicts::set_aside, import::Import};
use super::Store;
use crate::{
    error::MemoryError,
    knowledge::{
        Namespace,
        bank::step::{Step, Stored, step},
    },
};

/// How long whoever writes a file is thought not to have seen what was written there before, unless
/// he has some of it, in seconds.
const UNSEEN_SECONDS: f64 = 5.0;

impl Store {
    /// Takes documents in, in one transaction; sections that are the same stay untouched. What
    /// agents edited since the import before is merged, and set aside where it does not fit.
    pub async fn import(
        &self,
        namespace: &Namespace,
        documents: Vec<Document>,
    ) -> Result<Imported, MemoryError> {
        let mut transaction = self.begin_believing(namespace).await?;
        let mut import = Import::begin();
        for Document { path, content: file } in documents {
            let stored = stored(&mut transaction, namespace, &path).await?;
            let content = match step(Some(&file), stored.as_ref()) {
                Step::TakeIn { content } => content,
                // The copy is older than what agents made of it.
                Step::Write => {
                    stored.as_ref().map_or_else(|| file.clone(), |at| at.content.clone())
                }
                Step::SetAside => {
                    set_aside(&mut transaction, namespace, &path, stored.as_ref(), import.at)
                        .await?;
                    file.clone()
                }
                Step::Rest | Step::Note | Step::Remove => file.clone(),
            };
            // What is in the folder's file is not changed by a copy from elsewhere.
            let base = match stored {
                Some(Stored { base, on_disk: true, .. }) => base,
                _ => Some(file),
            };
            sqlx::query(
                "INSERT INTO documents (namespace, path, content, imported_at, base)
                 VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (namespace, path) DO UPDATE
                   SET content = $3, imported_at = $4, base = $5, removed_at = NULL",
            )
            .bind(&namespace.0)
            .bind(&path)
            .bind(&content)
            .bind(import.at)
            .bind(base)
            .execute(&mut *transaction)
            .await?;
            import.sections(&mut transaction, namespace, &path, &content).await?;
        }
        let imported = import.finish(&mut transaction, namespace).await?;
        transaction.commit().await?;
        Ok(imported)
    }
}

/// A document as it is, unless it was removed.
async fn stored(
    connection: &mut PgConnection,
    namespace: &Namespace,
    path: &str,
) -> Result<Option<Stored>, MemoryError> {
    let row = sqlx::query(
        "SELECT content, base, on_disk, writing,
                CASE WHEN written_at > clock_timestamp() - make_interval(secs => $3)
                     THEN before END AS before
           FROM documents WHERE namespace = $1 AND path = $2 AND removed_at IS NULL",
    )
    .bind(&namespace.0)
    .bind(path)
    .bind(UNSEEN_SECONDS)
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Stored {
            content: row.try_get("content")?,
            base: row.try_get("base")?,
            on_disk: row.try_get("on_disk")?,
            writing: row.try_get("writing")?,
            before: row.try_get("before")?,
        })
    })
    .transpose()
}
