//! What was written before the tables were split by namespace is there afterwards.

use std::{borrow::Cow, str::FromStr};

use sqlx::{
    Executor, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};

static ALL: Migrator = sqlx::migrate!();

/// The last migration before tables were split.
const WHOLE: i64 = 50;

async fn database() -> PgPool {
    let database = alina_testkit::postgres().await;
    let options = PgConnectOptions::from_str(database.url()).unwrap();
    let pool = PgPoolOptions::new().max_connections(1);
    let pool =
        pool.connect_with(options.options([("search_path", "memory,public")])).await.unwrap();
    pool.execute("CREATE SCHEMA memory").await.unwrap();
    pool
}

async fn count(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn what_was_there_before_the_tables_were_split_is_there_after() {
    let pool = database().await;
    let before = ALL.iter().filter(|one| one.version <= WHOLE).cloned().collect();
    let before = Migrator { migrations: Cow::Owned(before), ..Migrator::DEFAULT };
    before.run(&pool).await.unwrap();
    let fill = "
        INSERT INTO namespaces (name, version) SELECT 'n' || n, 1 FROM generate_series(1, 20) AS n;
        INSERT INTO items (id, namespace, kind, text, actor, valid_from, recorded_at)
          SELECT gen_random_uuid(), 'n' || n, kind, 'Ana likes tea', 'Ana', now(), now()
            FROM generate_series(1, 20) AS n, generate_series(1, 3) AS kind;
        INSERT INTO entities (id, namespace, name) SELECT id, namespace, 'Ana' FROM items WHERE kind = 3;
        INSERT INTO names SELECT namespace, 'ana', id FROM entities;
        INSERT INTO facts (id, namespace, subject_id, predicate, object, episode_id, functional)
          SELECT fact.id, fact.namespace, entities.id, 'likes', 'tea', said.id, false
            FROM items AS fact JOIN entities USING (namespace) JOIN items AS said USING (namespace)
           WHERE fact.kind = 2 AND said.kind = 1;
        INSERT INTO grounds SELECT id, episode_id, namespace FROM facts;
        INSERT INTO versions
          SELECT id, namespace, valid_from, NULL, now() - interval '1 day', now(), '' FROM items
           WHERE kind = 2;
        INSERT INTO actions (namespace, at, actor, action, summary, details, run_id, position, salt,
                             digest, hash)
          SELECT 'n' || n, now(), 'a', 'b', 'c', '', '', 1, '\\x00', '\\x00', '\\x00'
            FROM generate_series(1, 20) AS n";
    pool.execute(sqlx::raw_sql(fill)).await.unwrap();
    ALL.run(&pool).await.unwrap();

    assert_eq!(count(&pool, "SELECT count(*) FROM items WHERE tsv @@ 'tea'").await, 60);
    assert!(count(&pool, "SELECT count(DISTINCT tableoid) FROM items").await > 3);
    for sql in [
        "SELECT count(*) FROM facts WHERE held(namespace, id, now(), now())",
        "SELECT count(*) FROM facts WHERE NOT stale(id, now(), now())",
        "SELECT count(*) FROM names JOIN entities ON id = entity_id",
        "SELECT count(*) FROM grounds JOIN facts ON facts.id = fact_id AND ground_id = episode_id",
        "SELECT count(*) FROM histories WHERE until < 'infinity'",
        "SELECT max(id) FROM actions",
        "SELECT nextval(pg_get_serial_sequence('actions', 'id')) - 1",
    ] {
        assert_eq!(count(&pool, sql).await, 20, "{sql}");
    }
    let deleted = pool.execute("DELETE FROM items WHERE kind = 2").await.unwrap();
    assert_eq!(deleted.rows_affected(), 20);
    assert_eq!(count(&pool, "SELECT count(*) FROM facts").await, 0, "with what refers to them");
    assert_eq!(count(&pool, "SELECT count(*) FROM versions").await, 0);
}
