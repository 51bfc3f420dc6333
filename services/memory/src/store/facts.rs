//! Facts as they appear in a view.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{
    belief::{Seen, seen},
    groups::Groups,
};
use crate::{error::MemoryError, knowledge::belief::View};

/// A fact as it was believed.
#[derive(Debug, Clone)]
pub struct KnownFact {
    /// Its id.
    pub id: Uuid,
    /// The entity's name.
    pub subject: String,
    /// Its id.
    pub subject_id: Uuid,
    /// What is said.
    pub predicate: String,
    /// Of what.
    pub object: String,
    /// The object's id if it is an entity.
    pub object_id: Option<Uuid>,
    /// When it became true.
    pub valid_from: DateTime<Utc>,
    /// When it ceased.
    pub valid_to: Option<DateTime<Utc>>,
    /// When it was written down.
    pub recorded_at: DateTime<Utc>,
    /// When it was taken back, if it was by the time the view is of.
    pub retracted_at: Option<DateTime<Utc>>,
    /// Where it was learned.
    pub episode_id: Option<Uuid>,
    /// Whether its subject can have only one object at a time.
    pub functional: bool,
    /// What it rests on.
    pub derived_from: Vec<Uuid>,
    /// Why it is stale; empty when it is not.
    pub doubts: Vec<String>,
}

/// The facts of `ids`, in that order, as they were believed, about what was one then; without those
/// that are stale if the view is without.
pub(super) async fn known_facts(
    connection: &mut PgConnection,
    groups: &Groups,
    ids: &[Uuid],
    view: &View,
) -> Result<Vec<KnownFact>, MemoryError> {
    let mut seen = seen(connection, ids, view).await?;
    let rows = sqlx::query(
        "SELECT f.id, s.name AS subject, subject_id, predicate, object, object_id, valid_from,
                valid_to, recorded_at, episode_id, functional,
                CASE WHEN retracted_at <= $2 THEN retracted_at END AS retracted_at,
                ARRAY(SELECT ground_id FROM grounds WHERE fact_id = f.id ORDER BY ground_id)
                  AS derived_from
           FROM facts f JOIN items i USING (id) JOIN entities s ON s.id = subject_id
          WHERE f.id = ANY($1)",
    )
    .bind(ids)
    .bind(view.known())
    .fetch_all(&mut *connection)
    .await?;
    let mut facts: HashMap<Uuid, KnownFact> = HashMap::with_capacity(rows.len());
    for row in &rows {
        let id = row.try_get("id")?;
        let as_it_is = Seen {
            valid_from: row.try_get("valid_from")?,
            valid_to: row.try_get("valid_to")?,
            doubts: Vec::new(),
        };
        let Seen { valid_from, valid_to, doubts } = seen.remove(&id).unwrap_or(as_it_is);
        if !view.include_stale && !doubts.is_empty() {
            continue;
        }
        let fact = KnownFact {
            id,
            subject: row.try_get("subject")?,
            subject_id: row.try_get("subject_id")?,
            predicate: row.try_get("predicate")?,
            object: row.try_get("object")?,
            object_id: row.try_get("object_id")?,
            valid_from,
            valid_to,
            recorded_at: row.try_get("recorded_at")?,
            retracted_at: row.try_get("retracted_at")?,
            episode_id: row.try_get("episode_id")?,
            functional: row.try_get("functional")?,
            derived_from: row.try_get("derived_from")?,
            doubts,
        };
        facts.insert(id, fact);
    }
    as_one(connection, groups, &mut facts).await?;
    Ok(ids.iter().filter_map(|id| facts.remove(id)).collect())
}

/// Lets facts be about what the entities they were written about are merged into.
async fn as_one(
    connection: &mut PgConnection,
    groups: &Groups,
    facts: &mut HashMap<Uuid, KnownFact>,
) -> Result<(), MemoryError> {
    let mut merged = Vec::new();
    for fact in facts.values_mut() {
        let root = groups.root(fact.subject_id);
        if root != fact.subject_id {
            fact.subject_id = root;
            merged.push(root);
        }
        fact.object_id = fact.object_id.map(|object| groups.root(object));
    }
    if merged.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query("SELECT id, name FROM entities WHERE id = ANY($1)")
        .bind(&merged)
        .fetch_all(connection)
        .await?;
    let mut names: HashMap<Uuid, String> = HashMap::with_capacity(rows.len());
    for row in &rows {
        names.insert(row.try_get("id")?, row.try_get("name")?);
    }
    for fact in facts.values_mut() {
        if let Some(name) = names.get(&fact.subject_id) {
            fact.subject.clone_from(name);
        }
    }
    Ok(())
}
