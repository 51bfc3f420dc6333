//! A day's traffic in small, and what is left after it:
//! `cargo bench -p alina-inference-gateway --bench soak -- schemas cancels traffic`, or some of
//! these.
//!
//! - `schemas`: 500 requests, each with a JSON schema of its own, sampled wildly; all answers must
//!   satisfy theirs.
//! - `cancels`: 500 answers dropped at random moments; no place, context or memory may be lost.
//! - `traffic`: 20,000 requests, over gRPC and HTTP, to the embedded models and to an upstream
//!   that answers at once; no error, and memory that stays where it was after a tenth of them.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program for people, that stops at the first fault"
)]

#[path = "soak/instant_ollama.rs"]
mod instant_ollama;
#[path = "soak/schemas.rs"]
mod schemas;

use std::time::{Duration, Instant};

use alina_client::PeerChannel;
use alina_proto::{
    Service,
    inference::v1::{
        ChatRequest, ChatStreamRequest, EmbedRequest, GetLoadRequest, Message, Role, Sampling,
        inference_service_client::InferenceServiceClient,
    },
};
use alina_testkit::Suite;
use futures::{StreamExt, stream};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

type Client = InferenceServiceClient<PeerChannel>;

/// Requests under way at once: more than there are places, so that some always wait.
const AT_ONCE: usize = 8;

struct Gateway {
    suite: Suite,
    client: Client,
    http: reqwest::Client,
}

impl Gateway {
    async fn start() -> Self {
        let upstream = instant_ollama::start().await;
        let suite = Suite::builder()
            .service(Service::InferenceGateway)
            .set("telemetry.log", json!("warn"))
            .set("inference_gateway.threads", json!(2))
            .set("inference_gateway.ollama", json!([{ "name": "instant", "url": upstream }]))
            .start()
            .await;
        let client = suite.connector().inference();
        Self { suite, client, http: reqwest::Client::new() }
    }

    /// Resident memory, in MB.
    async fn resident(&self) -> f64 {
        let url = self.suite.metrics_url(Service::InferenceGateway);
        let text = self.http.get(url).send().await.expect("metrics").text().await.expect("text");
        let value =
            text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        value.and_then(|value| value.parse::<f64>().ok()).expect("its memory") / 1e6
    }

    /// The most of several looks: what is freed is given back with some delay.
    async fn settled(&self) -> f64 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.resident().await
    }

    async fn ask(&self, request: ChatRequest) -> String {
        let answer = self.client.clone().chat(request).await;
        answer.unwrap_or_else(|status| panic!("{status}")).into_inner().content
    }
}

fn request(content: String, max_tokens: u32) -> ChatRequest {
    ChatRequest {
        messages: vec![Message { role: Role::User.into(), content, ..Message::default() }],
        max_tokens,
        ..ChatRequest::default()
    }
}

async fn schemas(gateway: &Gateway) {
    let begun = Instant::now();
    let valid = stream::iter(0..500_u64).map(async |seed| {
        let schema = schemas::random(&mut StdRng::seed_from_u64(seed));
        let mut request = request(format!("Give some JSON, number {seed}."), 2_048);
        request.json_schema = schema.to_string();
        // Only the schema keeps it in bounds.
        request.sampling = Some(Sampling {
            temperature: Some(1.0),
            top_k: Some(0),
            top_p: Some(1.0),
            min_p: Some(0.0),
            ..Sampling::default()
        });
        let answer = gateway.ask(request).await;
        let value: Value = serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{schema}: {error}: {answer}"));
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        assert!(validator.is_valid(&value), "{schema}: {answer}");
    });
    let valid = valid.buffer_unordered(AT_ONCE).count().await;
    println!("schemas: {valid} of 500 answers satisfy theirs, {:.0?}", begun.elapsed());
}

async fn cancels(gateway: &Gateway) {
    let run = async |count: u64, salt: u64| {
        let cancelled = stream::iter(0..count).map(async |n| {
            let mut rng = StdRng::seed_from_u64(salt + n);
            let words = "one two three ".repeat(rng.random_range(1..60));
            let chat = request(format!("Count on, {n}: {words}"), 256);
            let mut client = gateway.client.clone();
            let answer = async {
                let request = ChatStreamRequest { chat: Some(chat) };
                let mut events = client.chat_stream(request).await.expect("a stream").into_inner();
                while let Some(event) = events.next().await {
                    event.expect("an event");
                }
            };
            let patience = Duration::from_millis(rng.random_range(0..1_500));
            let _ = tokio::time::timeout(patience, answer).await;
        });
        cancelled.buffer_unordered(AT_ONCE).count().await
    };
    // Until the budget of kept beginnings is spent: that is memory in use, not lost.
    for round in 0..2 {
        run(500, 10_000 * (round + 1)).await;
        println!("  warm-up {round}: {:.1} MB", gateway.settled().await);
    }
    let before = gateway.settled().await;
    let begun = Instant::now();
    let count = run(500, 2_000).await;
    let took = begun.elapsed();
    let after = gateway.settled().await;
    let load = gateway.client.clone().get_load(GetLoadRequest {}).await.expect("load").into_inner();
    assert_eq!((load.running, load.waiting), (0, 0), "places are lost");
    // Every part of the context is whole: as many answers at once as there are places, each as
    // long as its part allows.
    let full = stream::iter(0..4).map(async |n| {
        let mut chat = request(format!("{n} {}", "word ".repeat(3_000)), 900);
        chat.json_schema = json!({ "type": "string", "minLength": 100_000 }).to_string();
        gateway.ask(chat).await
    });
    let full = full.buffer_unordered(4).filter(|text| std::future::ready(!text.is_empty()));
    let full = full.count().await;
    println!(
        "cancels: {count} in {took:.0?}; {before:.1} MB before, {after:.1} MB after ({:+.2} %); \
         none running, none waiting, {full} of 4 whole contexts usable",
        (after / before - 1.0) * 100.0
    );
}

async fn traffic(gateway: &Gateway) {
    const REQUESTS: usize = 20_000;
    let begun = Instant::now();
    let mut seen = Vec::new();
    let mut done = 0;
    let mut answers = stream::iter(0..REQUESTS).map(|n| one(gateway, n)).buffer_unordered(16);
    while answers.next().await.is_some() {
        done += 1;
        if done % (REQUESTS / 20) == 0 {
            seen.push(gateway.resident().await);
            println!(
                "  {done:>6} requests, {:>7.1} MB, {:.0?}",
                seen[seen.len() - 1],
                begun.elapsed()
            );
        }
    }
    let after = &seen[1..];
    let (least, most) = after
        .iter()
        .fold((f64::MAX, 0.0_f64), |(least, most), value| (least.min(*value), most.max(*value)));
    println!(
        "traffic: {REQUESTS} requests without an error in {:.0?}; {least:.1} to {most:.1} MB after \
         the first tenth ({:.2} %)",
        begun.elapsed(),
        (most / least - 1.0) * 100.0
    );
}

/// One request of many kinds: most to the upstream that answers at once, some to the models here.
async fn one(gateway: &Gateway, n: usize) {
    match n % 40 {
        0 => {
            gateway.ask(request(format!("Say something about {n}."), 8)).await;
        }
        1 => {
            let texts = vec![format!("Sentence {n}."), "The same.".to_owned()];
            let request = EmbedRequest { texts, ..EmbedRequest::default() };
            gateway.client.clone().embed(request).await.expect("vectors");
        }
        n if n % 2 == 0 => {
            let mut chat = request(format!("Say something about {n}."), 64);
            chat.model = "instant/model".to_owned();
            chat.agent = format!("agent-{}", n % 7);
            gateway.ask(chat).await;
        }
        n => {
            let body = json!({
                "model": "instant/model", "stream": n % 3 == 0,
                "messages": [{ "role": "user", "content": format!("Say something about {n}.") }],
            });
            let url = format!("{}/v1/chat/completions", gateway.suite.http_url());
            let answer = gateway.http.post(url).json(&body).send().await.expect("an answer");
            let (status, text) = (answer.status(), answer.text().await.expect("its text"));
            assert!(status.is_success() && text.contains("Hello"), "{status}: {text}");
        }
    }
}

#[tokio::main]
async fn main() {
    let asked: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|word| word == name);
    let gateway = Gateway::start().await;
    if wanted("schemas") {
        schemas(&gateway).await;
    }
    if wanted("cancels") {
        cancels(&gateway).await;
    }
    if wanted("traffic") {
        traffic(&gateway).await;
    }
}
