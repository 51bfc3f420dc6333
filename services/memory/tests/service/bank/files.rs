//! Files and documents in step.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    time::{Duration, Instant},
};

use alina_proto::{
    Service,
    memory::v1::{
        DocumentState, ForgetRequest, ListActionsRequest, SyncBankRequest,
        edit_document_request::Edit, forget_request::Target,
    },
};
use tonic::Code;

use super::{Kept, append, content, edit, get, list, send};
use crate::search;

const DOCUMENT: &str = "# Notes\r\n\r\nunchanged  \r\n\r\n## Log\n\n- one\n\n## End\n\nlast";

#[tokio::test]
async fn what_a_person_writes_is_known_and_what_an_agent_writes_is_in_the_file() {
    let kept = Kept::with(&[("notes.md", DOCUMENT), ("learned.md", "# Learned\nkoalas\n")]).await;
    kept.sync().await;
    assert_eq!(content(&kept.memory, "notes.md").await.as_deref(), Some(DOCUMENT));
    assert!(search(&kept.memory, "koalas").await.is_empty(), "what was made is not taken in");

    let begun = Instant::now();
    kept.write("notes.md", &DOCUMENT.replace("- one", "- one\n- otters"));
    kept.until("otters are known", async |kept| {
        content(&kept.memory, "notes.md").await.is_some_and(|text| text.contains("otters"))
    })
    .await;
    println!("a person's edit was known after {} ms", begun.elapsed().as_millis());
    assert!(search(&kept.memory, "otters").await.iter().any(|found| found.source == "notes.md"));

    let file = kept.path().join("notes.md");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let begun = Instant::now();
    append(&kept.memory, "notes.md", &["Log"], "- badgers").await;
    kept.until("badgers are in the file", async |kept| kept.read("notes.md").contains("badgers"))
        .await;
    println!("an agent's edit was in the file after {} ms", begun.elapsed().as_millis());
    let expected = DOCUMENT.replace("- one", "- one\n- otters\n- badgers");
    assert_eq!(kept.read("notes.md"), expected, "not a byte elsewhere changed");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);

    send(&kept.memory, edit("deep/new.md", &[], Edit::Replace("# New\n".into()), ""))
        .await
        .unwrap();
    kept.until("the new file is there", async |kept| kept.read("deep/new.md") == "# New\n").await;
    kept.sync().await;
    let listed = list(&kept.memory).await;
    let states: Vec<_> = listed.documents.iter().map(|at| (at.path.as_str(), at.state())).collect();
    let in_step = DocumentState::InStep;
    assert_eq!(states, [("deep/new.md", in_step), ("notes.md", in_step)]);
    assert!(listed.conflicts.is_empty() && listed.problems.is_empty(), "{listed:?}");

    // Nothing is left behind.
    kept.until("own files are gone", async |kept| {
        let names = fs::read_dir(kept.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with('.')).count() == 0
    })
    .await;
}

#[tokio::test]
async fn a_real_conflict_leaves_the_persons_file_and_is_over_when_its_file_is_deleted() {
    let mut kept = Kept::with(&[("notes.md", "# Notes\n\n- one\n")]).await;
    kept.sync().await;
    // Both edit the same line while the service cannot write.
    kept.suite.kill(Service::Memory).await;
    kept.write("notes.md", "# Notes\n\n- two\n");
    let pool = kept.suite.db().pool().await;
    let sql =
        "UPDATE memory.documents SET content = '# Notes\n\n- three\n' WHERE path = 'notes.md'";
    sqlx::query(sql).execute(&pool).await.unwrap();
    kept.suite.restart(Service::Memory).await;
    kept.sync().await;
    assert_eq!(kept.read("notes.md"), "# Notes\n\n- two\n");
    assert_eq!(content(&kept.memory, "notes.md").await.unwrap(), "# Notes\n\n- two\n");
    let listed = list(&kept.memory).await;
    let [conflict] = listed.conflicts.as_slice() else { panic!("{listed:?}") };
    assert!(conflict.written && conflict.name.starts_with("notes.conflict-"), "{conflict:?}");
    assert_eq!(kept.read(&conflict.name), "# Notes\n\n- three\n");
    assert_eq!(listed.documents.len(), 1, "a conflict is no document");
    assert!(search(&kept.memory, "three").await.is_empty());
    let metrics = reqwest::get(kept.suite.metrics_url(Service::Memory)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("alina_memory_bank_conflicts 1"), "{metrics}");

    fs::remove_file(kept.path().join(&conflict.name)).unwrap();
    kept.until("it is over", async |kept| list(&kept.memory).await.conflicts.is_empty()).await;
    let actions = kept.memory.clone().list_actions(ListActionsRequest::default()).await.unwrap();
    let actions: Vec<_> =
        actions.into_inner().actions.into_iter().map(|action| action.action).collect();
    assert_eq!(actions, ["bank.resolved", "bank.conflict"]);
}

#[tokio::test]
async fn a_deleted_or_renamed_file_takes_its_sections_along_and_no_edit_brings_it_back() {
    let mut kept = Kept::with(&[("a.md", "# A\nwalrus\n"), ("b.md", "# B\nbison\n")]).await;
    kept.sync().await;
    fs::remove_file(kept.path().join("a.md")).unwrap();
    fs::rename(kept.path().join("b.md"), kept.path().join("c.md")).unwrap();
    kept.sync().await;
    assert!(get(&kept.memory, "a.md").await.is_err());
    assert!(search(&kept.memory, "walrus").await.is_empty());
    let bison = search(&kept.memory, "bison").await;
    assert_eq!(bison.iter().map(|found| found.source.as_str()).collect::<Vec<_>>(), ["c.md"]);
    let error = send(&kept.memory, edit("a.md", &["A"], Edit::Append("x".into()), "")).await;
    assert_eq!(error.unwrap_err().code(), Code::NotFound);

    // An edit of a file that is deleted meanwhile is set aside.
    kept.suite.kill(Service::Memory).await;
    fs::remove_file(kept.path().join("c.md")).unwrap();
    let pool = kept.suite.db().pool().await;
    let sql = "UPDATE memory.documents SET content = content || 'elk\n' WHERE path = 'c.md'";
    sqlx::query(sql).execute(&pool).await.unwrap();
    kept.write("d.md", "# D\n");
    kept.suite.restart(Service::Memory).await;
    kept.sync().await;
    assert!(!kept.path().join("c.md").exists());
    let listed = list(&kept.memory).await;
    assert_eq!(kept.read(&listed.conflicts[0].name), "# B\nbison\nelk\n", "{listed:?}");
}

#[tokio::test]
async fn a_folder_that_is_suddenly_empty_or_away_deletes_nothing() {
    let kept = Kept::with(&[("a.md", "# A\n"), ("b.md", "# B\n")]).await;
    kept.sync().await;
    for name in ["a.md", "b.md"] {
        fs::remove_file(kept.path().join(name)).unwrap();
    }
    let told = kept.sync().await;
    assert_eq!((told.documents, told.problems.len()), (2, 1), "{told:?}");
    assert!(told.problems[0].problem.contains("--accept-deletions"), "{told:?}");
    let away = kept.path().with_extension("away");
    fs::rename(kept.path(), &away).unwrap();
    let told = kept.sync().await;
    assert_eq!((told.documents, told.problems.len()), (2, 1), "{told:?}");
    fs::rename(&away, kept.path()).unwrap();
    let request = SyncBankRequest { accept_deletions: true, ..Default::default() };
    let told = kept.memory.clone().sync_bank(request).await.unwrap().into_inner();
    assert_eq!((told.documents, told.problems.len()), (0, 0), "{told:?}");
}

#[tokio::test]
async fn what_is_no_document_is_told_and_nothing_outside_is_touched() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.md"), "# Outside\npangolin\n").unwrap();
    let kept = Kept::with(&[("good.md", "# Good\n")]).await;
    let at = |name: &str| kept.path().join(name);
    fs::write(at("latin.md"), b"caf\xe9").unwrap();
    fs::write(at("nul.md"), b"a\0b").unwrap();
    fs::write(at("large.md"), vec![b'x'; (1 << 20) + 1]).unwrap();
    fs::write(at("notes.txt"), "pangolin").unwrap();
    fs::create_dir(at("folder.md")).unwrap();
    symlink(outside.path().join("secret.md"), at("link.md")).unwrap();
    symlink(outside.path(), at("linked")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(at("pipe.md")).status();
    assert!(pipe.is_ok_and(|status| status.success()));
    let told = kept.sync().await;
    let mut problems: Vec<&str> = told.problems.iter().map(|at| at.path.as_str()).collect();
    problems.sort_unstable();
    assert_eq!(problems, ["large.md", "latin.md", "link.md", "nul.md", "pipe.md"], "{told:?}");
    assert_eq!(told.documents, 1);
    assert!(search(&kept.memory, "pangolin").await.is_empty());

    // An agent's document in the place of a link, or beneath one, stays here.
    for path in ["link.md", "linked/new.md"] {
        send(&kept.memory, edit(path, &[], Edit::Replace("x\n".into()), "")).await.unwrap();
    }
    let told = kept.sync().await;
    assert!(told.problems.iter().any(|at| at.path == "linked/new.md"), "{told:?}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    let secret = fs::read_to_string(outside.path().join("secret.md")).unwrap();
    assert_eq!(secret, "# Outside\npangolin\n");
    assert!(!kept.suite.log(Service::Memory).contains("panicked"));
}

#[tokio::test]
async fn forgetting_a_document_deletes_its_file_and_what_was_set_aside() {
    let mut kept = Kept::with(&[("a.md", "# A\nsecret\n"), ("b.md", "# B\n")]).await;
    kept.sync().await;
    kept.suite.kill(Service::Memory).await;
    kept.write("a.md", "# A\nsecret two\n");
    let pool = kept.suite.db().pool().await;
    let sql = "UPDATE memory.documents SET content = '# A\nsecret three\n' WHERE path = 'a.md'";
    sqlx::query(sql).execute(&pool).await.unwrap();
    kept.suite.restart(Service::Memory).await;
    kept.sync().await;
    let conflict = list(&kept.memory).await.conflicts[0].name.clone();
    assert!(kept.path().join(&conflict).exists());

    let target = Some(Target::Document("a.md".to_owned()));
    let forget = ForgetRequest { target, ..Default::default() };
    kept.memory.clone().forget(forget).await.unwrap();
    kept.until("the files are gone", async |kept| {
        !kept.path().join("a.md").exists() && !kept.path().join(&conflict).exists()
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    kept.sync().await;
    assert!(get(&kept.memory, "a.md").await.is_err());
    assert!(search(&kept.memory, "secret").await.is_empty());
    // The name is free again, for the same text, too.
    kept.write("a.md", "# A\nsecret two\n");
    kept.sync().await;
    assert!(get(&kept.memory, "a.md").await.is_ok());
}

#[tokio::test]
async fn without_a_folder_there_is_nothing_to_sync() {
    let suite = alina_testkit::Suite::builder().service(Service::Memory).start().await;
    let memory = crate::memory(&suite.connector());
    let error = memory.clone().sync_bank(SyncBankRequest::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert_eq!(alina_client::reason(&error).as_deref(), Some("BANK_NOT_WATCHED"));
    assert_eq!(list(&memory).await.folder, "");
}
