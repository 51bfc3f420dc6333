//! A namespace as a file.

use std::collections::BTreeMap;

use alina_proto::{
    Service,
    memory::v1::{
        ExportFormat, ExportNamespaceRequest, ForgetRequest, ImportNamespaceRequest,
        ListActionsRequest, forget_request::Target,
    },
};
use alina_testkit::Suite;
use serde_json::{Value, json};
use tonic::Code;

use super::{
    NAMESPACE, briefs, changes, everything, exported, found, imported, life, settled, verified,
};
use crate::{Memory, memory, remember};

/// The lines, without what tells of the export itself.
fn lines(file: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(file).expect("text");
    let of_export = ["{\"alina_memory\"", "{\"exports\"", "{\"exported\"", "{\"end\""];
    let lines = text.lines().filter(|line| !of_export.iter().any(|start| line.starts_with(start)));
    lines.map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn everything_is_as_it_was_after_export_wipe_and_import() {
    let services = || Suite::builder().service(Service::Memory).service(Service::InferenceGateway);
    let suite = services().start().await;
    let old = memory(&suite.connector());
    life::lived(&old).await;
    settled(&suite, true).await;
    let before = briefs(suite.url(Service::Memory), &[]).await;
    let (told, searched, log) =
        (changes(&old, 0).await, found(&old, true).await, verified(&old).await);
    assert!(log.intact && log.tombstones > 0 && told.len() > 60, "{log:?} {}", told.len());
    let file = exported(&old, everything()).await;
    assert!(file.windows(9).any(|part| part == b"embedding"), "vectors are in it");
    drop(suite);

    // Another database and another Redis, where somebody lives already.
    let suite = services().start().await;
    let new = memory(&suite.connector());
    let mut other = life::entry("other", "run.started", "run-9", "of somebody else");
    other.namespace = "other".to_owned();
    new.clone().log_action(other).await.unwrap();
    let done = imported(&new, &file, 1_000).await.expect("it is taken in");
    assert_eq!(
        (done.namespace.as_str(), done.repeated_import, done.actions_intact),
        (NAMESPACE, false, true)
    );
    assert_eq!(done.rows["actions"], log.length);
    settled(&suite, true).await;

    let after = briefs(suite.url(Service::Memory), &[]).await;
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after, "session_start is identical byte for byte");
    }
    assert_eq!(verified(&new).await, log);
    assert_eq!(changes(&new, 0).await, told);
    assert!(searched == found(&new, true).await, "the same is found");
    assert_eq!(lines(&exported(&new, everything()).await), lines(&file));
    let again = imported(&new, &file, 100_000).await.expect("it was taken in");
    assert!(again.repeated_import && again.rows == done.rows && again.actions_intact);

    // What was sent before is known; what is written goes on from there.
    let once = life::said("berlin", 1, "Ana Silva", "I live in Berlin and train in Kreuzberg");
    let error = new.clone().remember(once).await.unwrap_err();
    assert_eq!(alina_client::reason(&error).as_deref(), Some("KEY_REUSED"), "without its facts");
    let mut m = new.clone();
    let logged = life::entry("9", "order.placed", "run-1", "two windows");
    let id = m.log_action(logged).await.unwrap().into_inner().id;
    let list = ListActionsRequest { namespace: NAMESPACE.to_owned(), ..Default::default() };
    let listed = m.list_actions(list.clone()).await.unwrap().into_inner().actions;
    assert!(listed.iter().any(|action| action.id == id && action.summary == "two windows"));
    assert_eq!(verified(&new).await.length, log.length, "it was logged before");
    m.log_action(life::entry("new", "run.finished", "run-1", "done")).await.unwrap();
    assert_eq!(m.list_actions(list).await.unwrap().into_inner().actions[0].summary, "done");
    remember(&new, life::said("", 400, "user", "a new day")).await;
    let last = told.last().unwrap().sequence;
    assert_eq!(changes(&new, last).await[0].sequence, last + 1);
    let log = verified(&new).await;
    assert!(log.intact, "{log:?}");

    // Copies are told of, those made before the wipe and after.
    let target = Some(Target::Actor("Ana Silva".to_owned()));
    let forget = ForgetRequest { namespace: NAMESPACE.to_owned(), target, ..Default::default() };
    let gone = m.forget(forget).await.unwrap().into_inner();
    assert_eq!(gone.exports.len(), 3, "{:?}", gone.exports);
    let all = gone.episodes + gone.facts + gone.entities;
    assert!(gone.exports.iter().all(|export| u64::from(export.items) >= all.min(2)));
    let late = imported(&new, &file, 100_000).await.expect("it was taken in");
    assert!(late.repeated_import, "what is forgotten is not brought back");
}

async fn counted(memory: &Memory) -> u64 {
    let request = alina_proto::memory::v1::GetStatsRequest { namespace: NAMESPACE.to_owned() };
    let stats = memory.clone().get_stats(request).await.unwrap().into_inner();
    stats.episodes + stats.facts + stats.entities + stats.sections + stats.actions
}

#[tokio::test]
async fn a_file_that_is_cut_off_changed_or_for_another_is_refused_and_nothing_is_left_of_it() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let from = memory(&suite.connector());
    life::lived(&from).await;
    let file =
        exported(&from, ExportNamespaceRequest { without_vectors: true, ..everything() }).await;
    let text = String::from_utf8(file.clone()).unwrap();
    let error = imported(&from, &[&file[..], b"\n"].concat(), 9_999).await.unwrap_err();
    assert_eq!(alina_client::reason(&error).as_deref(), Some("NAMESPACE_NOT_EMPTY"));

    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let with = |change: &dyn Fn(usize, &mut Value)| {
        let lines = text.lines().enumerate().map(|(place, line)| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            change(place, &mut line);
            line.to_string()
        });
        format!("{}\n", lines.collect::<Vec<_>>().join("\n")).into_bytes()
    };
    let first = |table: &str| {
        text.lines().position(|line| line.starts_with(&format!("{{\"{table}\""))).unwrap()
    };
    let (item, fact, ground) = (first("items"), first("facts"), first("grounds"));
    let nowhere = "00000000-0000-7000-8000-000000000000";
    let cases: Vec<(Vec<u8>, String)> = vec![
        (Vec::new(), "end".to_owned()),
        (b"hello\n".to_vec(), "line 1: line".to_owned()),
        (file[..file.len() / 2].to_vec(), "end".to_owned()),
        (file[..file.len() - 1].to_vec(), "end".to_owned()),
        (text.replacen("harbour", "hXrbour", 1).into_bytes(), "end.sha256".to_owned()),
        (
            with(&|place, line| {
                if place == item {
                    line["items"]["valid_from"] = json!("soon");
                }
            }),
            format!("line {}: items.valid_from", item + 1),
        ),
        (
            with(&|place, line| {
                if place == item {
                    line["items"]["text"] = json!("a\0b");
                }
            }),
            format!("line {}: items.text", item + 1),
        ),
        (
            with(&|place, line| {
                if place == item {
                    line["items"]["embedding"] = json!("AAAA");
                }
            }),
            format!("line {}: items.embedding", item + 1),
        ),
        (
            with(&|place, line| {
                if place == item {
                    line["items"]["valid_to"] = json!("1999-01-01T00:00:00Z");
                }
            }),
            format!("line {}: items", item + 1),
        ),
        (
            with(&|place, line| {
                if place == fact {
                    line["facts"]["subject_id"] = json!(nowhere);
                }
            }),
            format!("line {}: facts", fact + 1),
        ),
        (
            with(&|place, line| {
                if place == ground {
                    line["grounds"]["ground_id"] = json!(nowhere);
                }
            }),
            format!("line {}: grounds", ground + 1),
        ),
    ];
    for (file, told) in cases {
        let error = imported(&memory, &file, 3_000).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{told}: {error:?}");
        assert!(error.message().contains(&told), "{told}: {}", error.message());
        assert_eq!(counted(&memory).await, 0, "{told}");
    }
    let first = ImportNamespaceRequest { namespace: "other".to_owned(), data: file.clone() };
    let error = memory.clone().import_namespace(futures::stream::iter([first])).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("namespace"), "{}", error.message());

    // Who breaks off in the midst leaves nothing; then it can be taken in.
    let half =
        ImportNamespaceRequest { data: file[..file.len() / 2].to_vec(), ..Default::default() };
    let stalled =
        futures::StreamExt::chain(futures::stream::iter([half]), futures::stream::pending());
    let mut m = memory.clone();
    let broken = m.import_namespace(stalled);
    assert!(tokio::time::timeout(std::time::Duration::from_secs(2), broken).await.is_err());
    let done = imported(&memory, &file, 70_000).await.expect("it is taken in");
    assert!(done.actions_intact && counted(&memory).await > 50);
    let error =
        imported(&memory, text.replace("harbour", "hXrbour").as_bytes(), 70_000).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
}

#[tokio::test]
async fn every_column_is_in_the_file_or_is_made_from_it() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT relname::text, attname::text FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
          WHERE relnamespace = 'memory'::regnamespace AND relkind IN ('r', 'p')
            AND NOT relispartition AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
    )
    .fetch_all(&suite.db().pool().await)
    .await
    .unwrap();
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (table, column) in &columns {
        let known = alina_memory::knowledge::archive::TABLES.iter().find(|one| one.name == table);
        if !known.is_some_and(|known| known.columns.iter().any(|one| one.name == column)) {
            missing.entry(table).or_default().push(column);
        }
    }
    // Made by triggers from items, or in the background; of the service; made at an import.
    let made =
        ["actors", "terms", "uncounted", "unresolved", "merge_suggestions", "_sqlx_migrations"];
    for table in made {
        missing.remove(table);
    }
    missing
        .get_mut("namespaces")
        .unwrap()
        .retain(|column| !["name", "version", "imported"].contains(column));
    for columns in missing.values_mut() {
        columns.retain(|column| *column != "namespace");
    }
    missing.retain(|_, columns| !columns.is_empty());
    assert!(missing.is_empty(), "give them a place in knowledge/archive/tables.rs: {missing:?}");
}

#[tokio::test]
async fn a_graph_has_entities_as_nodes_and_facts_as_edges() {
    // Of the facts that are given, not of those in what is said.
    let rules = serde_json::json!(false);
    let suite = Suite::builder().service(Service::Memory).set("memory.extraction.rules", rules);
    let suite = suite.start().await;
    let memory = memory(&suite.connector());
    life::lived(&memory).await;
    let request =
        || ExportNamespaceRequest { format: ExportFormat::Graphml.into(), ..everything() };
    let graph = String::from_utf8(exported(&memory, request()).await).unwrap();
    assert!(graph.contains("<data key=\"node_label\">Ana Silva</data>"), "{graph}");
    let stale = graph.matches("<data key=\"edge_stale\">true</data>").count();
    assert_eq!((graph.matches("<edge ").count(), stale), (5, 1), "{graph}");
    let then = ExportNamespaceRequest { as_of: Some(life::day(100)), ..request() };
    let then = String::from_utf8(exported(&memory, then).await).unwrap();
    assert!(!then.contains("<data key=\"edge_stale\">true</data>"), "{then}");

    // What others make of it.
    let file = suite.dir().join("graph.xml");
    std::fs::write(&file, &graph).unwrap();
    let python = tokio::process::Command::new(alina_testkit::home().join("venv/bin/python3"))
        .arg(alina_testkit::repository().join("crates/e2e/python/graph.py"))
        .arg(&file)
        .output()
        .await
        .expect("./deploy/bootstrap setup");
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let read: Value = serde_json::from_slice(&python.stdout).unwrap();
    assert_eq!(read["directed"], true);
    assert_eq!(read["nodes"]["Ana Silva"], "entity");
    assert_eq!(read["nodes"]["Kreuzberg gym"], "literal");
    let edges: Vec<String> = read["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| {
            let text = |place: usize| edge[place].as_str().unwrap();
            let (holds, stale) = (&edge[3]["holds"], &edge[3]["stale"]);
            format!("{} {} {}: {holds} {stale}", text(0), text(1), text(2))
        })
        .collect();
    let expected = [
        "Ana Silva lives_in Berlin: false false",
        "Ana Silva lives_in Porto: true false",
        "Ana Silva trains_at Kreuzberg gym: true true",
        "Rui likes tea: true false",
        "open the café planned buy chairs: true false",
    ];
    assert_eq!(edges, expected);
    let moved = &read["edges"][0][3];
    assert_eq!(
        (moved["valid_to"].as_str(), &moved["functional"]),
        (Some("2025-07-10T00:00:00Z"), &json!(true))
    );

    let day = Some(life::day(1));
    for (request, field) in [
        (ExportNamespaceRequest { format: 9, ..everything() }, "format"),
        (ExportNamespaceRequest { as_of: day, ..everything() }, "as_of"),
        (ExportNamespaceRequest { without_vectors: true, ..request() }, "without_vectors"),
    ] {
        let error = memory.clone().export_namespace(request).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains(field), "{field}: {}", error.message());
    }
}
