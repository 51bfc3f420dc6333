//! `alina memory`: what is believed, why, and what becomes of it.

use alina_proto::Service;
use alina_testkit::{Suite, repository};
use serde_json::Value;

use crate::commands::{alina, human, json, output, text};

/// Without the times, which are those of the test.
fn trimmed(shown: &str) -> Vec<String> {
    shown.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[tokio::test]
async fn what_is_believed_is_told_as_a_tree_and_a_timeline() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let config = suite.config();
    let fact = async |line: &str| {
        let told = json(config, &format!("memory --namespace me fact {line}")).await;
        told["fact_id"].as_str().expect("an id").to_owned()
    };
    let berlin = fact("Ana lives_in Berlin --entity --functional --from 2020-01-01").await;
    let gym = format!("Ana trains_at Kreuzberg --from 2020-02-01 --derived-from {berlin}");
    let gym = fact(&gym).await;
    fact("Bea lives_in Berlin --entity --from 2021-01-01").await;
    let explain = format!("memory explain {gym} --namespace me");
    assert_eq!(
        trimmed(&human(config, &explain).await),
        ["✓ Ana trains at Kreuzberg  2020-02-01 …", "└─ ✓ Ana lives in Berlin  2020-01-01 …"]
    );
    let around = "memory neighbors ana --hops 2 --namespace me";
    assert_eq!(
        trimmed(&human(config, around).await),
        ["Ana", "└─ lives in → Berlin  2020-01-01 …", "   └─ ← lives in Bea  2021-01-01 …"]
    );
    let way = human(config, "memory path Ana Bea --namespace me").await;
    assert_eq!(trimmed(&way)[0], "Ana");
    assert_eq!(way.lines().count(), 3, "{way}");

    let porto = fact("Ana lives_in Porto --entity --functional --from 2026-05-01").await;
    let shown = human(config, &explain).await;
    assert_eq!(
        trimmed(&shown),
        [
            "? Ana trains at Kreuzberg  2020-02-01 … stale",
            "└─ ✗ Ana lives in Berlin  2020-01-01 … 2026-05-01 ended 2026-05-01"
        ]
    );
    let then = json(config, &format!("{explain} --as-of 2025-01-01")).await;
    assert_eq!(then["reasons"][0]["standing"], "holds", "{then}");
    let found = json(config, "memory search Kreuzberg --namespace me").await;
    assert_eq!(found[0]["stale"], true, "{found}");

    let retracted = json(config, &format!("memory retract {porto} --namespace me")).await;
    assert_eq!(retracted["consequences"]["now_holding"][0], Value::from(gym.clone()));
    let shown = human(config, "memory timeline Ana --namespace me").await;
    assert!(shown.starts_with("2020-01-01 …             ● Ana lives in Berlin\n"), "{shown}");
    assert!(shown.contains(": 2020-01-01 … 2026-05-01\n"), "what was believed before: {shown}");
    assert!(shown.contains("2026-05-01 …             ✗ "), "{shown}");
    let restored = json(config, &format!("memory restore {porto} --namespace me")).await;
    assert_eq!(restored["consequences"]["now_stale"][0], Value::from(gym.clone()));
    let revised =
        json(config, &format!("memory revise {porto} --from 2026-04-01 --namespace me")).await;
    assert_eq!(revised["valid_from"], "2026-04-01T00:00:00+00:00", "{revised}");
    let timeline = json(config, "memory timeline Ana --predicate lives_in --namespace me").await;
    assert_eq!(timeline[0]["fact"]["valid_to"], "2026-04-01T00:00:00+00:00", "{timeline}");

    let elsewhere = output(alina(config, &format!("memory explain {gym}"))).await;
    assert_eq!(elsewhere.status.code(), Some(1), "another namespace has no such fact");
}

#[tokio::test]
async fn the_tour_of_the_readme_works_as_it_is() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, tour) = readme.split_once("### What is remembered, and why it is believed").unwrap();
    let (_, tour) = tour.split_once("```sh\n").unwrap();
    let (tour, _) = tour.split_once("```").unwrap();
    assert!(tour.lines().count() >= 15, "{tour}");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_alina"));
    let path = std::env::var("PATH").unwrap();
    let mut shell = tokio::process::Command::new("bash");
    shell
        .args(["-e", "-o", "pipefail", "-c", tour])
        .env("PATH", format!("{}:{path}", program.parent().unwrap().display()))
        .env("ALINA_CONFIG", suite.config())
        .kill_on_drop(true);
    let shown = output(shell).await;
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let shown = text(&shown.stdout);
    let answers: Vec<Value> =
        shown.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(answers[0]["reasons"][0]["standing"], "stale");
    assert_eq!(answers[0]["reasons"][0]["because"], "Ana lives in Berlin: ended 2026-05-01");
    assert_eq!(answers[1]["reasons"][0]["standing"], "holds");
    assert_eq!(answers[4]["entities"].as_array().unwrap().len(), 2);
    assert_eq!(answers[5]["consequences"]["now_holding"].as_array().unwrap().len(), 1);
    let last = answers.last().unwrap();
    assert_eq!(last["intact"], true, "{last}");
}

#[tokio::test]
async fn what_is_forgotten_is_gone_and_changes_and_the_log_tell_so() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let config = suite.config();
    json(config, "memory remember hello --namespace me").await;
    let before = human(config, "memory verify --namespace me").await;
    assert!(before.starts_with("✓ 0 entries, 0 of them forgotten: intact\n"), "{before}");
    let asked = human(config, "memory forget --actor user --namespace me").await;
    assert!(asked.contains("would be deleted: 1 episodes") && asked.contains("--yes"), "{asked}");
    assert_eq!(json(config, "memory stats --namespace me").await["episodes"], 1);
    let gone = json(config, "memory forget --actor user --yes --namespace me").await;
    assert_eq!((&gone["episodes"], &gone["deleted"]), (&1.into(), &true.into()), "{gone}");
    assert_eq!(json(config, "memory stats --namespace me").await["episodes"], 0);

    let log = json(config, "memory actions --namespace me").await;
    assert_eq!(log[0]["action"], "memory.forgotten", "{log}");
    let head = json(config, "memory verify --namespace me").await["head"].clone();
    let known =
        format!("memory verify --namespace me --position 1 --hash {}", head.as_str().unwrap());
    assert_eq!(json(config, &known).await["intact"], true);
    let other = format!("memory verify --namespace me --position 1 --hash {}", "0".repeat(64));
    let wrong = output(alina(config, &other)).await;
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("the log is wrong at 1"), "{}", text(&wrong.stderr));

    let changes = output(alina(config, "memory watch --until-now --namespace me")).await;
    let changes = text(&changes.stdout);
    let kinds: Vec<Value> =
        changes.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = kinds.iter().flat_map(|change| change["kind"].as_str()).collect();
    assert_eq!(kinds, ["recorded", "forgotten"]);
    let human = human(config, "memory watch --until-now --after 1 --namespace me").await;
    assert!(human.contains("episode forgotten"), "{human}");
}

#[tokio::test]
async fn a_namespace_goes_into_a_file_and_comes_back_elsewhere() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let config = suite.config();
    json(config, "memory --namespace me fact Ana lives_in Porto --entity --functional").await;
    json(config, "memory --namespace me remember hello").await;
    let context = json(config, "memory --namespace me context").await;
    let told = context["context"].as_str().unwrap();
    assert!(told.starts_with("## Facts\n[1] ") && told.contains("Ana lives in Porto"), "{told}");
    assert_eq!(context["citations"][0]["reasons"][0], "holds until another does", "{context}");
    let shown = human(config, "memory --namespace me context hello --profile query").await;
    assert!(shown.starts_with("[1] ") && shown.contains("hello"), "{shown}");
    let file = suite.dir().join("me.jsonl");
    let export = format!("memory --namespace me export {}", file.display());
    let done = json(config, &export).await;
    let bytes = std::fs::metadata(&file).unwrap().len();
    assert_eq!(done["bytes"], bytes, "{done}");
    let piped = output(alina(config, "memory --namespace me export - --format graphml")).await;
    assert!(text(&piped.stdout).ends_with("</graphml>\n"), "{}", text(&piped.stdout));

    let other = Suite::builder().service(Service::Memory).start().await;
    let config = other.config();
    let cut = suite.dir().join("cut.jsonl");
    std::fs::write(&cut, &std::fs::read(&file).unwrap()[..bytes as usize / 2]).unwrap();
    let refused = output(alina(config, &format!("memory import {}", cut.display()))).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("cut off"), "{}", text(&refused.stderr));
    let import = format!("memory import {}", file.display());
    let done = json(config, &import).await;
    assert_eq!((&done["namespace"], &done["rows"]["facts"]), (&"me".into(), &1.into()), "{done}");
    assert_eq!(json(config, "memory --namespace me context").await, context);
    let again = human(config, &import).await;
    assert!(again.contains("me holds this file already"), "{again}");
    let missing = output(alina(config, "memory import /nowhere.jsonl")).await;
    assert!(text(&missing.stderr).contains("/nowhere.jsonl"), "{}", text(&missing.stderr));
}

#[tokio::test]
async fn facts_are_taken_out_of_what_is_said_and_entities_merged() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let config = suite.config();
    for text in ["Bea Santos moved to Lyon in May 2024.", "Bea moved to Nice in June 2025."] {
        let mut remember = alina(config, "memory remember --namespace me");
        remember.arg(text);
        assert!(output(remember).await.status.success());
    }
    let begun = std::time::Instant::now();
    let stats = loop {
        let stats = json(config, "memory stats --namespace me").await;
        if stats["awaiting_extraction"] == 0 {
            break stats;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{stats}");
    };
    assert_eq!((&stats["facts"], &stats["extraction"]["rules"]["facts"]), (&2.into(), &2.into()));
    let shown = human(config, "memory stats --namespace me").await;
    assert!(shown.contains("rules took 2 facts out of 2 episodes in "), "{shown}");

    let mut command = alina(config, "memory merge --namespace me");
    command.args(["Bea Santos", "Bea"]);
    let merged: Value = serde_json::from_slice(&output(command).await.stdout).unwrap();
    assert_eq!(merged["changed"], true, "{merged}");
    assert_eq!(merged["consequences"]["revised"].as_array().unwrap().len(), 1);
    let shown = human(config, "memory timeline Bea --namespace me").await;
    assert!(shown.contains("2024-05-01 … 2025-06-01"), "{shown}");
    let shown = human(config, "memory unmerge Bea --namespace me").await;
    assert!(shown.starts_with("✓ it stands for itself again\n"), "{shown}");
    let shown = human(config, "memory unmerge Bea --namespace me").await;
    assert!(shown.starts_with("✓ it was merged into nothing"), "{shown}");
    let shown = human(config, "memory suggestions --namespace me").await;
    assert!(shown.starts_with("no two entities") || shown.contains(" = "), "{shown}");
}
