//! Documents in step with a folder's files.

use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Row};

use super::{Import, set_aside, stored};
use crate::{
    error::MemoryError,
    knowledge::{
        Namespace,
        bank::{
            is_document,
            step::{Step, step},
        },
    },
    store::Store,
};

/// A path the store knows of.
#[derive(Debug, Clone)]
pub struct Tracked {
    /// Of the document, or of a file that is forgotten.
    pub path: String,
    /// SHA-256 of what the file is known to have, if store and file have the same.
    pub settled: Option<Vec<u8>>,
    /// Whether the file is known to be there.
    pub on_disk: bool,
}

/// What is to be done about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Nothing: store and file have the same.
    InStep,
    /// Look again: something was noted.
    Again,
    /// What agents wrote is set aside: look again.
    SetAside,
    /// This is to be written into the file.
    Write(String),
    /// The file is forgotten and to be deleted.
    Erase,
}

impl Store {
    /// All paths the store knows of.
    pub async fn tracked(&self, namespace: &Namespace) -> Result<Vec<Tracked>, MemoryError> {
        let rows = sqlx::query(
            "SELECT path, on_disk,
                    CASE WHEN on_disk AND content = base
                         THEN sha256(convert_to(content, 'UTF8')) END AS settled
               FROM documents WHERE namespace = $1 AND removed_at IS NULL
             UNION ALL
             SELECT DISTINCT path, true, NULL::bytea FROM bank_forgotten WHERE namespace = $1",
        )
        .bind(&namespace.0)
        .fetch_all(&mut *self.read(namespace).await?)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Tracked {
                    path: row.try_get("path")?,
                    settled: row.try_get("settled")?,
                    on_disk: row.try_get("on_disk")?,
                })
            })
            .collect()
    }

    /// Does in the store what follows from the file's text, and tells what is to be done about the
    /// file.
    pub async fn settle_document(
        &self,
        namespace: &Namespace,
        path: &str,
        file: Option<&str>,
    ) -> Result<Settled, MemoryError> {
        let mut transaction = self.begin_believing(namespace).await?;
        if forgotten(&mut transaction, namespace, path, file).await? {
            return Ok(Settled::Erase);
        }
        if !is_document(path) {
            transaction.commit().await?;
            return Ok(Settled::InStep);
        }
        let known = stored(&mut transaction, namespace, path).await?;
        let step = step(file, known.as_ref());
        let settled = match step {
            Step::Rest => Settled::InStep,
            Step::Note => {
                note(&mut transaction, namespace, path, file).await?;
                Settled::Again
            }
            Step::Write => {
                let content = known.map(|known| known.content).unwrap_or_default();
                write(&mut transaction, namespace, path).await?;
                Settled::Write(content)
            }
            Step::TakeIn { content } => {
                take_in(&mut transaction, namespace, path, file, &content).await?;
                Settled::Again
            }
            Step::SetAside => {
                let at = crate::store::now();
                set_aside(&mut transaction, namespace, path, known.as_ref(), at).await?;
                match file {
                    Some(text) => take_in(&mut transaction, namespace, path, file, text).await?,
                    None => remove(&mut transaction, namespace, path).await?,
                }
                Settled::SetAside
            }
            Step::Remove => {
                remove(&mut transaction, namespace, path).await?;
                Settled::Again
            }
        };
        transaction.commit().await?;
        Ok(settled)
    }

    /// Notes which folder the documents are in step with. In another one nothing is known to be in
    /// the files.
    pub async fn enter_folder(
        &self,
        namespace: &Namespace,
        folder: &str,
    ) -> Result<(), MemoryError> {
        let mut transaction = self.begin_believing(namespace).await?;
        let before: Option<String> =
            sqlx::query_scalar("SELECT folder FROM bank_folders WHERE namespace = $1")
                .bind(&namespace.0)
                .fetch_optional(&mut *transaction)
                .await?;
        if before.as_deref() == Some(folder) {
            return Ok(());
        }
        for query in [
            "UPDATE documents SET on_disk = false, writing = NULL, before = NULL WHERE namespace = $1",
            "UPDATE bank_conflicts SET written = false WHERE namespace = $1",
            "DELETE FROM bank_forgotten WHERE namespace = $1",
        ] {
            sqlx::query(query).bind(&namespace.0).execute(&mut *transaction).await?;
        }
        sqlx::query(
            "INSERT INTO bank_folders VALUES ($1, $2)
             ON CONFLICT (namespace) DO UPDATE SET folder = $2",
        )
        .bind(&namespace.0)
        .bind(folder)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }
}

/// Whether the file is one that is to be deleted. Once it is not there, or has another text, that is
/// over.
async fn forgotten(
    connection: &mut PgConnection,
    namespace: &Namespace,
    path: &str,
    file: Option<&str>,
) -> Result<bool, MemoryError> {
    let known: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM bank_forgotten WHERE namespace = $1 AND path = $2 AND digest = $3)",
    )
    .bind(&namespace.0)
    .bind(path)
    .bind(file.map(|file| Sha256::digest(file).to_vec()))
    .fetch_one(&mut *connection)
    .await?;
    if !known {
        sqlx::query("DELETE FROM bank_forgotten WHERE namespace = $1 AND path = $2")
            .bind(&namespace.0)
            .bind(path)
            .execute(connection)
            .await?;
    }
    Ok(known)
}

/// The file's text is the base.
async fn note(
    connection: &mut PgConnection,
    namespace: &Namespace,
    path: &str,
    file: Option<&str>,
) -> Result<(), MemoryError> {
    sqlx::query(
        "UPDATE documents
            SET before = CASE WHEN on_disk THEN base END, base = $3, on_disk = true,
                writing = NULL, written_at = clock_timestamp()
          WHERE namespace = $1 AND path = $2",
    )
    .bind(&namespace.0)
    .bind(path)
    .bind(file)
    .execute(connection)
    .await?;
    Ok(())
}

/// What the document has is being written.
async fn write(
    connection: &mut PgConnection,
    namespace: &Namespace,
    path: &str,
) -> Result<(), MemoryError> {
    sqlx::query("UPDATE documents SET writing = content WHERE namespace = $1 AND path = $2")
        .bind(&namespace.0)
        .bind(path)
        .execute(connection)
        .await?;
    Ok(())
}

/// The file's text is the base, `content` what the document has.
async fn take_in(
    connection: &mut PgConnection,
    namespace: &Namespace,
    path: &str,
    file: Option<&str>,
    content: &str,
) -> Result<(), MemoryError> {
    let mut import = Import::begin();
    sqlx::query(
        "INSERT INTO documents (namespace, path, content, imported_at, base, on_disk)
         VALUES ($1, $2, $3, $4, $5, true)
         ON CONFLICT (namespace, path) DO UPDATE
           SET content = $3, imported_at = $4, base = $5, on_disk = true, writing = NULL,
               before = NULL, removed_at = NULL",
    )
    .bind(&namespace.0)
    .bind(path)
    .bind(content)
    .bind(import.at)
    .bind(file)
    .execute(&mut *connection)
    .await?;
    import.sections(connection, namespace, path, content).await?;
    import.finish(connection, namespace).await.map(drop)
}

/// The document is not there any more; what it said stays as what was known until now.
async fn remove(
    connection: &mut PgConnection,
    namespace: &Namespace,
    path: &str,
) -> Result<(), MemoryError> {
    let mut import = Import::begin();
    import.sections(connection, namespace, path, "").await?;
    sqlx::query(
        "UPDATE documents
            SET content = '', base = NULL, writing = NULL, before = NULL, on_disk = false,
                removed_at = $3
          WHERE namespace = $1 AND path = $2",
    )
    .bind(&namespace.0)
    .bind(path)
    .bind(import.at)
    .execute(&mut *connection)
    .await?;
    import.finish(connection, namespace).await.map(drop)
}
