//! Agents edit documents.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{Import, stored};
use crate::{
    error::MemoryError,
    knowledge::{
        Namespace,
        bank::{
            LARGEST, etag,
            section::{Edit, Refusal, edited, outline},
        },
        log::NewAction,
    },
    store::{Key, Store, actions},
};

/// A document with more conflicts is not edited before a person has dealt with them.
const MOST_CONFLICTS: i64 = 16;

/// More documents are not made by editing.
const MOST_DOCUMENTS: i64 = 1_024;

/// So many headings are told to whoever asks for one that is not there.
const MOST_HEADINGS: usize = 12;

/// An edit that is asked for.
#[derive(Debug, Clone)]
pub struct EditWish {
    /// Of the document.
    pub path: String,
    /// What changes.
    pub edit: Edit,
    /// Who asks.
    pub actor: String,
    /// In which run.
    pub run_id: String,
    /// Why, for the log; may be empty.
    pub reason: String,
}

/// What an edit made.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Edited {
    /// Of the whole document since.
    pub etag: String,
    /// Whether the document was made.
    pub created: bool,
    /// Whether it is as it was.
    pub unchanged: bool,
}

impl Store {
    /// Makes an agent's edit and logs it, in one transaction.
    ///
    /// # Errors
    /// When the section is not there, or is not as the agent saw it.
    pub async fn edit_document(
        &self,
        namespace: &Namespace,
        key: Option<&Key>,
        wish: &EditWish,
    ) -> Result<Edited, MemoryError> {
        let mut transaction = self.begin_believing(namespace).await?;
        if let Some(key) = key
            && let Some(answer) = key.claim(&mut transaction, namespace, &Value::Null).await?
        {
            return Ok(serde_json::from_value(answer)?);
        }
        let done = edit(&mut transaction, namespace, wish).await?;
        if let Some(key) = key {
            key.keep(&mut transaction, namespace, &serde_json::to_value(&done)?).await?;
        }
        transaction.commit().await?;
        Ok(done)
    }
}

async fn edit(
    connection: &mut PgConnection,
    namespace: &Namespace,
    wish: &EditWish,
) -> Result<Edited, MemoryError> {
    let known = stored(connection, namespace, &wish.path).await?;
    let created = known.is_none();
    if created && (!wish.edit.heading.is_empty() || !wish.edit.seen.is_empty()) {
        return Err(MemoryError::NoItem { what: "document", id: wish.path.clone() });
    }
    bounded(connection, namespace, &wish.path, created).await?;
    let old = known.map(|known| known.content).unwrap_or_default();
    let new = edited(&old, &wish.edit).map_err(|refusal| refused(&refusal, wish, &old))?;
    if new.len() > LARGEST {
        return Err(MemoryError::DocumentTooLarge);
    }
    let done = Edited { etag: etag(&new), created, unchanged: new == old && !created };
    if done.unchanged {
        return Ok(done);
    }
    let mut import = Import::begin();
    sqlx::query(
        "INSERT INTO documents (namespace, path, content, imported_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (namespace, path) DO UPDATE
           SET content = $3, imported_at = $4, removed_at = NULL",
    )
    .bind(&namespace.0)
    .bind(&wish.path)
    .bind(&new)
    .bind(import.at)
    .execute(&mut *connection)
    .await?;
    import.sections(connection, namespace, &wish.path, &new).await?;
    let what = NewAction {
        actor: wish.actor.clone(),
        action: "bank.edited".to_owned(),
        summary: summary(wish),
        details: json!({ "document": wish.path, "heading": wish.edit.heading, "etag": done.etag })
            .to_string(),
        run_id: wish.run_id.clone(),
    };
    actions::append(connection, namespace, what).await?;
    import.finish(connection, namespace).await?;
    Ok(done)
}

async fn bounded(
    connection: &mut PgConnection,
    namespace: &Namespace,
    path: &str,
    created: bool,
) -> Result<(), MemoryError> {
    let count = "SELECT count(*) FROM bank_conflicts WHERE namespace = $1 AND path = $2";
    let conflicts: i64 =
        sqlx::query_scalar(count).bind(&namespace.0).bind(path).fetch_one(&mut *connection).await?;
    if conflicts >= MOST_CONFLICTS {
        return Err(MemoryError::InConflict(path.to_owned()));
    }
    if created {
        let count = "SELECT count(*) FROM documents WHERE namespace = $1 AND removed_at IS NULL";
        let documents: i64 =
            sqlx::query_scalar(count).bind(&namespace.0).fetch_one(connection).await?;
        if documents >= MOST_DOCUMENTS {
            return Err(MemoryError::TooManyDocuments(MOST_DOCUMENTS));
        }
    }
    Ok(())
}

fn refused(refusal: &Refusal, wish: &EditWish, content: &str) -> MemoryError {
    let path = wish.path.clone();
    match refusal {
        Refusal::Stale if wish.edit.seen.is_empty() => MemoryError::BaseRequired(path),
        Refusal::Stale => MemoryError::StaleEdit(path),
        Refusal::NoSection => {
            let headings = outline(content).into_iter().skip(1).take(MOST_HEADINGS);
            let headings: Vec<String> = headings.map(|at| at.heading.join(" › ")).collect();
            MemoryError::NoSection { path, headings: headings.join("; ") }
        }
        Refusal::Ambiguous(count) => MemoryError::AmbiguousSection { path, count: *count },
        Refusal::OpenCode => MemoryError::OpenCode,
    }
}

fn summary(wish: &EditWish) -> String {
    let section = wish.edit.heading.join(" › ");
    let place = if section.is_empty() { String::new() } else { format!(", {section}") };
    let reason = if wish.reason.is_empty() { String::new() } else { format!(": {}", wish.reason) };
    format!("edited {}{place}{reason}", wish.path)
}
