//! The SQL of it.

use chrono::{DateTime, Utc};
use sqlx::{PgPool, QueryBuilder};

use super::{Hourly, Wanted, tally::Row};

/// Rows in one statement: PostgreSQL takes 65,535 parameters.
const AT_ONCE: usize = 1_000;

/// Sets this process's totals.
pub(super) async fn write_totals(pool: &PgPool, rows: &[Row]) -> Result<(), sqlx::Error> {
    for rows in rows.chunks(AT_ONCE) {
        let mut query = QueryBuilder::new(
            "insert into usage (hour, agent, run_id, model, process, chats, prompt_tokens, \
             completion_tokens, reused_tokens, queue_seconds, run_seconds, cpu_seconds) ",
        );
        query.push_values(rows, |mut values, row| {
            values
                .push_bind(row.hour)
                .push_bind(&row.agent)
                .push_bind(&row.run_id)
                .push_bind(&row.model)
                .push_bind(row.process)
                .push_bind(row.chats)
                .push_bind(row.prompt_tokens)
                .push_bind(row.completion_tokens)
                .push_bind(row.reused_tokens)
                .push_bind(row.queue_seconds)
                .push_bind(row.run_seconds)
                .push_bind(row.cpu_seconds);
        });
        query.push(
            " on conflict (hour, agent, run_id, model, process) do update set \
             chats = excluded.chats, prompt_tokens = excluded.prompt_tokens, \
             completion_tokens = excluded.completion_tokens, \
             reused_tokens = excluded.reused_tokens, queue_seconds = excluded.queue_seconds, \
             run_seconds = excluded.run_seconds, cpu_seconds = excluded.cpu_seconds",
        );
        query.build().execute(pool).await?;
    }
    Ok(())
}

/// The totals of all processes, the newest hour first, at most `most` rows.
pub(super) async fn list(
    pool: &PgPool,
    wanted: &Wanted,
    since: DateTime<Utc>,
    most: i64,
) -> Result<Vec<Hourly>, sqlx::Error> {
    let mut query = QueryBuilder::new(
        "select hour, agent, run_id, model, sum(chats)::bigint as requests, \
         sum(prompt_tokens)::bigint as prompt_tokens, \
         sum(completion_tokens)::bigint as completion_tokens, \
         sum(reused_tokens)::bigint as reused_tokens, sum(queue_seconds) as queue_seconds, \
         sum(run_seconds) as run_seconds, sum(cpu_seconds) as cpu_seconds \
         from usage where hour >= ",
    );
    query.push_bind(since);
    for (column, value) in
        [("agent", &wanted.agent), ("run_id", &wanted.run), ("model", &wanted.model)]
    {
        if let Some(value) = value {
            query.push(format!(" and {column} = ")).push_bind(value);
        }
    }
    query.push(" group by hour, agent, run_id, model order by hour desc, agent, run_id, model");
    query.push(" limit ").push_bind(most);
    query.build_query_as().fetch_all(pool).await
}
