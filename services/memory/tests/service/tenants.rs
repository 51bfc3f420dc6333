//! Row-level security, asked of the tables themselves.

use alina_proto::{
    Service,
    memory::v1::{
        BankDocument, EditDocumentRequest, ImportBankRequest, LogActionRequest,
        MergeEntitiesRequest, RememberRequest, edit_document_request::Edit,
    },
};
use alina_testkit::Suite;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::{Memory, episode, fact, memory, remember};

/// Every table that holds what belongs to a namespace, and the column that says to which.
const TABLES: [(&str, &str); 19] = [
    ("items", "namespace"),
    ("versions", "namespace"),
    ("histories", "namespace"),
    ("entities", "namespace"),
    ("names", "namespace"),
    ("merges", "namespace"),
    ("facts", "namespace"),
    ("grounds", "namespace"),
    ("documents", "namespace"),
    ("sections", "namespace"),
    ("bank_conflicts", "namespace"),
    ("actions", "namespace"),
    ("chains", "namespace"),
    ("idempotency_keys", "namespace"),
    ("changes", "namespace"),
    ("exports", "namespace"),
    ("exported", "namespace"),
    ("actors", "namespace"),
    ("namespaces", "name"),
];

async fn fill(memory: &Memory, namespace: &str) {
    let namespace = namespace.to_owned();
    let mut request = RememberRequest {
        namespace: namespace.clone(),
        idempotency_key: "key".to_owned(),
        ..episode("Ana moved")
    };
    for city in ["Berlin", "Porto"] {
        let mut lives = fact("Ana", "lives_in", city);
        (lives.functional, lives.object_is_entity) = (true, true);
        request.facts = vec![lives];
        request.idempotency_key = city.to_owned();
        remember(memory, request.clone()).await;
    }
    let (into, from) = ("Berlin".to_owned(), "Porto".to_owned());
    let merge =
        MergeEntitiesRequest { namespace: namespace.clone(), into, from, ..Default::default() };
    memory.clone().merge_entities(merge).await.unwrap();
    let log = LogActionRequest {
        namespace: namespace.clone(),
        actor: "a".to_owned(),
        action: "b".to_owned(),
        summary: "c".to_owned(),
        ..LogActionRequest::default()
    };
    memory.clone().log_action(log).await.unwrap();
    let bank = |content: &str| {
        let document = BankDocument { path: "a.md".to_owned(), content: content.to_owned() };
        ImportBankRequest { namespace: namespace.clone(), documents: vec![document] }
    };
    memory.clone().import_bank(bank("# A\nb\n")).await.unwrap();
    let edit = EditDocumentRequest {
        namespace: namespace.clone(),
        path: "a.md".to_owned(),
        edit: Some(Edit::Append("one".to_owned())),
        ..Default::default()
    };
    memory.clone().edit_document(edit).await.unwrap();
    // Against what was edited.
    memory.clone().import_bank(bank("# A\nb\nanother\n")).await.unwrap();
    let export = alina_proto::memory::v1::ExportBankRequest { namespace };
    memory.clone().export_bank(export).await.unwrap();
}

/// As the service works for a namespace; for none when it is empty.
async fn enter(connection: &mut PgConnection, namespace: &str) {
    sqlx::query("SET search_path = memory, public").execute(&mut *connection).await.unwrap();
    sqlx::query("SET ROLE alina_memory_tenant").execute(&mut *connection).await.unwrap();
    sqlx::query("SELECT set_config('alina.namespace', $1, false)")
        .bind(namespace)
        .execute(connection)
        .await
        .unwrap();
}

async fn run(connection: &mut PgConnection, sql: String) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query(AssertSqlSafe(sql)).execute(connection).await?.rows_affected())
}

#[tokio::test]
async fn a_tenant_sees_and_changes_only_its_own_rows() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    fill(&memory, "mine").await;
    fill(&memory, "theirs").await;
    let pool = suite.db().pool().await;
    let connection = &mut *pool.acquire().await.unwrap();
    enter(connection, "mine").await;
    for (table, column) in TABLES {
        let sql =
            format!("SELECT count(*), count(*) FILTER (WHERE {column} <> 'mine') FROM {table}");
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut *connection).await.unwrap();
        let (own, others): (i64, i64) = (row.get(0), row.get(1));
        assert!(own > 0, "{table} is empty");
        assert_eq!(others, 0, "{table} shows others' rows");
    }
    for (table, column) in TABLES.iter().filter(|(table, _)| *table != "histories") {
        let set = format!("UPDATE {table} SET {column} = 'mine' WHERE {column} = 'theirs'");
        assert_eq!(run(connection, set).await.unwrap(), 0, "{table}");
        let delete = format!("DELETE FROM {table} WHERE {column} = 'theirs'");
        assert_eq!(run(connection, delete).await.unwrap(), 0, "{table}");
    }
    // Nor can rows be put there, or given away.
    for sql in [
        "INSERT INTO namespaces (name, version) VALUES ('others', 1)",
        "INSERT INTO actors VALUES ('theirs', 'a', 'b')",
        "INSERT INTO documents VALUES ('theirs', 'b.md', '', now())",
        "UPDATE items SET namespace = 'theirs'",
        "UPDATE names SET namespace = 'theirs'",
    ] {
        let refused = run(connection, sql.to_owned()).await.unwrap_err().to_string();
        assert!(refused.contains("row-level security"), "{sql}: {refused}");
    }
    enter(connection, "").await;
    for (table, _) in TABLES {
        let sql = format!("SELECT count(*) FROM {table}");
        let seen: i64 =
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *connection).await.unwrap();
        assert_eq!(seen, 0, "{table} shows rows to nobody's tenant");
    }
}

#[tokio::test]
async fn every_table_with_a_namespace_has_policies_that_bind_its_owner() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let pool = suite.db().pool().await;
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
          WHERE relnamespace = 'memory'::regnamespace AND relkind IN ('r', 'p')
            AND attname = 'namespace' AND NOT (relrowsecurity AND relforcerowsecurity)",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(open.is_empty(), "without row-level security: {open:?}");
}
