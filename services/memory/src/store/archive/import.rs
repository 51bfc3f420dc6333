//! In: in one transaction, into a namespace that holds nothing.

use std::collections::{BTreeMap, HashMap};

use futures::TryStreamExt;
use serde_json::{Map, Value as Json};
use sqlx::{AssertSqlSafe, Postgres, Row, Transaction};

use crate::{
    error::MemoryError,
    knowledge::{
        Namespace,
        archive::{BadLine, Table},
        log::{START, Verifier},
    },
    store::{Store, actions::entry},
};

/// Rows written at once, of …
const MOST_ROWS: usize = 500;
/// … about so many bytes.
const MOST_BYTES: usize = 1 << 20;

/// What an import finds.
#[derive(Debug)]
pub enum Begun {
    /// Nothing: it can be filled.
    Empty(Box<Import>),
    /// What the file with this digest held, and perhaps more since.
    FilledFrom(Vec<u8>),
}

/// What was taken in.
#[derive(Debug)]
pub struct TakenIn {
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// Whether the log is as it was written.
    pub intact: bool,
}

/// An import on its way; dropped, nothing of it is left.
#[derive(Debug)]
pub struct Import {
    transaction: Transaction<'static, Postgres>,
    namespace: Namespace,
    table: Option<&'static Table>,
    lines: (u64, u64),
    bytes: usize,
    rows: Vec<Json>,
    /// New numbers of exports by those in the file.
    exports: HashMap<i64, i64>,
}

impl Store {
    /// Begins to fill a namespace. Whoever writes in it waits until that is done.
    ///
    /// # Errors
    /// When it holds something that was not taken in by an import.
    pub async fn begin_import(&self, namespace: &Namespace) -> Result<Begun, MemoryError> {
        let mut transaction = self.begin(namespace).await?;
        let made = sqlx::query(
            "INSERT INTO namespaces (name, version)
             VALUES ($1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
             ON CONFLICT DO NOTHING",
        );
        let made = made.bind(&namespace.0).execute(&mut *transaction).await?.rows_affected();
        let chained = sqlx::query(
            "INSERT INTO chains (namespace, length, head) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING",
        )
        .bind(&namespace.0)
        .bind(&START[..])
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        if (made, chained) == (1, 1) {
            let namespace = namespace.clone();
            return Ok(Begun::Empty(Box::new(Import {
                transaction,
                namespace,
                table: None,
                lines: (0, 0),
                bytes: 0,
                rows: Vec::new(),
                exports: HashMap::new(),
            })));
        }
        let from: Option<Option<Vec<u8>>> =
            sqlx::query_scalar("SELECT imported FROM namespaces WHERE name = $1")
                .bind(&namespace.0)
                .fetch_optional(&mut *transaction)
                .await?;
        let filled = from.flatten().map(Begun::FilledFrom);
        filled.ok_or_else(|| MemoryError::NamespaceNotEmpty(namespace.0.clone()))
    }
}

impl Import {
    /// Takes a row, which was checked.
    ///
    /// # Errors
    /// When it does not fit to the rows before.
    pub async fn add(
        &mut self,
        table: &'static Table,
        line: u64,
        mut row: Map<String, Json>,
    ) -> Result<(), MemoryError> {
        let full = self.rows.len() >= MOST_ROWS || self.bytes >= MOST_BYTES;
        if full || self.table != Some(table) {
            self.write().await?;
            (self.table, self.lines.0) = (Some(table), line);
        }
        self.lines.1 = line;
        match table.name {
            "exports" => return self.export(&row).await.map_err(|error| self.told(error)),
            "exported" => self.renumber(&mut row)?,
            _ => {}
        }
        self.bytes += row.values().map(size).sum::<usize>();
        self.rows.push(Json::Object(row));
        Ok(())
    }

    /// Makes it lasting; `digest` is that of the file.
    ///
    /// # Errors
    /// When the last rows do not fit.
    pub async fn finish(
        mut self,
        digest: &[u8],
        rows: BTreeMap<String, u64>,
    ) -> Result<TakenIn, MemoryError> {
        self.write().await?;
        let intact = self.verified().await?;
        sqlx::query(
            "UPDATE namespaces
                SET imported = $2,
                    version = greatest(version, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
              WHERE name = $1",
        )
        .bind(&self.namespace.0)
        .bind(digest)
        .execute(&mut *self.transaction)
        .await?;
        self.resolve().await?;
        self.count_on().await?;
        self.transaction.commit().await?;
        Ok(TakenIn { rows, intact })
    }

    async fn write(&mut self) -> Result<(), MemoryError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let Some(table) = self.table.filter(|_| !rows.is_empty()) else { return Ok(()) };
        // Names of tables and columns are constants.
        let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        let names = names.join(", ");
        let name = table.name;
        let given = format!("SELECT {names} FROM jsonb_populate_recordset(NULL::{name}, $2)");
        let sql = match name {
            // Their rows are there since the beginning.
            "namespaces" => format!("UPDATE namespaces SET ({names}) = ({given}) WHERE name = $1"),
            "chains" => format!("UPDATE chains SET ({names}) = ({given}) WHERE namespace = $1"),
            "actions" => format!(
                "INSERT INTO actions (namespace, {names}) OVERRIDING SYSTEM VALUE
                 SELECT $1, given.* FROM ({given}) AS given"
            ),
            _ => format!(
                "INSERT INTO {name} (namespace, {names}) SELECT $1, given.* FROM ({given}) AS given"
            ),
        };
        let written = sqlx::query(AssertSqlSafe(sql))
            .bind(&self.namespace.0)
            .bind(Json::Array(rows))
            .execute(&mut *self.transaction)
            .await;
        written.map_err(|error| self.told(error))?;
        if name == "items" {
            // Written down as to be read for facts; those that are still to be read come next.
            sqlx::query("DELETE FROM unextracted WHERE namespace = $1")
                .bind(&self.namespace.0)
                .execute(&mut *self.transaction)
                .await?;
        }
        Ok(())
    }

    /// Lets names that are alike be looked for anew.
    async fn resolve(&mut self) -> Result<(), MemoryError> {
        sqlx::query(
            "INSERT INTO unresolved SELECT namespace, id FROM entities WHERE namespace = $1
             ON CONFLICT DO NOTHING",
        )
        .bind(&self.namespace.0)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Exports are numbered anew: another namespace may have their numbers.
    async fn export(&mut self, row: &Map<String, Json>) -> Result<(), sqlx::Error> {
        let number = sqlx::query_scalar(
            "INSERT INTO exports (namespace, at, whole)
             VALUES ($1, $2::text::timestamptz, $3) RETURNING id",
        )
        .bind(&self.namespace.0)
        .bind(row.get("at").and_then(Json::as_str))
        .bind(row.get("whole").and_then(Json::as_bool))
        .fetch_one(&mut *self.transaction)
        .await?;
        let given = row.get("id").and_then(Json::as_i64).unwrap_or_default();
        self.exports.insert(given, number);
        Ok(())
    }

    fn renumber(&self, row: &mut Map<String, Json>) -> Result<(), MemoryError> {
        let given = row.get("export_id").and_then(Json::as_i64).unwrap_or_default();
        let number = self.exports.get(&given).ok_or_else(|| BadLine {
            line: self.lines.1,
            field: "exported.export_id".to_owned(),
            problem: "must be the id of a row of exports before".to_owned(),
        })?;
        row.insert("export_id".to_owned(), (*number).into());
        Ok(())
    }

    /// Whether the log is as it was written.
    async fn verified(&mut self) -> Result<bool, MemoryError> {
        let namespace = &self.namespace;
        let chain = sqlx::query("SELECT length, head FROM chains WHERE namespace = $1")
            .bind(&namespace.0)
            .fetch_one(&mut *self.transaction)
            .await?;
        let mut verifier = Verifier::new(namespace.clone(), None);
        let all = sqlx::query("SELECT * FROM actions WHERE namespace = $1 ORDER BY position");
        let mut rows = all.bind(&namespace.0).fetch(&mut *self.transaction);
        while let Some(row) = rows.try_next().await? {
            verifier.add(&entry(&row)?);
        }
        let head: Vec<u8> = chain.try_get("head")?;
        Ok(verifier.finish((chain.try_get("length")?, &head)).broken.is_none())
    }

    /// Lets new entries of the log have greater numbers than those taken in.
    async fn count_on(&mut self) -> Result<(), MemoryError> {
        let last: Option<i64> =
            sqlx::query_scalar("SELECT max(id) FROM actions WHERE namespace = $1")
                .bind(&self.namespace.0)
                .fetch_one(&mut *self.transaction)
                .await?;
        // The tenants' role may only take numbers.
        sqlx::query("SELECT set_config('role', 'none', true)")
            .execute(&mut *self.transaction)
            .await?;
        sqlx::query(
            "SELECT CASE WHEN next < $1 THEN setval(numbers, $1) END
               FROM (SELECT numbers, nextval(numbers) AS next FROM (
                       SELECT pg_get_serial_sequence('actions', 'id')::regclass AS numbers) AS s
                     OFFSET 0) AS taken",
        )
        .bind(last.unwrap_or_default())
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// What the database has against rows, told with their lines.
    fn told(&self, error: sqlx::Error) -> MemoryError {
        let refusal = error.as_database_error();
        // 21: more rows than can be, 22: data, 23: constraints.
        let bad = refusal.filter(|refusal| {
            refusal
                .code()
                .is_some_and(|code| ["21", "22", "23"].iter().any(|class| code.starts_with(class)))
        });
        let Some(bad) = bad else { return error.into() };
        let (first, last) = self.lines;
        let field = self.table.map_or("", |table| table.name);
        let problem = format!("between here and line {last}: {}", bad.message());
        BadLine { line: first, field: field.to_owned(), problem }.into()
    }
}

/// About how many bytes.
fn size(value: &Json) -> usize {
    value.as_str().map_or(16, str::len)
}
