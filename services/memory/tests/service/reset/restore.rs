//! Backups with PostgreSQL's own programs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use alina_local::PostgresPrograms;
use alina_proto::{
    Service,
    memory::v1::{GetEntityRequest, RememberRequest, SearchRequest},
};
use alina_testkit::{Suite, home};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::{NAMESPACE, begun, briefs, changes, found, life, session_start, settled, verified};
use crate::{Memory, memory, remember};

/// Runs one of PostgreSQL's programs.
async fn run(program: &str, arguments: &[&str]) {
    let programs = PostgresPrograms::find(&home().join("venv")).expect("./deploy/bootstrap setup");
    let mut command = tokio::process::Command::new(programs.program(program));
    let output = command.args(arguments).output().await.expect("it runs");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn everything_is_as_it_was_after_dump_wipe_and_restore() {
    let mut suite = Suite::builder().service(Service::Memory).start().await;
    let m = memory(&suite.connector());
    life::lived(&m).await;
    settled(&suite, false).await;
    // No model answers here: words alone find the same.
    let queries = ["where does Ana live", "the harbour"];
    let before = briefs(suite.url(Service::Memory), &queries).await;
    let (told, searched, log) = (changes(&m, 0).await, found(&m, false).await, verified(&m).await);

    let url = suite.db().url().to_owned();
    let (server, name) = url.rsplit_once('/').unwrap();
    let dump = suite.dir().join("dump");
    let dump = dump.to_str().unwrap();
    run("pg_dump", &["--format=custom", "--file", dump, "--dbname", &url]).await;
    suite.kill(Service::Memory).await;
    let postgres = format!("{server}/postgres");
    let mut connection = PgConnection::connect(&postgres).await.unwrap();
    let wipe = format!("DROP DATABASE {name} WITH (FORCE)");
    connection.execute(sqlx::raw_sql(AssertSqlSafe(wipe))).await.unwrap();
    let redis = redis::Client::open(suite.redis().unwrap().url()).unwrap();
    let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("FLUSHALL").query_async::<()>(&mut redis).await.unwrap();
    run("pg_restore", &["--create", "--exit-on-error", "--dbname", &postgres, dump]).await;
    suite.restart(Service::Memory).await;

    let m = memory(&suite.connector());
    for (before, after) in before.iter().zip(&briefs(suite.url(Service::Memory), &queries).await) {
        assert!(before == after, "session_start is identical byte for byte");
    }
    assert_eq!(verified(&m).await, log);
    assert!(log.intact);
    assert_eq!(changes(&m, 0).await, told);
    assert!(searched == found(&m, false).await, "the same is found");
    let settings: Option<Vec<String>> = sqlx::query_scalar(
        "SELECT setconfig FROM pg_db_role_setting JOIN pg_database ON oid = setdatabase
          WHERE datname = current_database()",
    )
    .fetch_optional(&suite.db().pool().await)
    .await
    .unwrap();
    assert!(
        settings.unwrap().contains(&"hnsw.ef_search=100".to_owned()),
        "the database's settings"
    );
}

/// The texts that are found, once the service has its database back.
async fn harbour(memory: &Memory) -> Vec<String> {
    let request = || SearchRequest {
        namespace: NAMESPACE.to_owned(),
        query: "the harbour tower".to_owned(),
        ..SearchRequest::default()
    };
    for _ in 0..100 {
        if let Ok(found) = memory.clone().search(request()).await {
            return found.into_inner().results.into_iter().map(|found| found.text).collect();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the service does not get its database back");
}

/// Says of what colour the tower is, too; gives all that is known of that, and lets it be cached.
async fn coloured(memory: &Memory, colour: &str) -> Vec<String> {
    let facts = vec![crate::fact("Tower", "has_colour", colour)];
    let namespace = || NAMESPACE.to_owned();
    remember(memory, RememberRequest { namespace: namespace(), facts, ..Default::default() }).await;
    let name = "Tower".to_owned();
    let request = GetEntityRequest { namespace: namespace(), name, ..Default::default() };
    let entity = memory.clone().get_entity(request).await.expect("it is known").into_inner();
    let mut colours: Vec<String> = entity.facts.into_iter().map(|fact| fact.object).collect();
    colours.sort_by_key(|colour| colour != "white");
    colours
}

/// Waits until the log is in the archive as far as it is written now.
async fn archived(connection: &mut PgConnection, archive: &Path) {
    let file: String = sqlx::query_scalar("SELECT pg_walfile_name(pg_switch_wal())")
        .fetch_one(connection)
        .await
        .unwrap();
    for _ in 0..300 {
        if archive.join(&file).is_file() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{file} is not archived");
}

/// Puts a base backup in the place of the data, to be followed by the archive up to a time.
fn put_back(data: &Path, base: &Path, archive: &Path, until: &str) {
    let old: PathBuf = data.with_extension("old");
    fs::rename(data, &old).unwrap();
    fs::rename(base, data).unwrap();
    let settings = format!(
        "restore_command = 'cp {}/%f %p'\nrecovery_target_time = '{until}'\n\
         recovery_target_action = promote\nhot_standby = off\n",
        archive.display()
    );
    let auto = data.join("postgresql.auto.conf");
    let kept = fs::read_to_string(&auto).unwrap();
    fs::write(auto, kept + &settings).unwrap();
    fs::write(data.join("recovery.signal"), "").unwrap();
    // The server's user owns the data.
    let owner = format!("--reference={}", old.display());
    let owned = Command::new("chown").arg("-R").arg(owner).arg(data).status().unwrap();
    assert!(owned.success());
}

#[tokio::test]
async fn a_point_in_time_is_restored_and_nothing_later_is_ever_seen() {
    let mut suite = Suite::builder().service(Service::Memory).archiving_postgres().start().await;
    let m = memory(&suite.connector());
    let own = suite.dir().join("own-postgres");
    let (data, archive, base) = (own.join("postgres"), own.join("archive"), own.join("base"));
    let url = suite.db().url().to_owned();
    let arguments = ["--checkpoint=fast", "--wal-method=none", "--no-manifest", "--no-sync"];
    let target = ["--pgdata", base.to_str().unwrap(), "--dbname", &url];
    run("pg_basebackup", &[&arguments[..], &target[..]].concat()).await;

    life::lived(&m).await;
    remember(&m, life::said("", 300, "user", "A: the harbour tower is white")).await;
    coloured(&m, "white").await;
    settled(&suite, false).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let (brief, log) = (begun(&m, session_start(4_000)).await, verified(&m).await);
    let seen = harbour(&m).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let until: String = sqlx::query_scalar("SELECT clock_timestamp()::text")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Each write has a version; all their answers are cached.
    for number in 0..3 {
        let text = format!("B{number}: the harbour tower is black");
        remember(&m, life::said("", 301, "user", &text)).await;
        let key = format!("b{number}");
        m.clone().log_action(life::entry(&key, "run.started", &key, "B: black")).await.unwrap();
        assert!(harbour(&m).await.contains(&text));
        assert!(begun(&m, session_start(4_000)).await.context.contains("B: black"));
        assert!(coloured(&m, &format!("black {number}")).await.len() == 2 + number);
    }
    archived(&mut connection, &archive).await;

    suite.kill_postgres().await;
    put_back(&data, &base, &archive, &until);
    suite.restart_postgres().await;
    let restored = harbour(&m).await;
    assert!(restored.iter().any(|text| text.starts_with("A:")), "{restored:?}");
    assert_eq!(restored, seen, "what was written later is not there");
    assert_eq!(begun(&m, session_start(4_000)).await, brief);
    assert_eq!(verified(&m).await, log);
    assert!(log.intact);
    // What is written now has other versions than what was written then.
    for number in 0..3 {
        let text = format!("C{number}: the harbour tower is green");
        remember(&m, life::said("", 302, "user", &text)).await;
        let found = harbour(&m).await;
        assert!(found.contains(&text), "{found:?}");
        assert!(!found.iter().any(|text| text.contains("tower is black")), "{found:?}");
        let colour = coloured(&m, &format!("green {number}")).await;
        assert_eq!(colour.len(), 2 + number, "{colour:?}");
        assert!(!colour.iter().any(|colour| colour.contains("black")), "{colour:?}");
        let key = format!("c{number}");
        m.clone().log_action(life::entry(&key, "run.started", &key, "C: green")).await.unwrap();
        let brief = begun(&m, session_start(4_000)).await.context;
        assert!(brief.contains("C: green") && !brief.contains("B: black"), "{brief}");
    }
    assert!(verified(&m).await.intact);
}
