//! What can go wrong, and what to do about it.

/// A request cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// PostgreSQL does not answer.
    #[error(
        "PostgreSQL does not answer ({0}); try again, with the same idempotency_key if it has one: \
         it may have been written"
    )]
    StoreUnavailable(String),
    /// PostgreSQL refused: a fault in this service.
    #[error("PostgreSQL refused: {0}")]
    Store(String),
    /// The key stands for something else.
    #[error(
        "idempotency_key `{0}` was used for other content, or for what is forgotten since: use a new \
         key"
    )]
    KeyReused(String),
    /// No such entity.
    #[error("no entity `{0}` is known")]
    NoEntity(String),
    /// No such item, or not of this namespace.
    #[error("no {what} `{id}` is known")]
    NoItem {
        /// What was looked for.
        what: &'static str,
        /// By this id.
        id: String,
    },
    /// What is retracted cannot be revised.
    #[error("the fact `{0}` is retracted: restore it before its validity is corrected")]
    Retracted(String),
    /// A validity that cannot be.
    #[error("valid_to must not be before valid_from, which is {0}")]
    EndsBeforeItBegins(chrono::DateTime<chrono::Utc>),
    /// An alias that would stand for two.
    #[error("another entity is called `{0}`: an alias stands for one entity")]
    AliasTaken(String),
    /// More aliases than an entity has.
    #[error("an entity has at most {0} aliases")]
    TooManyAliases(usize),
    /// Changes that are not kept any more, or never were.
    #[error(
        "changes after {asked} cannot be told: they are not kept any more, or the last is {last}; \
         read anew and watch from {last}"
    )]
    SequenceGone {
        /// The number asked for.
        asked: i64,
        /// The last number given.
        last: i64,
    },
    /// Something is wrong with a file.
    #[error("{0}")]
    BadLine(#[from] crate::knowledge::archive::BadLine),
    /// What is there would be mixed with what is taken in.
    #[error(
        "the namespace `{0}` is not empty: a namespace is taken in where there is none of that name"
    )]
    NamespaceNotEmpty(String),
    /// A document or section is not as the agent saw it.
    #[error("`{0}` has changed since it was read: read it again and edit what is there now")]
    StaleEdit(String),
    /// What is there was not seen.
    #[error("base_etag is required to replace what is there: read `{0}` first")]
    BaseRequired(String),
    /// No section stands under the headings.
    #[error("`{path}` has no section of these headings; it has: {headings}")]
    NoSection {
        /// Of the document.
        path: String,
        /// What there is.
        headings: String,
    },
    /// Several do.
    #[error("`{path}` has {count} sections of these headings: name those above them, too")]
    AmbiguousSection {
        /// Of the document.
        path: String,
        /// How many.
        count: usize,
    },
    /// The following sections would become code.
    #[error("must close every block of code it opens")]
    OpenCode,
    /// Larger than a document may be.
    #[error("the document would be larger than 1 MiB")]
    DocumentTooLarge,
    /// More documents than there may be.
    #[error("there are {0} documents already: edit one of them")]
    TooManyDocuments(i64),
    /// A person has to deal with conflicts first.
    #[error(
        "`{0}` has too many conflicts that nobody has dealt with; see `alina memory bank status`"
    )]
    InConflict(String),
    /// Files of the namespace are not watched.
    #[error("no folder is kept in step with this namespace: set memory.bank in config.yaml")]
    NotWatched,
    /// What was stored with a key cannot be read any more.
    #[error("the answer stored for a key cannot be read: {0}")]
    StoredAnswer(#[from] serde_json::Error),
}

impl From<sqlx::Error> for MemoryError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{Io, PoolClosed, PoolTimedOut, Protocol, WorkerCrashed};
        // 57P01 to 57P05: the server is stopping, starting or was killed; 53300: no connection left;
        // 40P01: it ended a circle of waiting, all was rolled back.
        let away = match &error {
            Io(_) | PoolTimedOut | PoolClosed | WorkerCrashed | Protocol(_) => true,
            sqlx::Error::Database(refusal) => {
                let code = refusal.code().unwrap_or_default();
                code.starts_with("57P0") || code == "53300" || code == "40P01"
            }
            _ => false,
        };
        if away {
            Self::StoreUnavailable(error.to_string())
        } else {
            Self::Store(error.to_string())
        }
    }
}
