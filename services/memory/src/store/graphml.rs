//! The graph of a namespace for other programs.

use futures::{Stream, TryStreamExt};
use sqlx::Row;
use uuid::Uuid;

use super::Store;
use crate::{
    error::MemoryError,
    knowledge::{
        Namespace,
        belief::View,
        graphml::{Edge, Graph},
    },
};

impl Store {
    /// The namespace's graph as `GraphML`, piece by piece: every entity, and every fact that is
    /// believed in the view, also those that ended. Noted before anything is given out.
    pub fn graphml(
        &self,
        namespace: Namespace,
        view: View,
    ) -> impl Stream<Item = Result<Vec<u8>, MemoryError>> + Send + use<> {
        let store = self.clone();
        async_stream::try_stream! {
            let export = store.note_whole_export(&namespace).await?;
            let mut transaction = store.read(&namespace).await?;
            sqlx::query("SELECT FROM namespaces").execute(&mut *transaction).await?;
            store.export_holds_until_now(&namespace, export).await?;
            let mut graph = Graph::new(&namespace.0);
            {
                let mut rows = sqlx::query(
                    "SELECT id, name, type, aliases FROM entities WHERE namespace = $1 ORDER BY id",
                )
                .bind(&namespace.0)
                .fetch(&mut *transaction);
                while let Some(row) = rows.try_next().await? {
                    let aliases: Vec<String> = row.try_get("aliases")?;
                    let (name, kind): (String, String) = (row.try_get("name")?, row.try_get("type")?);
                    if let Some(piece) = graph.entity(row.try_get("id")?, &name, &kind, &aliases) {
                        yield piece.into_bytes();
                    }
                }
            }
            let mut rows = sqlx::query(
                "SELECT f.id, subject_id, predicate, object, object_id, i.text, h.valid_from,
                        h.valid_to, i.recorded_at, functional,
                        h.valid_from <= $2 AND (h.valid_to IS NULL OR h.valid_to > $2) AS holds,
                        stale(f.id, $2, $3) AS stale
                   FROM facts f JOIN items i ON i.namespace = $1 AND i.id = f.id
                   JOIN histories h ON h.namespace = $1 AND h.item_id = f.id
                  WHERE f.namespace = $1 AND h.since <= $3 AND h.until > $3 ORDER BY f.id",
            )
            .bind(&namespace.0)
            .bind(view.as_of)
            .bind(view.known())
            .fetch(&mut *transaction);
            while let Some(row) = rows.try_next().await? {
                let id: Uuid = row.try_get("id")?;
                let edge = Edge {
                    id,
                    subject: row.try_get("subject_id")?,
                    predicate: row.try_get("predicate")?,
                    object: row.try_get("object")?,
                    object_id: row.try_get("object_id")?,
                    sentence: row.try_get("text")?,
                    valid_from: row.try_get("valid_from")?,
                    valid_to: row.try_get("valid_to")?,
                    recorded_at: row.try_get("recorded_at")?,
                    holds: row.try_get("holds")?,
                    stale: row.try_get("stale")?,
                    functional: row.try_get("functional")?,
                };
                if edge.stale && !view.include_stale {
                    continue;
                }
                if edge.object_id.is_none()
                    && let Some(piece) = graph.literal(id, &edge.object)
                {
                    yield piece.into_bytes();
                }
                if let Some(piece) = graph.fact(&edge) {
                    yield piece.into_bytes();
                }
            }
            drop(rows);
            yield graph.finish().into_bytes();
        }
    }
}
