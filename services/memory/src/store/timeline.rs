//! What was true of an entity, in order, and what was believed of that.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{
    Store,
    belief::last_version,
    entities::described,
    facts::{KnownFact, known_facts},
    groups::Groups,
};
use crate::{
    error::MemoryError,
    knowledge::{
        Namespace,
        belief::{Version, View},
    },
};

/// Which facts are asked for.
#[derive(Debug, Clone)]
pub struct Period {
    /// With this predicate; empty for all.
    pub predicate: String,
    /// True then or later.
    pub from: Option<DateTime<Utc>>,
    /// True before then.
    pub to: Option<DateTime<Utc>>,
    /// After this place.
    pub after: Option<Place>,
    /// How many.
    pub limit: i64,
}

/// A place in a timeline: when a fact became true, and its id.
pub type Place = (DateTime<Utc>, Uuid);

/// A fact with what was believed of it.
#[derive(Debug)]
pub struct TimelineEntry {
    /// As it appears in the view.
    pub fact: KnownFact,
    /// Oldest first.
    pub beliefs: Vec<Version>,
}

impl Store {
    /// Facts about an entity in the order in which they became true: those believed at the view's
    /// record time, or all there ever were when it has none. Whether they are stale is told of the
    /// view's `as_of`.
    pub async fn timeline(
        &self,
        namespace: &Namespace,
        entity: &str,
        period: &Period,
        view: &View,
    ) -> Result<Vec<TimelineEntry>, MemoryError> {
        let mut transaction = self.read(namespace).await?;
        let groups = Groups::known_at(&mut transaction, namespace, view.known()).await?;
        let entity = described(&mut transaction, namespace, entity, &groups).await?;
        let (after, after_id) = period.after.unzip();
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id FROM (
               SELECT f.id, coalesce(h.valid_from, i.valid_from) AS valid_from,
                      CASE WHEN h.item_id IS NULL THEN i.valid_to ELSE h.valid_to END AS valid_to
                 FROM facts f JOIN items i USING (id)
                 LEFT JOIN LATERAL (
                   SELECT * FROM histories
                    WHERE item_id = f.id AND since <= $2 AND until > $2) AS h ON true
                WHERE (subject_id = ANY($1) OR object_id = ANY($1)) AND ($3 = '' OR predicate = $3)
                  AND (h.item_id IS NOT NULL OR $4)) AS told
              WHERE ($5::timestamptz IS NULL OR valid_to IS NULL OR valid_to > $5)
                AND ($6::timestamptz IS NULL OR valid_from < $6)
                AND ($7::timestamptz IS NULL OR (valid_from, id) > ($7, $8))
              ORDER BY valid_from, id LIMIT $9",
        )
        .bind(&entity.ids)
        .bind(view.known())
        .bind(&period.predicate)
        .bind(view.known_at.is_none())
        .bind(period.from)
        .bind(period.to)
        .bind(after)
        .bind(after_id)
        .bind(period.limit)
        .fetch_all(&mut *transaction)
        .await?;
        let facts = known_facts(&mut transaction, &groups, &ids, view).await?;
        let mut beliefs = beliefs(&mut transaction, &ids, view).await?;
        let entries = facts.into_iter().map(|fact| {
            let beliefs = beliefs.remove(&fact.id).unwrap_or_default();
            TimelineEntry { fact, beliefs }
        });
        Ok(entries.collect())
    }
}

/// What was believed of each of `ids` until the view's time, oldest first.
async fn beliefs(
    connection: &mut PgConnection,
    ids: &[Uuid],
    view: &View,
) -> Result<HashMap<Uuid, Vec<Version>>, MemoryError> {
    let rows = sqlx::query(
        "SELECT item_id, valid_from, valid_to, since, reason,
                CASE WHEN until <= $2 THEN until END AS until
           FROM histories WHERE item_id = ANY($1) AND since <= $2 ORDER BY item_id, since",
    )
    .bind(ids)
    .bind(view.known())
    .fetch_all(connection)
    .await?;
    let mut beliefs: HashMap<Uuid, Vec<Version>> = HashMap::new();
    for row in &rows {
        if let Some(version) = last_version(row, "valid_from", "valid_to")? {
            beliefs.entry(row.try_get("item_id")?).or_default().push(version);
        }
    }
    Ok(beliefs)
}
