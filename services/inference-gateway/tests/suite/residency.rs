//! Models loaded when they are needed and unloaded when they are not; files tried before loading.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use alina_proto::{
    Service,
    inference::v1::{
        ChatRequest, EmbedRequest, ListModelsRequest, Model, ModelState, SetModelStateRequest,
    },
};
use alina_testkit::{Suite, models};
use serde_json::json;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::support::{Client, ask, assert_refused, chat, gateway, long, wait_for};

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// A folder with the real model under these names. Links: a copy would take its place on the disk.
fn folder(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let file = folder.path().join(format!("{name}.gguf"));
        std::os::unix::fs::symlink(models().join(FILE), file).unwrap();
    }
    folder
}

fn to(model: &str, request: ChatRequest) -> ChatRequest {
    ChatRequest { model: model.to_owned(), ..request }
}

async fn set(
    client: &Client,
    model: &str,
    state: ModelState,
    pinned: Option<bool>,
) -> Result<Model, Status> {
    let request = SetModelStateRequest { model: model.to_owned(), state: state.into(), pinned };
    let answer = client.clone().set_model_state(request).await?;
    Ok(answer.into_inner().model.unwrap())
}

async fn states(client: &Client) -> Vec<(String, ModelState)> {
    let models =
        client.clone().list_models(ListModelsRequest {}).await.unwrap().into_inner().models;
    models.into_iter().map(|model| (model.name.clone(), model.state())).collect()
}

async fn loaded(client: &Client) -> Vec<String> {
    let states = states(client).await.into_iter();
    states.filter(|(_, state)| *state == ModelState::Loaded).map(|(name, _)| name).collect()
}

async fn metric(suite: &Suite, name: &str) -> f64 {
    let text = reqwest::get(suite.metrics_url(Service::InferenceGateway)).await.unwrap();
    let text = text.text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).expect("the metric is there");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_model_is_loaded_and_unloaded_as_told_and_its_memory_given_back() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    let resident = "process_resident_memory_bytes ";
    let before = metric(&suite, resident).await;
    let model = set(&client, "fast", ModelState::Loaded, None).await.unwrap();
    assert_eq!(model.state(), ModelState::Loaded);
    // The file, 4 x 4,096 tokens of 23,040 bytes, and 256 MiB of beginnings.
    assert_eq!(model.memory_bytes, 98_362_432 + 16_384 * 23_040 + (256 << 20));
    chat(&client, ask("Hello")).await.unwrap();
    let metric_name = "alina_inference_model_memory_bytes{model=\"SmolLM2-135M-Instruct-Q4_1\"";
    assert_eq!(metric(&suite, metric_name).await, model.memory_bytes as f64);
    let during = metric(&suite, resident).await;
    let model = set(&client, "default", ModelState::Available, None).await.unwrap();
    assert_eq!((model.state(), model.memory_bytes), (ModelState::Available, 0));
    let after = metric(&suite, resident).await;
    assert!(during - before > 90e6, "{before} {during}");
    assert!(during - after > 0.8 * (during - before), "{before} {during} {after}");
    assert_eq!(metric(&suite, metric_name).await, 0.0);
    chat(&client, ask("Hello")).await.unwrap();
}

#[tokio::test]
async fn unloading_waits_for_running_answers_and_drops_no_request() {
    let suite = gateway().start().await;
    let client = suite.connector().inference();
    chat(&client, ask("Hello")).await.unwrap();
    let mut answers = JoinSet::new();
    for n in 0..4 {
        let client = client.clone();
        answers.spawn(async move { chat(&client, long(&format!("agent{n}"), 100)).await });
    }
    wait_for(&client, |load| load.running == 4).await;
    let unloading = {
        let client = client.clone();
        tokio::spawn(async move { set(&client, "default", ModelState::Available, None).await })
    };
    // Those that come while it goes are answered, too.
    for n in 0..4 {
        let client = client.clone();
        answers.spawn(async move { chat(&client, long(&format!("late{n}"), 20)).await });
    }
    unloading.await.unwrap().unwrap();
    while let Some(answer) = answers.join_next().await {
        let usage = answer.unwrap().unwrap().usage.unwrap();
        assert!([20, 100].contains(&usage.completion_tokens), "{usage:?}");
    }
}

#[tokio::test]
async fn the_least_recently_used_makes_room_but_no_pinned_one() {
    let folder = folder(&["a", "b", "c", "d"]);
    let model = |name: &str| {
        json!({ "name": name, "kind": "chat", "path": format!("{name}.gguf"),
                                     "context_length": 256, "max_tokens": 64 })
    };
    let mut pinned = model("a");
    pinned["pinned"] = json!(true);
    // Each takes 98 MB and 4 x 256 tokens of 23,040 bytes: 117 MiB.
    let suite = gateway()
        .set("inference_gateway.prefix_cache_mb", json!(0))
        .set("inference_gateway.memory_mb", json!(240))
        .set("inference_gateway.model_dir", json!(folder.path()))
        .set("inference_gateway.models", json!([pinned, model("b"), model("c"), model("d")]))
        .start()
        .await;
    let client = suite.connector().inference();
    for (name, there) in [("a", vec!["a"]), ("b", vec!["a", "b"]), ("c", vec!["a", "c"])] {
        chat(&client, to(name, ask("Hello"))).await.unwrap();
        assert_eq!(loaded(&client).await, there);
    }
    // Pinned and busy: no room, and the sizes are named.
    let busy = {
        let client = client.clone();
        tokio::spawn(async move { chat(&client, to("c", long("x", 200))).await })
    };
    wait_for(&client, |load| load.running == 1).await;
    let refused = chat(&client, to("b", ask("Hello"))).await;
    let says = assert_refused(refused, Code::ResourceExhausted, "OUT_OF_MEMORY");
    assert!(says.contains("needs 117 MiB") && says.contains("240 MiB"), "{says}");
    busy.await.unwrap().unwrap();
    chat(&client, to("b", ask("Hello"))).await.unwrap();
    assert_eq!(loaded(&client).await, ["a", "b"]);
    let refused = set(&client, "a", ModelState::Available, None).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    let model = set(&client, "b", ModelState::Unspecified, Some(true)).await.unwrap();
    assert!(model.pinned && model.state() == ModelState::Loaded);
    let refused = chat(&client, to("c", ask("Hello"))).await;
    let says = assert_refused(refused, Code::ResourceExhausted, "OUT_OF_MEMORY");
    assert!(says.contains("unpin"), "{says}");
    let model = set(&client, "a", ModelState::Available, Some(false)).await.unwrap();
    assert_eq!((model.pinned, model.state()), (false, ModelState::Available));
    chat(&client, to("c", ask("Hello"))).await.unwrap();
    assert_eq!(loaded(&client).await, ["b", "c"]);
}

#[tokio::test]
async fn what_nobody_needs_is_unloaded_after_its_time() {
    let suite = gateway()
        .set("inference_gateway.models", json!([
            { "name": "m", "kind": "chat", "path": FILE, "context_length": 256, "max_tokens": 64,
              "keep_alive_minutes": 0.02 },
            { "name": "e", "kind": "embedding", "path": "all-MiniLM-L6-v2",
              "keep_alive_minutes": 0.02 },
        ]))
        .start()
        .await;
    let client = suite.connector().inference();
    let texts = vec!["text".to_owned()];
    let embed = EmbedRequest { model: "e".to_owned(), texts, ..EmbedRequest::default() };
    client.clone().embed(embed.clone()).await.unwrap();
    chat(&client, to("m", ask("Hello"))).await.unwrap();
    assert!(!loaded(&client).await.is_empty());
    let begun = Instant::now();
    while !loaded(&client).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    chat(&client, to("m", ask("Hello"))).await.unwrap();
    client.clone().embed(embed).await.unwrap();
}

#[tokio::test]
async fn a_file_in_the_folder_is_a_model_by_its_name() {
    let folder = folder(&["found", "named"]);
    let suite = gateway()
        .set("inference_gateway.model_dir", json!(folder.path()))
        .set(
            "inference_gateway.models",
            json!([
                { "name": "other-name", "kind": "chat", "path": "named.gguf" },
            ]),
        )
        .start()
        .await;
    let client = suite.connector().inference();
    let names = |states: Vec<(String, ModelState)>| -> Vec<String> {
        states.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(states(&client).await), ["other-name", "found"]);
    let answer = chat(&client, to("found", ask("Hello"))).await.unwrap();
    assert_eq!(answer.model, "found");
    // One that comes while it runs.
    std::os::unix::fs::symlink(models().join(FILE), folder.path().join("late.gguf")).unwrap();
    assert_eq!(names(states(&client).await), ["other-name", "found", "late"]);
    chat(&client, to("late", ask("Hello"))).await.unwrap();
    fs::remove_file(folder.path().join("late.gguf")).unwrap();
    let refused = chat(&client, to("late", ask("Hello"))).await;
    assert_refused(refused, Code::NotFound, "MODEL_NOT_FOUND");
}

/// Writes `file` with one bit flipped.
fn spoil(file: &[u8], at: usize, bit: u8, path: &Path) {
    let mut spoilt = file.to_vec();
    spoilt[at] ^= 1 << bit;
    fs::write(path, spoilt).unwrap();
}

#[tokio::test]
async fn no_spoilt_file_takes_the_service_down() {
    let folder = tempfile::tempdir().unwrap();
    let sound = fs::read(models().join(FILE)).unwrap();
    let at = |name: &str| folder.path().join(format!("{name}.gguf"));
    fs::write(at("empty"), b"").unwrap();
    fs::write(at("page"), b"<!DOCTYPE html><html>not found</html>").unwrap();
    fs::write(at("half"), &sound[..sound.len() / 2]).unwrap();
    fs::write(at("short"), &sound[..sound.len() - 1]).unwrap();
    // Bits of the header: names, numbers, types and sizes.
    let mut names = Vec::new();
    for (n, place) in [24, 40, 57, 200, 333, 420, 700, 801, 1_000, 1_201].into_iter().enumerate() {
        let name = format!("bit{n}");
        spoil(&sound, place, u8::try_from(n % 8).unwrap(), &at(&name));
        names.push(name);
    }
    // llama.cpp aborts on this one.
    spoil(&sound, 1_621, 0, &at("abort"));
    let suite = gateway()
        .set("inference_gateway.model_dir", json!(folder.path()))
        .set("inference_gateway.models", json!([]))
        .start()
        .await;
    let client = suite.connector().inference();
    for name in ["empty", "page", "half", "short"] {
        let refused = chat(&client, to(name, ask("x"))).await;
        let says = assert_refused(refused, Code::Unavailable, "MODEL_UNAVAILABLE");
        assert!(says.contains("corrupt"), "{name}: {says}");
    }
    let refused = chat(&client, to("abort", ask("x"))).await;
    let says = assert_refused(refused, Code::Unavailable, "MODEL_UNAVAILABLE");
    assert!(says.contains("llama.cpp crashed on it (signal 6)"), "{says}");
    for name in &names {
        // Either it is refused or the bit does not matter; the service lives.
        if let Err(status) = chat(&client, to(name, ask("x"))).await {
            let says = assert_refused(Err::<(), _>(status), Code::Unavailable, "MODEL_UNAVAILABLE");
            assert!(says.contains("corrupt"), "{name}: {says}");
        }
        let _ = set(&client, name, ModelState::Available, None).await;
        fs::remove_file(at(name)).unwrap();
    }
    assert_eq!(states(&client).await.len(), 5);
    fs::write(at("sound"), &sound).unwrap();
    chat(&client, to("sound", ask("Hello"))).await.unwrap();
    let note = fs::read_to_string(folder.path().join(".sound.gguf.checked")).unwrap();
    assert!(note.contains("\"proven\":true"), "{note}");
}
