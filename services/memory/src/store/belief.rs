//! What is believed: its versions, what ends what, what rests on what.
//!
//! Whether a fact is stale follows from what it rests on at the times that are asked about; nothing
//! has to be kept in step. That it became so is noted in the transaction that made it so.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::changes::Changes;
use crate::{
    error::MemoryError,
    knowledge::{
        Kind,
        belief::{ChangeKind, Consequences, MOST_DOUBTS, Standing, Version, View, standing},
        extraction::vocabulary::NO_LONGER,
    },
};

/// How something appears in a view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// When it became true, as far as was believed then.
    pub valid_from: DateTime<Utc>,
    /// When it ceased.
    pub valid_to: Option<DateTime<Utc>>,
    /// Why it is stale, in plain words; empty when it is not.
    pub doubts: Vec<String>,
}

/// What does not hold of what the facts `asked` rest on, all the way down, with the last version of
/// it; $2 is the time of which it is, $3 the time at which it was known.
const FAILING: &str = "
    below (fact_id, ground_id) AS (
      SELECT fact_id, ground_id FROM grounds WHERE fact_id = ANY(ARRAY(SELECT id FROM asked))
      UNION SELECT below.fact_id, g.ground_id
        FROM below JOIN grounds g ON g.fact_id = below.ground_id),
    needed AS MATERIALIZED (SELECT DISTINCT ground_id FROM below),
    failed AS MATERIALIZED (
      SELECT ground_id FROM needed WHERE NOT held(ground_id, $2, $3)),
    failing AS (
      SELECT fact_id, ground_id, i.recorded_at, i.kind, left(i.text, 200) AS text, last.*
        FROM failed JOIN below USING (ground_id) JOIN items i ON i.id = ground_id
        LEFT JOIN LATERAL (
          SELECT valid_from AS ground_from, valid_to AS ground_to, since,
                 nullif(until, 'infinity') AS until, reason
            FROM histories
           WHERE item_id = ground_id AND since <= $3 ORDER BY since DESC LIMIT 1) AS last ON true)";

/// How those of `ids` appear in the view that are believed in it.
pub(super) async fn seen(
    connection: &mut PgConnection,
    ids: &[Uuid],
    view: &View,
) -> Result<HashMap<Uuid, Seen>, MemoryError> {
    // Of what is over nobody asks what it rests on.
    let sql = format!(
        "WITH RECURSIVE believed AS MATERIALIZED (
           SELECT item_id, valid_from, valid_to FROM histories
            WHERE item_id = ANY($1) AND since <= $3 AND until > $3),
         asked AS (
           SELECT item_id AS id FROM believed
            WHERE valid_from <= $2 AND (valid_to IS NULL OR valid_to > $2)), {FAILING}
         SELECT item_id, valid_from, valid_to, failing.*
           FROM believed LEFT JOIN failing ON fact_id = item_id
          ORDER BY item_id, recorded_at, ground_id"
    );
    let mut seen: HashMap<Uuid, Seen> = HashMap::with_capacity(ids.len());
    for row in &failing(connection, sql, ids, view).await? {
        let (valid_from, valid_to) = (row.try_get("valid_from")?, row.try_get("valid_to")?);
        let as_it_is = Seen { valid_from, valid_to, doubts: Vec::new() };
        let seen = seen.entry(row.try_get("item_id")?).or_insert(as_it_is);
        if row.try_get::<Option<Uuid>, _>("fact_id")?.is_some() {
            doubt(&mut seen.doubts, row, view)?;
        }
    }
    Ok(seen)
}

/// Why those of `facts` are stale that are: what does not hold, all the way down.
pub(super) async fn doubts(
    connection: &mut PgConnection,
    facts: &[Uuid],
    view: &View,
) -> Result<HashMap<Uuid, Vec<String>>, MemoryError> {
    let sql = format!(
        "WITH RECURSIVE asked AS (SELECT unnest($1::uuid[]) AS id), {FAILING}
         SELECT * FROM failing ORDER BY fact_id, recorded_at, ground_id"
    );
    let mut doubts: HashMap<Uuid, Vec<String>> = HashMap::new();
    for row in &failing(connection, sql, facts, view).await? {
        doubt(doubts.entry(row.try_get("fact_id")?).or_default(), row, view)?;
    }
    Ok(doubts)
}

async fn failing(
    connection: &mut PgConnection,
    sql: String,
    ids: &[Uuid],
    view: &View,
) -> Result<Vec<PgRow>, MemoryError> {
    // Put together from constants of this module.
    let query = sqlx::query(AssertSqlSafe(sql)).bind(ids).bind(view.as_of).bind(view.known());
    Ok(query.fetch_all(connection).await?)
}

/// Adds what a row of [`FAILING`] tells.
fn doubt(doubts: &mut Vec<String>, row: &PgRow, view: &View) -> Result<(), MemoryError> {
    if doubts.len() < MOST_DOUBTS {
        let kind = Kind::of(row.try_get("kind")?).unwrap_or(Kind::Episode);
        let version = last_version(row, "ground_from", "ground_to")?;
        let text: String = row.try_get("text")?;
        let (_, told) = standing(kind, version.as_ref(), view);
        doubts.push(format!("{text}: {told}"));
    }
    Ok(())
}

/// The version in a row, its validity in the columns `from` and `to`; all null when there is none. A
/// time that is infinite in `histories` is null here: chrono knows none.
pub(super) fn last_version(
    row: &PgRow,
    from: &str,
    to: &str,
) -> Result<Option<Version>, MemoryError> {
    let Some(since) = row.try_get("since")? else { return Ok(None) };
    Ok(Some(Version {
        since,
        valid_from: row.try_get(from)?,
        valid_to: row.try_get(to)?,
        until: row.try_get("until")?,
        reason: row.try_get("reason")?,
    }))
}

/// How a fact stands with regard to what it rests on, too.
pub(super) fn with_doubts(by_itself: Standing, stale: bool) -> Standing {
    if by_itself == Standing::Holds && stale { Standing::Stale } else { by_itself }
}

/// Gives an item another validity from now on.
async fn revise(
    connection: &mut PgConnection,
    id: Uuid,
    valid_from: DateTime<Utc>,
    valid_to: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
) -> Result<(), MemoryError> {
    keep_version(connection, id, at).await?;
    sqlx::query("UPDATE items SET valid_from = $2, valid_to = $3, revised_at = $4 WHERE id = $1")
        .bind(id)
        .bind(valid_from)
        .bind(valid_to)
        .bind(at)
        .execute(connection)
        .await?;
    Ok(())
}

/// Keeps what is believed of an item until now, or was until it was retracted. What was written in
/// this very transaction was never believed by anybody.
pub(super) async fn keep_version(
    connection: &mut PgConnection,
    id: Uuid,
    at: DateTime<Utc>,
) -> Result<(), MemoryError> {
    sqlx::query(
        "INSERT INTO versions (item_id, namespace, valid_from, valid_to, since, until, reason)
         SELECT id, namespace, valid_from, valid_to, coalesce(revised_at, recorded_at),
                coalesce(retracted_at, $2), reason
           FROM items
          WHERE id = $1 AND coalesce(revised_at, recorded_at) < coalesce(retracted_at, $2)",
    )
    .bind(id)
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

/// A subject with a predicate, and a span of time: what is said of it there may end each other.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    pub(super) subject: Uuid,
    pub(super) predicate: String,
    pub(super) from: DateTime<Utc>,
    pub(super) to: DateTime<Utc>,
}

impl Spot {
    /// Where a fact stands.
    pub(super) async fn of(
        connection: &mut PgConnection,
        fact: Uuid,
    ) -> Result<Option<Self>, MemoryError> {
        let row = sqlx::query(
            "SELECT subject_id, predicate, valid_from FROM facts JOIN items USING (id) WHERE id = $1",
        )
        .bind(fact)
        .fetch_optional(connection)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let from = row.try_get("valid_from")?;
        Ok(Some(Self {
            subject: row.try_get("subject_id")?,
            predicate: row.try_get("predicate")?,
            from,
            to: from,
        }))
    }
}

/// Lets facts end where they were said to, where a functional fact of another object begins, or where
/// it is said that they hold no longer, whichever is first; `no_longer_P` ends where P of the same
/// object begins. Entities that are merged are one. Gives those that end at another time since.
pub(super) async fn settle(
    connection: &mut PgConnection,
    spot: &Spot,
    at: DateTime<Utc>,
) -> Result<Vec<Uuid>, MemoryError> {
    let plain = spot.predicate.strip_prefix(NO_LONGER).unwrap_or(&spot.predicate);
    let rows = sqlx::query(
        "WITH said AS MATERIALIZED (
           SELECT facts.id, coalesce(root_of(facts.namespace, object_id)::text, object) AS object,
                  functional, stated_to, valid_from, valid_to, predicate
             FROM facts, LATERAL (
                    SELECT valid_from, valid_to FROM items i
                     WHERE i.id = facts.id AND retracted_at IS NULL OFFSET 0) AS item
            WHERE subject_id IN (SELECT same_as(current_setting('alina.namespace'), $1, NULL))
              AND predicate = ANY($2)),
         judged AS (
           SELECT id, valid_from, valid_to, least(stated_to, (
                    SELECT min(next.valid_from) FROM said AS next
                     WHERE CASE WHEN next.predicate = said.predicate
                                THEN next.functional AND next.object <> said.object
                                ELSE next.object = said.object END
                       AND (next.valid_from, next.id) > (said.valid_from, said.id))) AS ends
             FROM said
            WHERE valid_from <= $4 AND (valid_to IS NULL OR valid_to >= $3))
         SELECT id, valid_from, ends FROM judged
          WHERE valid_to IS DISTINCT FROM ends ORDER BY valid_from, id",
    )
    .bind(spot.subject)
    .bind([plain, &format!("{NO_LONGER}{plain}")])
    .bind(spot.from)
    .bind(spot.to)
    .fetch_all(&mut *connection)
    .await?;
    let mut revised = Vec::with_capacity(rows.len());
    for row in &rows {
        let id = row.try_get("id")?;
        revise(connection, id, row.try_get("valid_from")?, row.try_get("ends")?, at).await?;
        revised.push(id);
    }
    Ok(revised)
}

/// Whether a fact rests on one of `ids`.
async fn rested_on(connection: &mut PgConnection, ids: &[Uuid]) -> Result<bool, MemoryError> {
    if ids.is_empty() {
        return Ok(false);
    }
    let rests = "SELECT EXISTS (SELECT FROM grounds WHERE ground_id = ANY($1))";
    Ok(sqlx::query_scalar(rests).bind(ids).fetch_one(connection).await?)
}

/// Notes which facts that rest on `changed`, however indirectly, and which of `written` became stale
/// or hold again.
pub(super) async fn note_staleness(
    connection: &mut PgConnection,
    changed: &[Uuid],
    written: &[Uuid],
    at: DateTime<Utc>,
    changes: &mut Changes,
) -> Result<Consequences, MemoryError> {
    // Mostly there are none, which is told faster.
    if written.is_empty() && !rested_on(connection, changed).await? {
        return Ok(Consequences::default());
    }
    let rows = sqlx::query(
        "WITH RECURSIVE above (id) AS (
           SELECT fact_id FROM grounds WHERE ground_id = ANY($1)
           UNION SELECT unnest($2::uuid[])
           UNION SELECT further.fact_id FROM above, LATERAL (
             SELECT g.fact_id FROM grounds g WHERE g.ground_id = above.id OFFSET 0) AS further),
         judged AS MATERIALIZED (SELECT id, stale(id, $3, $4) AS stale FROM above)
         UPDATE facts SET stale_since = CASE WHEN judged.stale THEN $3 END
           FROM judged
          WHERE facts.id = ANY(ARRAY(SELECT id FROM judged)) AND facts.id = judged.id
            AND judged.stale <> (stale_since IS NOT NULL)
         RETURNING facts.id, judged.stale",
    )
    .bind(changed)
    .bind(written)
    .bind(at)
    .bind(crate::knowledge::belief::LATEST)
    .fetch_all(connection)
    .await?;
    let mut consequences = Consequences::default();
    for row in &rows {
        let id = row.try_get("id")?;
        if row.try_get("stale")? {
            changes.note(ChangeKind::Stale, id, Kind::Fact);
            consequences.now_stale.push(id);
        } else {
            changes.note(ChangeKind::Holding, id, Kind::Fact);
            consequences.now_holding.push(id);
        }
    }
    Ok(consequences)
}
