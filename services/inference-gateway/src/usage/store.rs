//! The SQL of it.

use sqlx::{PgPool, QueryBuilder};

use super::tally::Row;

/// Rows in one statement: PostgreSQL takes 65,535 parameters.
const AT_ONCE: usize = 1_000;

/// Sets this process's totals.
pub(super) async fn write_totals(pool: &PgPool, rows: &[Row]) -> Result<(), sqlx::Error> {
    for rows in rows.chunks(AT_ONCE) {
        let mut query = QueryBuilder::new(
            "insert into usage (hour, agent, model, process, chats, prompt_tokens, \
             completion_tokens, run_seconds) ",
        );
        query.push_values(rows, |mut values, row| {
            values
                .push_bind(row.hour)
                .push_bind(&row.agent)
                .push_bind(&row.model)
                .push_bind(row.process)
                .push_bind(row.chats)
                .push_bind(row.prompt_tokens)
                .push_bind(row.completion_tokens)
                .push_bind(row.run_seconds);
        });
        query.push(
            " on conflict (hour, agent, model, process) do update set chats = excluded.chats, \
             prompt_tokens = excluded.prompt_tokens, \
             completion_tokens = excluded.completion_tokens, run_seconds = excluded.run_seconds",
        );
        query.build().execute(pool).await?;
    }
    Ok(())
}
