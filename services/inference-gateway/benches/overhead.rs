//! What the gateway costs: an upstream that answers at once, asked directly and through the
//! gateway, which has one CPU core; and as much as fits through it, beside LiteLLM's proxy on the
//! same core before the same upstream. In one run, alternating; medians of the rounds.
//!
//! `ALINA_LITELLM=VENV/bin/litellm cargo bench -p alina-inference-gateway --bench overhead`; without
//! the variable LiteLLM is left out. Its versions: `python3 -m venv VENV && VENV/bin/pip install
//! --require-hashes -r deploy/requirements-litellm.txt`. With `-- --output json` for programs, with
//! `-- latency` or `-- throughput` only one of the two.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program for people, that stops at the first fault"
)]

#[path = "overhead/awake.rs"]
mod awake;
#[path = "overhead/instant_openai.rs"]
mod instant_openai;
#[path = "overhead/litellm.rs"]
mod litellm;
#[path = "overhead/load.rs"]
mod load;

use std::process::Command;

use alina_proto::Service;
use alina_testkit::Suite;
use serde_json::{Value, json};

use self::load::{Throughput, Way};

/// The core of what is measured.
const MEASURED: &str = "0";
/// The core of all else: the upstream, the load, PostgreSQL.
const REST: &str = "1";
const ROUNDS: usize = 5;
/// Requests a second, whether those before were answered or not.
const RATE: u32 = 500;
const SECONDS: u32 = 4;
/// Connections that take turns where the latency is measured.
const TURNS: u32 = 16;
/// Requests under way at once where the throughput is measured.
const CONNECTIONS: u32 = 64;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Puts all threads of a process on a core.
fn pin(process: u32, core: &str) {
    let pinned = Command::new("taskset").args(["-apc", core, &process.to_string()]).output();
    assert!(pinned.expect("taskset").status.success(), "process {process} cannot be pinned");
}

/// Whether other people's programs may come before a process. They do not while latency is
/// measured: on a machine that is not idle theirs would be told as the gateway's. Needs root.
fn favour(process: u32, favoured: bool) {
    let policy: [&str; 2] = if favoured { ["--fifo", "1"] } else { ["--other", "0"] };
    let told = Command::new("chrt")
        .args(["--all-tasks", policy[0], "--pid", policy[1], &process.to_string()])
        .output();
    if !told.is_ok_and(|told| told.status.success()) {
        eprintln!("process {process} runs beside whatever else does: chrt refuses");
    }
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
        // As in config.yaml; tests say more.
        .set("telemetry.log", json!("info"))
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
fn rounds<T>(ways: &[Way], measure: impl Fn(&Way) -> T) -> Vec<Vec<T>> {
    let mut figures: Vec<Vec<T>> = ways.iter().map(|_| Vec::new()).collect();
    for round in 0..=ROUNDS {
        for (way, figures) in ways.iter().zip(&mut figures) {
            let figure = measure(way);
            if round > 0 {
                figures.push(figure);
            }
        }
    }
    figures
}

/// What each way takes, and what it adds to asking directly, which is the first.
fn latencies(ways: &[Way]) -> Vec<Value> {
    let figures = rounds(ways, |way| {
        let took = way.latency(RATE, SECONDS, TURNS);
        [took[took.len() / 2], took[took.len() * 99 / 100]]
    });
    let direct = &figures[0];
    let told = ways.iter().zip(&figures).map(|(way, figures)| {
        let of = |n: usize| median(figures.iter().map(|round| round[n]).collect());
        let added = |n: usize| {
            let added = figures.iter().zip(direct).map(|(round, direct)| round[n] - direct[n]);
            median(added.collect())
        };
        json!({
            "way": way.name, "p50_ms": of(0), "p99_ms": of(1), "p50_added_ms": added(0),
            "p99_added_ms": added(1),
        })
    });
    told.collect()
}

/// What fits through each way, and how many times as much as through the last.
fn throughputs(ways: &[Way]) -> Vec<Value> {
    let figures = rounds(ways, |way| way.throughput(SECONDS, CONNECTIONS));
    let rate = |figures: &Vec<Throughput>| median(figures.iter().map(|one| one.rate).collect());
    let last = figures.last().map(rate).expect("at least one way");
    let told = ways.iter().zip(&figures).map(|(way, figures)| {
        let cpu: Vec<f64> = figures.iter().filter_map(|one| one.cpu).collect();
        let cpu = (!cpu.is_empty()).then(|| median(cpu));
        let rate = rate(figures);
        json!({
            "way": way.name, "requests_per_s": rate, "cpu_us": cpu, "times_the_last": rate / last,
        })
    });
    told.collect()
}

async fn run(arguments: &[String]) {
    let is_asked = |word: &str| arguments.iter().any(|argument| argument == word);
    let both = is_asked("latency") == is_asked("throughput");
    pin(std::process::id(), REST);
    let _awake = [awake::keep(MEASURED), awake::keep(REST)];
    let (server, upstream) = instant_openai::start(REST).await;
    let suite = start(&upstream).await;
    let gateway = Some(process(&suite));
    let measured = [Some(std::process::id()), server.id(), gateway];
    let favoured = |favoured| measured.iter().flatten().for_each(|one| favour(*one, favoured));
    let through = format!("{}/v1", suite.http_url());
    let mut ways = vec![
        Way::http("directly", &upstream, "instant", false, None),
        Way::http("gateway, HTTP", &through, "instant/instant", false, gateway),
        Way::http("gateway, events", &through, "instant/instant", true, gateway),
        Way::grpc("gateway, gRPC", suite.url(Service::InferenceGateway), gateway),
    ];
    let (mut latency, mut throughput, mut litellm) = (Vec::new(), Vec::new(), None);
    if both || is_asked("latency") {
        favoured(true);
        latency = latencies(&ways);
        favoured(false);
    }
    if both || is_asked("throughput") {
        if let Some(program) = std::env::var_os("ALINA_LITELLM") {
            let (child, url) = litellm::start(program, MEASURED, suite.dir(), &upstream).await;
            ways.push(Way::http("LiteLLM, HTTP", &url, "instant", false, child.id()));
            litellm = Some(child);
        }
        throughput = throughputs(&ways);
    }
    drop(litellm);
    if is_asked("json") {
        let told = json!({
            "requests_per_s": RATE, "latency": latency, "connections": CONNECTIONS,
            "throughput": throughput,
        });
        println!("{told}");
    } else {
        print(&latency, &throughput);
    }
}

fn print(latency: &[Value], throughput: &[Value]) {
    let name = |told: &Value| told["way"].as_str().unwrap_or_default().to_owned();
    let number = |told: &Value, field: &str| told[field].as_f64().unwrap_or(f64::NAN);
    let columns = ["p50_ms", "p99_ms", "p50_added_ms", "p99_added_ms"];
    let heads = ["p50, ms", "p99, ms", "p50 added", "p99 added"];
    println!("{:16}{}", format!("at {RATE} /s"), heads.map(|head| format!(" {head:>10}")).concat());
    for told in latency {
        let row = columns.map(|column| format!(" {:>10.3}", number(told, column)));
        println!("{:16}{}", name(told), row.concat());
    }
    println!("{:16} {:>10} {:>10} {:>10}", "64 at once", "per s", "CPU, us", "ratio");
    for told in throughput {
        let [rate, cpu, ratio] =
            ["requests_per_s", "cpu_us", "times_the_last"].map(|field| number(told, field));
        println!("{:16} {rate:>10.0} {cpu:>10.1} {ratio:>10.1}", name(told));
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is = |program: &str| arguments.iter().any(|word| word == program);
    if is(awake::ARGUMENT) {
        awake::spin();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    if is(instant_openai::ARGUMENT) {
        runtime.block_on(instant_openai::serve());
    } else {
        runtime.block_on(run(&arguments));
    }
}
