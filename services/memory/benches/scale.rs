//! How finding grows with what is stored: as many facts as episodes, 10,000 to a million of each, in
//! one namespace; at each size `Search` is asked 50 times a second, whether earlier answers are there
//! or not, questions that were not asked before.
//!
//! `cargo bench -p alina-memory --bench scale -- [SIZE …] [--seconds N] [--rate N] [--keep FOLDER] [--whole] [--output json]`
//! after `cargo build --release -p alina-memory -p alina-inference-gateway`. Everything runs on the
//! same CPUs: the services, PostgreSQL, the embedding model, and who asks.
//!
//! The texts are generated: sentences of everyday life with names, places, days and rare words. They
//! are written past the service, with the indexes made afterwards, as a restore does. A text's vector
//! is the mean of those of its words by the embedding model, and some noise: embedding two million
//! texts would take days. The questions' vectors are the model's. With `--keep` the database stays in
//! FOLDER, and what it holds is not filled again. With `--whole` the context of an agent that begins and
//! an export are measured as well.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people, that stops at the first fault"
)]

#[path = "scale/clock.rs"]
mod clock;
#[path = "scale/fill.rs"]
mod fill;
#[path = "scale/load.rs"]
mod load;
#[path = "scale/text.rs"]
mod text;
#[path = "scale/whole.rs"]
mod whole;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use alina_proto::{Service, inference::v1::EmbedRequest};
use alina_testkit::Suite;
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use self::{fill::Filler, text::World};

pub(crate) const NAMESPACE: &str = "scale";

struct Options {
    sizes: Vec<usize>,
    seconds: u32,
    rate: u32,
    as_json: bool,
    whole: bool,
    keep: Option<PathBuf>,
}

fn options() -> Options {
    let mut options = Options {
        sizes: Vec::new(),
        seconds: 60,
        rate: 50,
        as_json: false,
        whole: false,
        keep: None,
    };
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench" && !arg.is_empty());
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|arg| arg.parse().ok()).expect("a number");
        match arg.as_str() {
            "--seconds" => options.seconds = number(),
            "--rate" => options.rate = number(),
            "--output" => options.as_json = args.next().as_deref() == Some("json"),
            "--whole" => options.whole = true,
            "--keep" => options.keep = args.next().map(PathBuf::from),
            size => options
                .sizes
                .push(size.parse().expect("a size, --seconds, --rate, --keep, --whole, --output")),
        }
    }
    if options.sizes.is_empty() {
        options.sizes = vec![10_000, 100_000, 1_000_000];
    }
    options.sizes.sort_unstable();
    options
}

#[tokio::main]
async fn main() {
    let options = options();
    let builder = match options.keep {
        Some(folder) => Suite::builder().kept_postgres(folder),
        None => Suite::builder().own_postgres(),
    };
    let suite = builder
        .service(Service::Memory)
        .service(Service::InferenceGateway)
        .set("telemetry.log", json!("info"))
        .set("inference_gateway.preload", json!(false))
        .set("inference_gateway.threads", json!(1))
        .start()
        .await;
    let world = World::new(&mut StdRng::seed_from_u64(7));
    let vectors = embedded(&suite, world.words()).await;
    let embedding = embedding_alone(&suite, &world).await;
    eprintln!("a question's vector alone takes {embedding:.1} ms");
    let mut filler = Filler::new(suite.db().pool().await, world.clone(), vectors).await;
    let mut rng = StdRng::seed_from_u64(11);
    let mut told = Vec::new();
    for size in &options.sizes {
        let begun = Instant::now();
        filler.fill(*size).await;
        eprintln!("{size} facts and {size} episodes after {:.0} s", begun.elapsed().as_secs_f64());
        let questions: Vec<String> =
            (0..options.rate * (options.seconds + 10)).map(|_| world.question(&mut rng)).collect();
        let memory = suite.connector().memory();
        let (warm, measured) = questions.split_at((options.rate * 10) as usize);
        load::ask(&memory, warm, options.rate).await;
        let took = load::ask(&memory, measured, options.rate).await;
        let line = took.line(*size, filler.bytes().await);
        if !options.as_json {
            print(&line);
        }
        told.push(line);
        if options.whole {
            let (median, most) = whole::session_starts(&memory).await;
            eprintln!(
                "the context of an agent that begins takes {median:.1} ms, {most:.1} at most"
            );
            let (bytes, seconds) = whole::export(&memory).await;
            let mb = bytes as f64 / 1e6;
            eprintln!("an export of {mb:.0} MB takes {seconds:.0} s, {:.0} MB/s", mb / seconds);
        }
    }
    if options.as_json {
        println!("{}", Value::from(told));
    }
}

fn print(line: &Value) {
    let number = |field: &str| line[field].as_f64().unwrap_or(f64::NAN);
    println!(
        "{:>9} facts and episodes, {:>6.0} MB: p50 {:>6.1} ms, p99 {:>6.1} ms, {} answers with vectors \
         of {}",
        line["size"],
        number("mb"),
        number("p50_ms"),
        number("p99_ms"),
        line["with_vectors"],
        line["questions"],
    );
}

/// What the embedding model takes for a question, in milliseconds: the median.
async fn embedding_alone(suite: &Suite, world: &World) -> f64 {
    let mut inference = suite.connector().inference();
    let mut rng = StdRng::seed_from_u64(5);
    let mut took = Vec::new();
    for _ in 0..100 {
        let texts = vec![world.question(&mut rng)];
        let begun = Instant::now();
        let request = EmbedRequest { texts, ..EmbedRequest::default() };
        inference.embed(request).await.expect("a vector");
        took.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    took[took.len() / 2]
}

/// The words' vectors by the embedding model.
async fn embedded(suite: &Suite, words: Vec<String>) -> Vec<Vec<f32>> {
    let mut inference = suite.connector().inference();
    let mut vectors = Vec::with_capacity(words.len());
    for texts in words.chunks(64) {
        let mut request =
            tonic::Request::new(EmbedRequest { texts: texts.to_vec(), ..EmbedRequest::default() });
        request.set_timeout(Duration::from_secs(120));
        let answer = inference.embed(request).await.expect("vectors").into_inner();
        vectors.extend(answer.embeddings.into_iter().map(|embedding| embedding.values));
    }
    vectors
}
