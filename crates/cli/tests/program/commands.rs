//! Commands, what they print and how they end.

use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use alina_proto::Service;
use alina_testkit::{Suite, repository};
use serde_json::{Value, json};
use tokio::process::Command;

/// `line` is split at blanks.
pub(crate) fn alina(config: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alina"));
    command
        .arg("--config")
        .arg(config)
        .args(line.split(' '))
        .env("NO_COLOR", "1")
        .env_remove("ALINA_CONFIG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) async fn output(command: Command) -> Output {
    output_within(command, Duration::from_secs(60)).await
}

async fn output_within(mut command: Command, span: Duration) -> Output {
    let output = tokio::time::timeout(span, command.output()).await;
    output.expect("it ends").expect("it starts")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What it says to programs.
pub(crate) async fn json(config: &Path, line: &str) -> Value {
    let output = output(alina(config, line)).await;
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What it says to people.
pub(crate) async fn human(config: &Path, line: &str) -> String {
    let output = output(alina(config, &format!("--output human {line}"))).await;
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn copy_of_config(folder: &Path) -> std::path::PathBuf {
    let config = folder.join("config.yaml");
    std::fs::copy(repository().join("config.yaml"), &config).unwrap();
    config
}

#[tokio::test]
async fn a_plan_is_written_for_compose_and_keeps_what_is_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let config = copy_of_config(folder.path());
    let env = folder.path().join(".env");
    std::fs::write(&env, "MINE=1\nALINA_CPUSET_MEMORY=63\n").unwrap();

    let dry = json(&config, "plan --dry-run").await;
    assert_eq!(dry["written"], Value::Null);
    assert_eq!(std::fs::read_to_string(&env).unwrap(), "MINE=1\nALINA_CPUSET_MEMORY=63\n");
    assert!(!folder.path().join(".alina/secrets").exists());

    let plan = json(&config, "plan").await;
    assert_eq!(plan["shares"], dry["shares"]);
    let written = std::fs::read_to_string(&env).unwrap();
    assert!(written.starts_with("MINE=1\n"), "{written}");
    assert!(!written.contains("ALINA_CPUSET_MEMORY=63"), "{written}");
    for key in ["ORCHESTRATOR", "INFERENCE_GATEWAY", "POSTGRES", "REDIS", "GRAFANA", "OLLAMA"] {
        for kind in ["CPUSET", "CPUS", "MEM"] {
            let name = format!("\nALINA_{kind}_{key}=");
            assert_eq!(written.matches(&name).count(), 1, "{name} in {written}");
        }
    }
    let secrets = folder.path().join(".alina/secrets");
    let token = std::fs::read_to_string(secrets.join("grpc_tokens")).unwrap();
    assert_eq!(token.len(), 64, "256 bits in hexadecimal");

    let table = human(&config, "plan").await;
    assert!(table.contains("CPU set") && table.contains("inference_gateway"), "{table}");
    assert_eq!(std::fs::read_to_string(&env).unwrap(), written, "the same plan twice");
    assert_eq!(std::fs::read_to_string(secrets.join("grpc_tokens")).unwrap(), token);
}

#[tokio::test]
async fn completions_and_version_need_no_configuration() {
    let nowhere = Path::new("/nonexistent/config.yaml");
    let script = output(alina(nowhere, "completions bash")).await;
    assert!(script.status.success(), "{}", text(&script.stderr));
    assert!(text(&script.stdout).contains("complete -F _alina"));
}

#[tokio::test]
async fn a_reader_that_goes_is_no_failure() {
    let mut command = alina(Path::new("/nonexistent/config.yaml"), "completions bash");
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let status = tokio::time::timeout(Duration::from_secs(30), child.wait()).await;
    assert!(status.unwrap().unwrap().success());
}

#[tokio::test]
async fn failures_say_what_to_do_and_have_their_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let config = copy_of_config(folder.path());

    let wrong = output(alina(&config, "runs nonsense")).await;
    assert_eq!(wrong.status.code(), Some(2));

    let mut bad = alina(&config, "agents");
    bad.env("ALINA__MACHINE__CPUS", "0");
    let bad = output(bad).await;
    assert_eq!(bad.status.code(), Some(64));
    assert!(text(&bad.stderr).contains("machine.cpus: must be 1 to 1024"), "{bad:?}");

    let missing = output(alina(&folder.path().join("none.yaml"), "agents")).await;
    assert_eq!(missing.status.code(), Some(64), "{missing:?}");

    let mut away = alina(&config, "agents");
    away.env("ALINA__SERVICES__ORCHESTRATOR__URL", "http://127.0.0.1:1");
    let away = output(away).await;
    assert_eq!(away.status.code(), Some(69));
    assert!(away.stdout.is_empty());
    let told: Value = serde_json::from_slice(&away.stderr).unwrap();
    let message = told["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("orchestrator cannot be reached"), "{told}");
    assert!(told["error"]["hint"].as_str().unwrap().contains("alina up"), "{told}");
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up_after_the_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let config = copy_of_config(folder.path());
    // Takes connections and says nothing.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut command = alina(&config, "agents --timeout 1");
    let url = format!("http://{}", mute.local_addr().unwrap());
    command.env("ALINA__SERVICES__ORCHESTRATOR__URL", url);
    let late = output(command).await;
    assert_eq!(late.status.code(), Some(69));
    assert!(text(&late.stderr).contains("not done within 1 s"), "{late:?}");
}

#[tokio::test]
async fn what_is_remembered_is_found_through_a_real_memory() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let config = suite.config();

    let remembered = output({
        let mut command = alina(config, "memory remember");
        command.arg("Tram 28 in Lisbon is crowded in August");
        command
    });
    let remembered = remembered.await;
    assert!(remembered.status.success(), "{}", text(&remembered.stderr));
    let id: Value = serde_json::from_slice(&remembered.stdout).unwrap();
    assert!(!id["episode_id"].as_str().unwrap().is_empty(), "{id}");

    let found = json(config, "memory search Lisbon").await;
    assert_eq!(found[0]["text"], "Tram 28 in Lisbon is crowded in August", "{found}");
    assert_eq!(found[0]["kind"], "episode");
    let shown = human(config, "memory search Lisbon").await;
    assert!(shown.starts_with("Tram 28 in Lisbon is crowded in August\n"), "{shown}");

    let bank = suite.dir().join("bank");
    std::fs::create_dir(&bank).unwrap();
    std::fs::write(bank.join("progress.md"), "# Progress\n\nThe suite stands.\n").unwrap();
    let line = format!("memory bank import {}", bank.display());
    let imported = json(config, &line).await;
    assert_eq!(imported["documents"], 1);
    assert!(imported["sections_added"].as_u64().unwrap() >= 1, "{imported}");
    let again = json(config, &line).await;
    assert_eq!(again["sections_added"], 0, "{again}");
    let copy = suite.dir().join("copy");
    json(config, &format!("memory bank export {}", copy.display())).await;
    let exported = std::fs::read_to_string(copy.join("progress.md")).unwrap();
    assert!(exported.contains("The suite stands."), "{exported}");

    let edited = output({
        let mut command = alina(config, "memory bank edit progress.md --section Progress --append");
        command.arg("- it is fast");
        command
    });
    assert!(edited.await.status.success());
    let shown = human(config, "memory bank show progress.md --section Progress").await;
    assert_eq!(shown, "The suite stands.\n- it is fast\n");
    let edited = json(config, "memory bank edit new.md --replace text").await;
    assert_eq!(edited["created"], true, "{edited}");
    let edited = json(config, "memory bank edit new.md --replace other").await;
    assert_eq!(edited["created"], false, "what is there is replaced: {edited}");
    let status = json(config, "memory bank status").await;
    assert_eq!(status["documents"][1]["path"], "progress.md", "{status}");
    assert_eq!(status["documents"][1]["state"], "no_file", "{status}");
    let table = human(config, "memory bank status").await;
    assert!(table.contains("no folder is kept in step") && table.contains("new.md"), "{table}");
    let sync = output(alina(config, "memory bank sync")).await;
    assert!(text(&sync.stderr).contains("BANK_NOT_WATCHED"), "{sync:?}");

    let stats = json(config, "memory stats").await;
    assert_eq!(stats["episodes"], 1, "{stats}");

    let mut refused = alina(config, "memory search");
    refused.arg("");
    let refused = output(refused).await;
    assert_eq!(refused.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!(told["error"]["reason"], "INVALID_REQUEST", "{told}");
}

#[tokio::test]
async fn a_run_is_followed_and_ctrl_c_cancels_it() {
    // Without models the run waits for them: there is time to interrupt it.
    let suite = Suite::builder().service(Service::Orchestrator).start().await;
    let config = suite.config();
    let agents = json(config, "agents").await;
    let names: Vec<&str> =
        agents.as_array().unwrap().iter().flat_map(|a| a["name"].as_str()).collect();
    assert_eq!(names, ["researcher", "planner", "analyst", "writer"]);

    let started = json(config, "run --detach wait").await;
    let id = started["id"].as_str().unwrap().to_owned();
    assert_eq!(started["goal"], "wait");
    let listed = json(config, "runs list").await;
    assert_eq!(listed[0]["id"], json!(id), "{listed}");
    let cancelled = json(config, &format!("runs cancel {id}")).await;
    assert_eq!(cancelled["id"], json!(id), "{cancelled}");

    let child = alina(config, "run --output json interrupted").spawn().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    let interrupted = loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let runs = json(config, "runs list").await;
        if runs[0]["goal"] == "interrupted" {
            break runs[0]["id"].clone();
        }
    };
    // The handler is there a moment after the run.
    tokio::time::sleep(Duration::from_secs(1)).await;
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await;
    let ended = ended.expect("it ends").unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let lines: Vec<Value> =
        text(&ended.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["sequence"], 1, "events come first, one a line");
    let last = lines.last().unwrap();
    assert_eq!(last["run"]["id"], interrupted);
    assert_eq!(last["run"]["state"], "cancelled", "{last}");

    let shown = human(config, "runs list").await;
    assert!(shown.contains("cancelled") && shown.contains("interrupted"), "{shown}");
    let unknown = output(alina(config, "runs show 01980000-0000-7000-8000-000000000000")).await;
    assert_eq!(unknown.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&unknown.stderr).unwrap();
    assert_eq!(told["error"]["reason"], "RUN_NOT_FOUND", "{told}");
}

#[tokio::test]
async fn a_suite_that_wants_a_token_is_not_mistaken_for_none() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "open-sesame\n").unwrap();
    let suite = Suite::builder()
        .service(Service::Monitor)
        .set("security.token_file", json!(tokens))
        .start()
        .await;
    // The same addresses, without the token.
    let text_of = std::fs::read_to_string(suite.config()).unwrap();
    let mut root: Value = serde_json::from_str(&text_of).unwrap();
    root["security"]["token_file"] = Value::Null;
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, root.to_string()).unwrap();

    let refused = output(alina(&config, "status")).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(text(&refused.stderr).contains("--token-file"), "{refused:?}");

    let line = format!("--token-file {} status", tokens.display());
    let status = json(&config, &line).await;
    let monitor = status["services"].as_array().unwrap().iter().find(|s| s["name"] == "monitor");
    assert!(monitor.is_some(), "{status}");
}
