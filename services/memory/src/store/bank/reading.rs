//! Documents as they are given out.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use crate::{
    error::MemoryError,
    knowledge::{Namespace, bank::is_conflict},
    store::Store,
};

/// A markdown document.
#[derive(Debug, Clone)]
pub struct Document {
    /// Relative.
    pub path: String,
    /// Markdown.
    pub content: String,
}

/// How a document stands to its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentState {
    /// There is no file of it.
    Stored,
    /// The file has the same, as far as is known.
    InStep,
    /// An agent's edit is to be written.
    Pending,
}

/// A document in a list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Relative.
    pub path: String,
    /// Of its content.
    pub etag: String,
    /// Of its content.
    pub bytes: i64,
    /// When it changed.
    pub changed_at: DateTime<Utc>,
    /// To its file.
    pub state: DocumentState,
}

/// How much of the bank there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct BankCounts {
    /// Documents.
    pub documents: i64,
    /// Agents' edits that are set aside.
    pub conflicts: i64,
}

impl Store {
    /// All documents, by path.
    pub async fn documents(&self, namespace: &Namespace) -> Result<Vec<Document>, MemoryError> {
        let rows = sqlx::query(
            "SELECT path, content FROM documents
              WHERE namespace = $1 AND removed_at IS NULL ORDER BY path",
        )
        .bind(&namespace.0)
        .fetch_all(&mut *self.read(namespace).await?)
        .await?;
        rows.iter()
            .map(|row| Ok(Document { path: row.try_get(0)?, content: row.try_get(1)? }))
            .collect()
    }

    /// A document's text, or what is set aside under a conflict's name.
    pub async fn document(&self, namespace: &Namespace, path: &str) -> Result<String, MemoryError> {
        let query = if is_conflict(path) {
            "SELECT content FROM bank_conflicts WHERE namespace = $1 AND name = $2"
        } else {
            "SELECT content FROM documents
              WHERE namespace = $1 AND path = $2 AND removed_at IS NULL"
        };
        let content: Option<String> = sqlx::query_scalar(query)
            .bind(&namespace.0)
            .bind(path)
            .fetch_optional(&mut *self.read(namespace).await?)
            .await?;
        content.ok_or_else(|| MemoryError::NoItem { what: "document", id: path.to_owned() })
    }

    /// Documents by path, after `after`.
    pub async fn list_documents(
        &self,
        namespace: &Namespace,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Listed>, MemoryError> {
        let rows = sqlx::query(
            "SELECT path, encode(substring(sha256(convert_to(content, 'UTF8')) FOR 16), 'hex') AS etag,
                    octet_length(content)::bigint AS bytes, imported_at, on_disk,
                    on_disk AND content IS DISTINCT FROM base AS pending
               FROM documents
              WHERE namespace = $1 AND path > $2 COLLATE \"C\" AND removed_at IS NULL
              ORDER BY path COLLATE \"C\" LIMIT $3",
        )
        .bind(&namespace.0)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *self.read(namespace).await?)
        .await?;
        rows.iter()
            .map(|row| {
                let state = match (row.try_get("on_disk")?, row.try_get("pending")?) {
                    (false, _) => DocumentState::Stored,
                    (true, false) => DocumentState::InStep,
                    (true, true) => DocumentState::Pending,
                };
                Ok(Listed {
                    path: row.try_get("path")?,
                    etag: row.try_get("etag")?,
                    bytes: row.try_get("bytes")?,
                    changed_at: row.try_get("imported_at")?,
                    state,
                })
            })
            .collect()
    }

    /// How many documents and conflicts there are.
    pub async fn bank_counts(&self, namespace: &Namespace) -> Result<BankCounts, MemoryError> {
        counts(&mut *self.read(namespace).await?, namespace).await
    }
}

/// How many documents and conflicts there are.
pub(in crate::store) async fn counts(
    connection: &mut PgConnection,
    namespace: &Namespace,
) -> Result<BankCounts, MemoryError> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM documents WHERE namespace = $1 AND removed_at IS NULL),
                (SELECT count(*) FROM bank_conflicts WHERE namespace = $1)",
    )
    .bind(&namespace.0)
    .fetch_one(connection)
    .await?;
    Ok(BankCounts { documents: row.try_get(0)?, conflicts: row.try_get(1)? })
}
