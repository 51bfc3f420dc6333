//! Out: every table's rows as of one moment, as they come from the database, never all at once.

use futures::{Stream, TryStreamExt};
use sqlx::AssertSqlSafe;

use super::{ordered, selected};
use crate::{
    error::MemoryError,
    knowledge::{
        Namespace,
        archive::{TABLES, Writer},
    },
    store::{Store, now},
};

impl Store {
    /// The namespace as a file, piece by piece. Noted before anything is given out.
    pub fn archived(
        &self,
        namespace: Namespace,
        vectors: bool,
    ) -> impl Stream<Item = Result<Vec<u8>, MemoryError>> + Send + use<> {
        let store = self.clone();
        async_stream::try_stream! {
            let export = store.note_whole_export(&namespace).await?;
            let mut transaction = store.read(&namespace).await?;
            // Times are told in UTC. The first statement decides of what moment all are.
            sqlx::query("SELECT set_config('TimeZone', 'UTC', true), count(*) FROM namespaces")
                .execute(&mut *transaction)
                .await?;
            store.export_holds_until_now(&namespace, export).await?;
            let mut writer = Writer::new(&namespace, now(), vectors);
            for table in TABLES {
                // Names of tables and columns are constants.
                let key = if table.name == "namespaces" { "name" } else { "namespace" };
                let sql = format!(
                    "SELECT to_json(line)::text
                       FROM (SELECT {} FROM {} WHERE {key} = $1 {}) AS line",
                    selected(table, vectors),
                    table.name,
                    ordered(table),
                );
                let mut rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql))
                    .bind(&namespace.0)
                    .fetch(&mut *transaction);
                while let Some(row) = rows.try_next().await? {
                    if let Some(piece) = writer.row(table, &row) {
                        yield piece;
                    }
                }
            }
            yield writer.finish();
        }
    }
}
