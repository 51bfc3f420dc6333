//! What writing takes: episodes by `RememberStream`, each with an idempotency key, and `Remember` by
//! itself, with facts and without, at a steady rate; in an empty store, or in one that `scale` filled
//! and kept. No embedding model answers: vectors wait, words are counted meanwhile.
//!
//! `cargo bench -p alina-memory --bench ingest -- [--episodes N] [--streams N] [--seconds N]
//! [--rate N] [--keep FOLDER] [--output json]` after `cargo build --release -p alina-memory`. Everything runs
//! on the same CPUs: the service, PostgreSQL, Redis, and who writes.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people, that stops at the first fault"
)]
#![expect(dead_code, reason = "shared with `scale`")]

#[path = "scale/clock.rs"]
mod clock;
#[path = "scale/text.rs"]
mod text;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use alina_client::PeerChannel;
use alina_proto::{
    Service,
    memory::v1::{
        Episode, FactInput, RememberRequest, RememberStreamRequest,
        memory_service_client::MemoryServiceClient, remember_stream_response::Outcome,
    },
};
use alina_testkit::Suite;
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::{clock::ticks, text::World};

type Memory = MemoryServiceClient<PeerChannel>;

struct Options {
    episodes: usize,
    streams: usize,
    seconds: u32,
    rate: u32,
    keep: Option<PathBuf>,
    as_json: bool,
}

fn options() -> Options {
    let mut options =
        Options { episodes: 60_000, streams: 2, seconds: 20, rate: 50, keep: None, as_json: false };
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench" && !arg.is_empty());
    while let Some(arg) = args.next() {
        let value = args.next().expect("a value");
        let number = || value.parse().expect("a number");
        match arg.as_str() {
            "--episodes" => options.episodes = value.parse().expect("a number"),
            "--streams" => options.streams = value.parse().expect("a number"),
            "--seconds" => options.seconds = number(),
            "--rate" => options.rate = number(),
            "--keep" => options.keep = Some(PathBuf::from(value)),
            "--output" => options.as_json = value == "json",
            other => panic!("{other}: --episodes, --streams, --seconds, --rate, --keep, --output"),
        }
    }
    options
}

#[tokio::main]
async fn main() {
    let options = options();
    let builder = match &options.keep {
        Some(folder) => Suite::builder().kept_postgres(folder.clone()),
        None => Suite::builder().own_postgres(),
    };
    let suite = builder.service(Service::Memory).set("telemetry.log", json!("info")).start().await;
    let memory = suite.connector().memory();
    let world = World::new(&mut StdRng::seed_from_u64(7));

    let begun = Instant::now();
    let mut streams = JoinSet::new();
    for n in 0..options.streams {
        let requests = episodes(&world, n, options.episodes / options.streams);
        streams.spawn(streamed(memory.clone(), requests));
    }
    let written: usize = streams.join_all().await.into_iter().sum();
    let per_second = written as f64 / begun.elapsed().as_secs_f64();
    eprintln!("{written} episodes by {} streams: {per_second:.0} a second", options.streams);

    let alone = steady(&memory, &world, &options, false).await;
    let with_facts = steady(&memory, &world, &options, true).await;
    let told =
        json!({ "streamed_per_second": per_second, "remember": alone, "with_facts": with_facts });
    if options.as_json {
        println!("{told}");
        return;
    }
    println!("streamed: {per_second:.0} episodes a second");
    for what in ["remember", "with_facts"] {
        let number = |field: &str| told[what][field].as_f64().unwrap_or(f64::NAN);
        println!(
            "{what}: p50 {:.1} ms, p99 {:.1} ms, the longest {:.1} ms",
            number("p50_ms"),
            number("p99_ms"),
            number("max_ms")
        );
    }
}

fn episodes(world: &World, stream: usize, count: usize) -> Vec<RememberStreamRequest> {
    let mut rng = StdRng::seed_from_u64(100 + stream as u64);
    (0..count)
        .map(|n| {
            let mut request = remembered(world, &mut rng);
            request.idempotency_key = format!("{}-{stream}-{n}", std::process::id());
            RememberStreamRequest { request: Some(request) }
        })
        .collect()
}

fn remembered(world: &World, rng: &mut StdRng) -> RememberRequest {
    let episode = Episode {
        text: world.episode(rng).text,
        actor: world.people[world.person(rng)].clone(),
        session: format!("session-{}", world.person(rng)),
        ..Episode::default()
    };
    RememberRequest {
        namespace: "ingest".to_owned(),
        episode: Some(episode),
        ..RememberRequest::default()
    }
}

async fn streamed(mut memory: Memory, requests: Vec<RememberStreamRequest>) -> usize {
    let mut request = tonic::Request::new(futures::stream::iter(requests));
    request.set_timeout(Duration::from_secs(600));
    let mut answers = memory.remember_stream(request).await.expect("a stream").into_inner();
    let mut written = 0;
    while let Some(answer) = answers.message().await.expect("an answer") {
        assert!(matches!(answer.outcome, Some(Outcome::Written(_))), "{answer:?}");
        written += 1;
    }
    written
}

/// Writes when it is due, whether what was before is written or not.
async fn steady(memory: &Memory, world: &World, options: &Options, with_facts: bool) -> Value {
    let mut rng = StdRng::seed_from_u64(200);
    let mut ticks = ticks(options.rate);
    let mut writes = JoinSet::new();
    for n in 0..options.rate * options.seconds {
        let mut request = remembered(world, &mut rng);
        request.idempotency_key = format!("{}-{with_facts}-{n}", std::process::id());
        if with_facts {
            let fact = world.fact(&mut rng);
            request.facts = vec![FactInput {
                subject: world.people[fact.subject].clone(),
                predicate: fact.predicate.replace(' ', "_"),
                object: fact.object.to_owned(),
                functional: n % 4 == 0,
                ..FactInput::default()
            }];
        }
        let due = ticks.recv().await.expect("the clock goes on");
        let mut memory = memory.clone();
        writes.spawn(async move {
            memory.remember(request).await.expect("it is written");
            due.elapsed().as_secs_f64() * 1e3
        });
    }
    let mut took = writes.join_all().await;
    took.sort_by(f64::total_cmp);
    let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)];
    json!({ "writes": took.len(), "p50_ms": at(50), "p99_ms": at(99), "max_ms": at(100) })
}
