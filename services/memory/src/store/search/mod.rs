//! Finding items.
//!
//! Candidates come from indexes, some tens from each (`candidates`, `links`); what ranks them is
//! measured of those few hundred only (`pool`).

mod candidates;
mod entity;
mod links;
mod pool;
mod terms;
mod vectors;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgArguments;

pub use self::{
    entity::Entity,
    links::Linked,
    terms::{Terms, weight},
};
use crate::{
    knowledge::{Kind, Namespace},
    store::now,
};

/// Where to look.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Whose memory.
    pub namespace: Namespace,
    /// What kinds; never empty.
    pub kinds: Vec<Kind>,
    /// Facts that hold at this time.
    pub as_of: DateTime<Utc>,
    /// Left out; empty for none.
    pub exclude_session: String,
    /// How many.
    pub limit: i64,
}

/// The part of every search that says where to look; its parameters are $1 to $4.
const SCOPE: &str = "namespace = $1 AND kind = ANY($2) AND retracted_at IS NULL
    AND (kind <> 2 OR (valid_from <= $3 AND (valid_to IS NULL OR valid_to > $3)))
    AND ($4 = '' OR session <> $4)";

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, PgArguments>;

impl Scope {
    /// All kinds, now.
    #[must_use]
    pub fn everything(namespace: Namespace, limit: i64) -> Self {
        Self {
            namespace,
            kinds: Kind::ALL.to_vec(),
            as_of: now(),
            exclude_session: String::new(),
            limit,
        }
    }

    /// Binds the parameters of [`SCOPE`].
    fn bind<'q>(&'q self, query: Query<'q>) -> Query<'q> {
        let kinds: Vec<i16> = self.kinds.iter().map(|kind| kind.number()).collect();
        query.bind(&self.namespace.0).bind(kinds).bind(self.as_of).bind(&self.exclude_session)
    }
}
