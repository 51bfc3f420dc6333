//! Why something is believed, or not: what it rests on, down to what was said.

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{
    Store,
    belief::{doubts, last_version, with_doubts},
    items::{COLUMNS, item},
};
use crate::{
    error::MemoryError,
    knowledge::{
        Item, Kind, Namespace,
        belief::{Standing, View, standing},
    },
};

/// An explanation has at most so many parts.
const MOST_REASONS: usize = 512;

/// A part of an explanation.
#[derive(Debug)]
pub struct Reason {
    /// What it is, with the validity believed at the view's time, if any was.
    pub item: Item,
    /// Whether it can be relied on.
    pub standing: Standing,
    /// Why not, in plain words; empty when it can.
    pub because: String,
    /// Ids of what it rests on.
    pub derived_from: Vec<Uuid>,
}

impl Store {
    /// Why `id` stands as it does: itself first, then what it rests on, the nearest first. Tells
    /// whether there is more.
    ///
    /// # Errors
    /// When nothing of that id can be explained.
    pub async fn explain(
        &self,
        namespace: &Namespace,
        id: Uuid,
        view: &View,
    ) -> Result<(Vec<Reason>, bool), MemoryError> {
        let mut transaction = self.read(namespace).await?;
        let known: Option<i16> = sqlx::query_scalar("SELECT kind FROM items WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?;
        if known.and_then(Kind::of).is_none_or(|kind| kind == Kind::Entity) {
            let what = "fact, episode or section";
            return Err(MemoryError::NoItem { what, id: id.to_string() });
        }
        let (ids, mut grounds, truncated) = below(&mut transaction, id).await?;
        let mut doubts = doubts(&mut transaction, &ids, view).await?;
        let sql = format!(
            "SELECT now.*, last.* FROM (SELECT {COLUMNS} FROM items WHERE id = ANY($1)) AS now
               LEFT JOIN LATERAL (
                 SELECT valid_from AS last_from, valid_to AS last_to, since,
                        nullif(until, 'infinity') AS until, reason
                   FROM histories
                  WHERE item_id = now.id AND since <= $2 ORDER BY since DESC LIMIT 1) AS last ON true"
        );
        // Put together from constants of this module.
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(&ids)
            .bind(view.known())
            .fetch_all(&mut *transaction)
            .await?;
        let mut reasons = HashMap::with_capacity(rows.len());
        for row in &rows {
            let mut item = item(row)?;
            let version = last_version(row, "last_from", "last_to")?;
            if let Some(version) = &version {
                (item.valid_from, item.valid_to) = (version.valid_from, version.valid_to);
            }
            let (by_itself, told) = standing(item.kind, version.as_ref(), view);
            let doubts = doubts.remove(&item.id).unwrap_or_default();
            let standing = with_doubts(by_itself, !doubts.is_empty());
            let because = if standing == Standing::Stale { doubts.join("; ") } else { told };
            let derived_from = grounds.remove(&item.id).unwrap_or_default();
            reasons.insert(item.id, Reason { item, standing, because, derived_from });
        }
        Ok((ids.iter().filter_map(|id| reasons.remove(id)).collect(), truncated))
    }
}

type Below = (Vec<Uuid>, HashMap<Uuid, Vec<Uuid>>, bool);

/// What `id` rests on, the nearest first, with the grounds of each; and whether there is more.
async fn below(connection: &mut PgConnection, id: Uuid) -> Result<Below, MemoryError> {
    let (mut all, mut seen) = (vec![id], HashSet::from([id]));
    let mut grounds: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    let mut level = vec![id];
    while !level.is_empty() {
        let rows = sqlx::query(
            "SELECT fact_id, ground_id FROM grounds WHERE fact_id = ANY($1)
              ORDER BY fact_id, ground_id",
        )
        .bind(&level)
        .fetch_all(&mut *connection)
        .await?;
        level.clear();
        for row in &rows {
            let ground: Uuid = row.try_get("ground_id")?;
            grounds.entry(row.try_get("fact_id")?).or_default().push(ground);
            if seen.insert(ground) {
                level.push(ground);
            }
        }
        if all.len() + level.len() > MOST_REASONS {
            level.truncate(MOST_REASONS - all.len());
            all.extend(level);
            return Ok((all, grounds, true));
        }
        all.extend(&level);
    }
    Ok((all, grounds, false))
}
