//! Finding items.
//!
//! Candidates come from indexes, some tens from each (`candidates`, `links`); what ranks them is
//! measured of those few hundred only (`pool`).

mod candidates;
mod links;
mod pool;
mod terms;
mod vectors;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{Postgres, Transaction, postgres::PgArguments};
use uuid::Uuid;

pub use self::{
    links::Linked,
    terms::{Terms, weight},
    vectors::Bare,
};
use super::{
    Store,
    belief::{Seen, seen},
    now,
    tenant::enter,
};
use crate::{
    error::MemoryError,
    knowledge::{Kind, Namespace, belief::View},
};

/// A connection on which a search asks one question after another; all are answered of the same
/// state. Candidates come from indexes, which know nothing of row-level security: their queries name
/// the namespace.
#[derive(Debug)]
pub struct Look {
    transaction: Transaction<'static, Postgres>,
}

impl Store {
    /// Begins to look.
    pub async fn look(&self) -> Result<Look, MemoryError> {
        // The questions are always the same, and planning one for its parameters takes as long as
        // answering it. The index of vectors is searched for as many as are wanted, and on until there
        // are enough of the namespace.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
                     SET LOCAL plan_cache_mode = force_generic_plan;
                     SET LOCAL hnsw.ef_search = 40;
                     SET LOCAL hnsw.iterative_scan = strict_order";
        Ok(Look { transaction: self.pool.begin_with(begin).await? })
    }
}

impl Look {
    /// How those of `ids` appear in the view that are believed in it: as row-level security shows
    /// them. The last question.
    pub async fn seen(
        mut self,
        namespace: &Namespace,
        ids: &[Uuid],
        view: &View,
    ) -> Result<HashMap<Uuid, Seen>, MemoryError> {
        enter(&mut self.transaction, namespace).await?;
        seen(&mut self.transaction, ids, view).await
    }
}

/// Where to look.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Whose memory.
    pub namespace: Namespace,
    /// What kinds; never empty.
    pub kinds: Vec<Kind>,
    /// Facts that hold at this time.
    pub as_of: DateTime<Utc>,
    /// As they were believed at this time; now when absent.
    pub known_at: Option<DateTime<Utc>>,
    /// Whether stale facts are found, too.
    pub include_stale: bool,
    /// Left out; empty for none.
    pub exclude_session: String,
    /// How many.
    pub limit: i64,
}

/// The part of every search that says where to look; its parameters are $1 to $4. $3 holds the time
/// of which it is, since when it is known if that is not now, and any time if stale facts are left
/// out.
pub(super) const SCOPE: &str = "namespace = $1 AND kind = ANY($2)
    AND (($3::timestamptz[])[2] IS NOT NULL
         OR (retracted_at IS NULL
             AND (kind <> 2 OR (valid_from <= ($3::timestamptz[])[1]
                                AND (valid_to IS NULL OR valid_to > ($3::timestamptz[])[1])))))
    AND (($3::timestamptz[])[2] IS NULL
         OR held(namespace, id, ($3::timestamptz[])[1], ($3::timestamptz[])[2]))
    AND (($3::timestamptz[])[3] IS NULL OR kind <> 2
         OR NOT stale(namespace, id, ($3::timestamptz[])[1], ($3::timestamptz[])[3]))
    AND ($4 = '' OR session <> $4)";

pub(super) type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, PgArguments>;

impl Scope {
    /// All kinds, now.
    #[must_use]
    pub fn everything(namespace: Namespace, limit: i64) -> Self {
        Self {
            namespace,
            kinds: Kind::ALL.to_vec(),
            as_of: now(),
            known_at: None,
            include_stale: true,
            exclude_session: String::new(),
            limit,
        }
    }

    /// Binds the parameters of [`SCOPE`].
    pub(super) fn bind<'q>(&'q self, query: Query<'q>) -> Query<'q> {
        let kinds: Vec<i16> = self.kinds.iter().map(|kind| kind.number()).collect();
        let view = self.view();
        let fresh = (!self.include_stale).then(|| view.known());
        let times = vec![Some(self.as_of), self.known_at, fresh];
        query.bind(&self.namespace.0).bind(kinds).bind(times).bind(&self.exclude_session)
    }

    /// Of when it is.
    #[must_use]
    pub fn view(&self) -> View {
        View { as_of: self.as_of, known_at: self.known_at, include_stale: self.include_stale }
    }
}
