//! What a session's beginning is told, out of indexes: bounded in number, however much is stored. The
//! conditions are those of the indexes of 0080_brief.sql, to the letter.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::{
    Action, Scope, Store,
    actions::entry,
    belief::{Seen, seen},
    items::{COLUMNS, item},
    search::SCOPE,
};
use crate::{
    error::MemoryError,
    knowledge::{Item, Namespace, brief::DOCUMENTS},
};

/// Sections of the memory bank.
const MOST_SECTIONS: i64 = 256;
/// Runs that are looked at, the latest.
const MOST_BEGUN: i64 = 1_000;
/// Open runs, decisions, and what happened last: of each.
const MOST_OF_EACH: i64 = 32;
/// Facts that are weighed: of the functional, of those that began last, of those about actors.
const MOST_WEIGHED: i64 = 500;
/// Counts end here.
const COUNTED_TO: i64 = 16;

/// A fact with what tells how much it is needed.
#[derive(Debug)]
pub struct Needed {
    /// It.
    pub item: Item,
    /// Whether its subject can have only one object at a time.
    pub functional: bool,
    /// How many facts are known of its subject, to 16.
    pub known_of_subject: i64,
    /// How many facts rest on it, to 16.
    pub resting: i64,
    /// Whether somebody is called as its subject who said something.
    pub about_actor: bool,
}

/// What there is to tell.
#[derive(Debug, Default)]
pub struct Material {
    /// Sections of the memory bank, by importance.
    pub bank: Vec<Item>,
    /// The entries that began runs which did not end, the latest first.
    pub open_runs: Vec<Action>,
    /// Entries of the log that decide something, the latest first.
    pub decisions_logged: Vec<Action>,
    /// Facts and episodes that do.
    pub decisions_said: Vec<Item>,
    /// In no order.
    pub facts: Vec<Needed>,
    /// Episodes, the latest first.
    pub latest: Vec<Item>,
    /// How all of these items appear in the view, and others that were asked for.
    pub seen: HashMap<Uuid, Seen>,
}

impl Store {
    /// What there is to tell in the view, all of one state; with how the items `others` appear.
    pub async fn material(
        &self,
        scope: &Scope,
        others: Vec<Uuid>,
    ) -> Result<Material, MemoryError> {
        let mut transaction = self.read(&scope.namespace).await?;
        let connection = &mut *transaction;
        let mut material = Material {
            bank: bank(connection, scope).await?,
            open_runs: open_runs(connection, scope).await?,
            decisions_logged: decisions_logged(connection, scope).await?,
            decisions_said: decisions_said(connection, scope).await?,
            facts: facts(connection, scope).await?,
            latest: latest(connection, scope).await?,
            seen: HashMap::new(),
        };
        let said = [&material.bank, &material.decisions_said, &material.latest];
        let mut ids: Vec<Uuid> = said.into_iter().flatten().map(|item| item.id).collect();
        ids.extend(material.facts.iter().map(|fact| fact.item.id));
        ids.extend(others);
        ids.sort_unstable();
        ids.dedup();
        material.seen = seen(connection, &ids, &scope.view()).await?;
        Ok(material)
    }

    /// What moves with every entry of the log: its last hash.
    pub async fn head(&self, namespace: &Namespace) -> Result<String, MemoryError> {
        let head = sqlx::query_scalar(
            "SELECT coalesce((SELECT encode(head, 'hex') FROM chains WHERE namespace = $1), '')",
        );
        Ok(head.bind(&namespace.0).fetch_one(&self.pool).await?)
    }

    /// When something was written down last.
    pub async fn last_recorded(
        &self,
        namespace: &Namespace,
    ) -> Result<Option<chrono::DateTime<chrono::Utc>>, MemoryError> {
        let last = sqlx::query_scalar("SELECT max(recorded_at) FROM items WHERE namespace = $1");
        Ok(last.bind(&namespace.0).fetch_one(&self.pool).await?)
    }
}

async fn bank(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Item>, MemoryError> {
    let sql = format!(
        "WITH those AS MATERIALIZED (
           SELECT id, path, position FROM sections WHERE namespace = $1)
         SELECT shown.* FROM those, LATERAL (
           SELECT {COLUMNS} FROM items WHERE {SCOPE} AND id = those.id AND kind = 4) AS shown
          ORDER BY array_position($5, regexp_replace(path, '^.*/', '')) NULLS LAST, path, position,
                   shown.id LIMIT $6"
    );
    let query =
        scope.bind(sqlx::query(AssertSqlSafe(sql))).bind(&DOCUMENTS[..]).bind(MOST_SECTIONS);
    items(&query.fetch_all(connection).await?)
}

async fn open_runs(
    connection: &mut PgConnection,
    scope: &Scope,
) -> Result<Vec<Action>, MemoryError> {
    let rows = sqlx::query(
        "WITH begun AS MATERIALIZED (
           SELECT * FROM actions
            WHERE namespace = $1 AND action IN ('run.started', 'run.resumed') AND at <= $2
            ORDER BY position DESC LIMIT $4)
         SELECT * FROM begun
          WHERE run_id <> '' AND run_id <> $3 AND NOT EXISTS (
            SELECT FROM actions AS later
             WHERE later.namespace = $1 AND later.run_id = begun.run_id AND later.id > begun.id
               AND later.at <= $2
               AND later.action IN ('run.started', 'run.resumed', 'run.finished', 'run.failed',
                                    'run.cancelled'))
          ORDER BY position DESC LIMIT $5",
    )
    .bind(&scope.namespace.0)
    .bind(scope.view().known())
    .bind(&scope.exclude_session)
    .bind(MOST_BEGUN)
    .bind(MOST_OF_EACH)
    .fetch_all(connection)
    .await?;
    actions(&rows)
}

async fn decisions_logged(
    connection: &mut PgConnection,
    scope: &Scope,
) -> Result<Vec<Action>, MemoryError> {
    let rows = sqlx::query(
        r"SELECT * FROM actions
           WHERE namespace = $1 AND at <= $2 AND ($3 = '' OR run_id <> $3)
             AND action ~ '^decision(\.|$)|\.(decided|approved|rejected|chosen|planned)$'
           ORDER BY position DESC LIMIT $4",
    )
    .bind(&scope.namespace.0)
    .bind(scope.view().known())
    .bind(&scope.exclude_session)
    .bind(MOST_OF_EACH)
    .fetch_all(connection)
    .await?;
    actions(&rows)
}

async fn decisions_said(
    connection: &mut PgConnection,
    scope: &Scope,
) -> Result<Vec<Item>, MemoryError> {
    let sql = format!(
        r"WITH those AS MATERIALIZED (
            (SELECT id FROM facts
              WHERE namespace = $1
                AND predicate IN ('decided', 'decided_on', 'decided_to', 'agreed', 'agreed_on',
                                  'agreed_to', 'chose', 'planned', 'approved', 'rejected')
              ORDER BY id DESC LIMIT $5)
            UNION ALL
            (SELECT id FROM items
              WHERE namespace = $1 AND kind = 1
                AND text ~* '^\s*((we|i|they)\s+)?(decided|agreed|decision)\y'
              ORDER BY valid_from DESC, id DESC LIMIT $5))
          SELECT shown.* FROM those, LATERAL (
            SELECT {COLUMNS} FROM items WHERE {SCOPE} AND id = those.id) AS shown
           ORDER BY valid_from DESC, id DESC LIMIT $5"
    );
    let query = scope.bind(sqlx::query(AssertSqlSafe(sql))).bind(2 * MOST_OF_EACH);
    items(&query.fetch_all(connection).await?)
}

async fn facts(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Needed>, MemoryError> {
    let sql = format!(
        "WITH about AS MATERIALIZED (
           SELECT DISTINCT entity_id FROM names
            WHERE namespace = $1 AND called IN (
              SELECT lower(called) FROM actors WHERE namespace = $1)),
         those AS MATERIALIZED (
           (SELECT id FROM facts WHERE namespace = $1 AND functional ORDER BY id DESC LIMIT $5)
           UNION
           (SELECT id FROM items
             WHERE namespace = $1 AND kind = 2 AND valid_from <= ($3::timestamptz[])[1]
             ORDER BY valid_from DESC, id DESC LIMIT $5)
           UNION
           (SELECT id FROM facts JOIN about ON subject_id = entity_id WHERE namespace = $1
             ORDER BY id DESC LIMIT $5)),
         shown AS MATERIALIZED (
           SELECT of_scope.*, functional, subject_id
             FROM those JOIN facts ON facts.namespace = $1 AND facts.id = those.id, LATERAL (
               SELECT {COLUMNS} FROM items WHERE {SCOPE} AND id = those.id AND kind = 2) AS of_scope),
         subjects AS MATERIALIZED (
           SELECT subject_id, (SELECT count(*) FROM (
                    SELECT FROM facts AS other
                     WHERE other.namespace = $1 AND other.subject_id = one.subject_id
                     LIMIT $6) AS counted) AS known
             FROM (SELECT DISTINCT subject_id FROM shown) AS one)
         SELECT shown.*, known, subject_id IN (SELECT entity_id FROM about) AS about_actor,
                (SELECT count(*) FROM (
                   SELECT FROM grounds WHERE ground_id = shown.id AND namespace = $1
                    LIMIT $6) AS counted) AS resting
           FROM shown JOIN subjects USING (subject_id)"
    );
    let query = scope.bind(sqlx::query(AssertSqlSafe(sql))).bind(MOST_WEIGHED).bind(COUNTED_TO);
    let rows = query.fetch_all(connection).await?;
    let needed = rows.iter().map(|row| {
        Ok(Needed {
            item: item(row)?,
            functional: row.try_get("functional")?,
            known_of_subject: row.try_get("known")?,
            resting: row.try_get("resting")?,
            about_actor: row.try_get("about_actor")?,
        })
    });
    needed.collect()
}

async fn latest(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Item>, MemoryError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM items WHERE {SCOPE} AND kind = 1
          ORDER BY valid_from DESC, id DESC LIMIT $5"
    );
    let query = scope.bind(sqlx::query(AssertSqlSafe(sql))).bind(MOST_OF_EACH);
    items(&query.fetch_all(connection).await?)
}

fn items(rows: &[PgRow]) -> Result<Vec<Item>, MemoryError> {
    rows.iter().map(item).collect()
}

fn actions(rows: &[PgRow]) -> Result<Vec<Action>, MemoryError> {
    rows.iter().map(|row| Ok(Action { id: row.try_get("id")?, entry: entry(row)? })).collect()
}
