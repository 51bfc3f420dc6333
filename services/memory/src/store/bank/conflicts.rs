//! What agents wrote and a person's edit stood against: set aside until a person has dealt with it.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgConnection, Row};

use crate::{
    error::MemoryError,
    knowledge::{
        Namespace,
        bank::{conflict_path, step::Stored},
        log::NewAction,
    },
    store::{Store, actions, now},
};

/// Who logs what was done about files.
const KEEPER: &str = "service:memory";

/// What is set aside.
#[derive(Debug, Clone)]
pub struct Conflict {
    /// Of the file in which it is set aside.
    pub name: String,
    /// Of the document.
    pub path: String,
    /// Since when.
    pub at: DateTime<Utc>,
    /// Whether the file was there.
    pub written: bool,
}

impl Store {
    /// Conflicts, by name.
    pub async fn conflicts(&self, namespace: &Namespace) -> Result<Vec<Conflict>, MemoryError> {
        let rows = sqlx::query(
            "SELECT name, path, at, written FROM bank_conflicts WHERE namespace = $1 ORDER BY name",
        )
        .bind(&namespace.0)
        .fetch_all(&mut *self.read(namespace).await?)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Conflict {
                    name: row.try_get("name")?,
                    path: row.try_get("path")?,
                    at: row.try_get("at")?,
                    written: row.try_get("written")?,
                })
            })
            .collect()
    }

    /// The file of a conflict is there: its absence is the person's word from now on.
    pub async fn conflict_written(
        &self,
        namespace: &Namespace,
        name: &str,
    ) -> Result<(), MemoryError> {
        let mut transaction = self.begin(namespace).await?;
        sqlx::query("UPDATE bank_conflicts SET written = true WHERE namespace = $1 AND name = $2")
            .bind(&namespace.0)
            .bind(name)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// The person has dealt with a conflict.
    pub async fn conflict_resolved(
        &self,
        namespace: &Namespace,
        conflict: &Conflict,
    ) -> Result<(), MemoryError> {
        let mut transaction = self.begin(namespace).await?;
        let gone = sqlx::query("DELETE FROM bank_conflicts WHERE namespace = $1 AND name = $2")
            .bind(&namespace.0)
            .bind(&conflict.name)
            .execute(&mut *transaction)
            .await?;
        if gone.rows_affected() > 0 {
            let summary = format!("{} is resolved: its file was deleted", conflict.name);
            log(&mut transaction, namespace, "bank.resolved", summary, conflict).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Sets `content` aside that a person wrote into a file that was replaced just then.
    pub async fn set_late_aside(
        &self,
        namespace: &Namespace,
        path: &str,
        content: &str,
    ) -> Result<(), MemoryError> {
        let mut transaction = self.begin(namespace).await?;
        let stored = Stored { content: content.to_owned(), ..Stored::default() };
        set_aside(&mut transaction, namespace, path, Some(&stored), now()).await?;
        Ok(transaction.commit().await?)
    }
}

/// Sets a document's content aside.
pub(super) async fn set_aside(
    connection: &mut PgConnection,
    namespace: &Namespace,
    path: &str,
    stored: Option<&Stored>,
    at: DateTime<Utc>,
) -> Result<(), MemoryError> {
    let Some(Stored { content, .. }) = stored else { return Ok(()) };
    let name = conflict_path(path, content);
    sqlx::query(
        "INSERT INTO bank_conflicts (namespace, name, path, content, at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (namespace, name) DO UPDATE SET written = false",
    )
    .bind(&namespace.0)
    .bind(&name)
    .bind(path)
    .bind(content)
    .bind(at)
    .execute(&mut *connection)
    .await?;
    let conflict = Conflict { name, path: path.to_owned(), at, written: false };
    let summary = format!("{path} was edited by a person and an agent: see {}", conflict.name);
    log(connection, namespace, "bank.conflict", summary, &conflict).await
}

async fn log(
    connection: &mut PgConnection,
    namespace: &Namespace,
    action: &str,
    summary: String,
    conflict: &Conflict,
) -> Result<(), MemoryError> {
    let what = NewAction {
        actor: KEEPER.to_owned(),
        action: action.to_owned(),
        summary,
        details: json!({ "document": conflict.path, "conflict": conflict.name }).to_string(),
        run_id: String::new(),
    };
    actions::append(connection, namespace, what).await.map(drop)
}
