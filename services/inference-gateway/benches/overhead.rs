//! What the gateway costs: an upstream that answers at once, asked directly and through the
//! gateway, which has one CPU core; and as much as fits through it, beside LiteLLM's proxy on the
//! same core before the same upstream. In one run, alternating; medians of the rounds.
//!
//! `ALINA_LITELLM=VENV/bin/litellm cargo bench -p alina-inference-gateway --bench overhead`; without
//! the variable LiteLLM is left out. Its versions: `python3 -m venv VENV && VENV/bin/pip install
//! --require-hashes -r deploy/requirements-litellm.txt`. With `-- --output json` for programs.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program for people, that stops at the first fault"
)]

#[path = "overhead/instant_openai.rs"]
mod instant_openai;
#[path = "overhead/litellm.rs"]
mod litellm;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use alina_client::PeerChannel;
use alina_proto::{
    Service,
    inference::v1::{ChatRequest, Message, Role, inference_service_client::InferenceServiceClient},
};
use alina_testkit::Suite;
use futures::future::join_all;
use serde_json::{Value, json};

/// The core of what is measured.
const MEASURED: &str = "0";
/// The core of all else: the upstream, the load, PostgreSQL.
const REST: &str = "1";
const ROUNDS: usize = 5;
/// Requests a second, whether those before were answered or not.
const RATE: u32 = 500;
const SECONDS: u32 = 5;
/// Requests under way at once where the throughput is measured.
const CONNECTIONS: usize = 64;

#[derive(Clone)]
enum Way {
    Http { client: reqwest::Client, url: String, model: &'static str },
    Grpc(Box<InferenceServiceClient<PeerChannel>>),
}

impl Way {
    fn http(base: &str, model: &'static str) -> Self {
        let url = format!("{base}/chat/completions");
        Self::Http { client: reqwest::Client::new(), url, model }
    }

    async fn ask(&self) {
        match self {
            Self::Http { client, url, model } => {
                let body = json!({
                    "model": model, "max_tokens": 16,
                    "messages": [{ "role": "user", "content": "Say hello, please." }],
                });
                let answer = client.post(url).json(&body).send().await.expect("an answer");
                let (status, text) = (answer.status(), answer.text().await.expect("its text"));
                assert!(status.is_success() && text.contains("Hello there."), "{status}: {text}");
            }
            Self::Grpc(client) => {
                let content = "Say hello, please.".to_owned();
                let request = ChatRequest {
                    model: "instant/instant".to_owned(),
                    messages: vec![Message {
                        role: Role::User.into(),
                        content,
                        ..Message::default()
                    }],
                    max_tokens: 16,
                    ..ChatRequest::default()
                };
                let mut client = client.as_ref().clone();
                let answer = client.chat(request).await;
                let answer = answer.unwrap_or_else(|status| panic!("{status}")).into_inner();
                assert_eq!(answer.content, "Hello there.");
            }
        }
    }

    /// The median and the 99th percentile, in milliseconds, at `RATE` for `SECONDS`.
    async fn latency(&self) -> [f64; 2] {
        let begun = Instant::now();
        let requests = (0..RATE * SECONDS).map(|n| {
            let way = self.clone();
            tokio::spawn(async move {
                let at = begun + Duration::from_secs(1) * n / RATE;
                tokio::time::sleep_until(at.into()).await;
                let sent = Instant::now();
                way.ask().await;
                sent.elapsed()
            })
        });
        let took = join_all(requests).await.into_iter();
        let mut took: Vec<f64> =
            took.map(|took| took.expect("it was asked").as_secs_f64() * 1e3).collect();
        took.sort_by(f64::total_cmp);
        [took[took.len() / 2], took[took.len() * 99 / 100]]
    }

    /// Requests a second.
    async fn throughput(&self) -> f64 {
        let begun = Instant::now();
        let until = begun + Duration::from_secs(SECONDS.into());
        let tasks = (0..CONNECTIONS).map(|_| {
            let way = self.clone();
            tokio::spawn(async move {
                let mut done = 0_u32;
                while Instant::now() < until {
                    way.ask().await;
                    done += 1;
                }
                done
            })
        });
        let done: u32 = join_all(tasks).await.into_iter().map(|done| done.expect("asked")).sum();
        f64::from(done) / begun.elapsed().as_secs_f64()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Puts all threads of a process on a core.
fn pin(process: u32, core: &str) {
    let pinned = Command::new("taskset").args(["-apc", core, &process.to_string()]).output();
    assert!(pinned.expect("taskset").status.success(), "process {process} cannot be pinned");
}

/// The gateway's process: the one with this configuration.
fn process(suite: &Suite) -> u32 {
    let config = suite.config().display().to_string();
    let found = std::fs::read_dir("/proc").expect("/proc").flatten().find_map(|entry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        let words = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        (words.contains("alina-inference-gateway") && words.contains(&config)).then_some(process)
    });
    found.expect("the gateway runs")
}

async fn start(upstream: &str) -> Suite {
    let server = json!({ "name": "instant", "url": upstream, "max_running": 256 });
    let suite = Suite::builder()
        .service(Service::InferenceGateway)
        .set("telemetry.log", json!("warn"))
        .set("inference_gateway.preload", json!(false))
        .set("inference_gateway.max_running", json!(64))
        .set("inference_gateway.max_waiting", json!(1_024))
        .set("inference_gateway.openai", json!([server]))
        .start()
        .await;
    pin(process(&suite), MEASURED);
    suite
}

/// The rounds of each way, alternating; the first, which warms up, does not count.
async fn rounds<T>(ways: &[(&str, Way)], measure: impl AsyncFn(&Way) -> T) -> Vec<Vec<T>> {
    let mut figures: Vec<Vec<T>> = ways.iter().map(|_| Vec::new()).collect();
    for round in 0..=ROUNDS {
        for ((_, way), figures) in ways.iter().zip(&mut figures) {
            let figure = measure(way).await;
            if round > 0 {
                figures.push(figure);
            }
        }
    }
    figures
}

/// What each way takes, and what it adds to asking directly, which is the first.
async fn latencies(ways: &[(&str, Way)]) -> Vec<Value> {
    let figures = rounds(ways, Way::latency).await;
    let direct = &figures[0];
    let told = ways.iter().zip(&figures).map(|((name, _), figures)| {
        let of = |n: usize| median(figures.iter().map(|round| round[n]).collect());
        let added = figures.iter().zip(direct).map(|(round, direct)| round[1] - direct[1]);
        let added = median(added.collect());
        json!({ "way": name, "p50_ms": of(0), "p99_ms": of(1), "p99_added_ms": added })
    });
    told.collect()
}

/// What fits through each way, and how many times as much as through the last.
async fn throughputs(ways: &[(&str, Way)]) -> Vec<Value> {
    let figures = rounds(ways, Way::throughput).await;
    let medians: Vec<f64> = figures.into_iter().map(median).collect();
    let told = ways.iter().zip(&medians).map(|((name, _), figure)| {
        let last = medians.last().expect("at least one way");
        json!({ "way": name, "requests_per_s": figure, "times_the_last": figure / last })
    });
    told.collect()
}

async fn run() {
    pin(std::process::id(), REST);
    let (_upstream, upstream) = instant_openai::start(REST).await;
    let suite = start(&upstream).await;
    let through = format!("{}/v1", suite.http_url());
    let mut ways = vec![
        ("directly", Way::http(&upstream, "instant")),
        ("gateway, HTTP", Way::http(&through, "instant/instant")),
        ("gateway, gRPC", Way::Grpc(Box::new(suite.connector().inference()))),
    ];
    let latencies = latencies(&ways).await;
    let mut litellm = None;
    if let Some(program) = std::env::var_os("ALINA_LITELLM") {
        let (child, url) = litellm::start(program, MEASURED, suite.dir(), &upstream).await;
        ways.push(("LiteLLM, HTTP", Way::http(&url, "instant")));
        litellm = Some(child);
    }
    let throughputs = throughputs(&ways[1..]).await;
    drop(litellm);
    if std::env::args().any(|word| word == "json") {
        let told = json!({
            "requests_per_s": RATE, "latency": latencies, "connections": CONNECTIONS,
            "throughput": throughputs,
        });
        println!("{told}");
        return;
    }
    let number = |value: &Value, field: &str| value[field].as_f64().expect("a figure");
    println!("{:16} {:>10} {:>10} {:>14}", "at 500 /s", "p50, ms", "p99, ms", "p99 added, ms");
    for told in &latencies {
        let [p50, p99, added] =
            ["p50_ms", "p99_ms", "p99_added_ms"].map(|field| number(told, field));
        println!("{:16} {p50:>10.2} {p99:>10.2} {added:>14.2}", told["way"].as_str().expect("it"));
    }
    println!("{:16} {:>10} {:>10}", "64 at once", "per s", "ratio");
    for told in &throughputs {
        let [rate, ratio] = ["requests_per_s", "times_the_last"].map(|field| number(told, field));
        println!("{:16} {rate:>10.0} {ratio:>10.1}", told["way"].as_str().expect("it"));
    }
}

fn main() {
    let is_upstream = std::env::args().any(|word| word == instant_openai::ARGUMENT);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    if is_upstream { runtime.block_on(instant_openai::serve()) } else { runtime.block_on(run()) }
}
