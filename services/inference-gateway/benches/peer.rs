//! The gateway beside llama.cpp's own server: the same model file, the same number of threads, in
//! one run, alternating. Prints medians and their ratio.
//!
//! `ALINA_LLAMA_SERVER=/path/to/llama-server cargo bench -p alina-inference-gateway --bench peer`;
//! with `-- 0 2` only the first and the third comparison.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for people, that stops at the first fault"
)]

use std::time::{Duration, Instant};

use alina_client::PeerChannel;
use alina_proto::{
    Service,
    inference::v1::{
        ChatRequest, ChatStreamRequest, Message, Role, Sampling, chat_stream_response::Event,
        inference_service_client::InferenceServiceClient,
    },
};
use alina_testkit::{Suite, free_port, models};
use futures::{StreamExt, future::join_all};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

const THREADS: &str = "2";
const SLOTS: usize = 4;
const TOKENS: u32 = 128;
const ROUNDS: usize = 5;

/// One answer, as its reader saw it.
struct Seen {
    first: Duration,
    last: Duration,
    tokens: u32,
}

impl Seen {
    fn rate(&self) -> f64 {
        f64::from(self.tokens.saturating_sub(1)) / (self.last - self.first).as_secs_f64()
    }
}

#[derive(Clone)]
enum Peer {
    Gateway(Box<InferenceServiceClient<PeerChannel>>),
    Server(reqwest::Client, String),
}

impl Peer {
    async fn ask(&self, system: &str, question: &str, tokens: u32) -> Seen {
        match self {
            Self::Gateway(client) => {
                gateway(client.as_ref().clone(), system, question, tokens).await
            }
            Self::Server(client, url) => server(client, url, system, question, tokens).await,
        }
    }
}

async fn gateway(
    mut client: InferenceServiceClient<PeerChannel>,
    system: &str,
    question: &str,
    tokens: u32,
) -> Seen {
    let message = |role: Role, content: &str| Message {
        role: role.into(),
        content: content.to_owned(),
        ..Message::default()
    };
    let chat = ChatRequest {
        messages: vec![message(Role::System, system), message(Role::User, question)],
        sampling: Some(Sampling {
            temperature: Some(0.0),
            repeat_penalty: Some(1.0),
            ..Sampling::default()
        }),
        max_tokens: tokens,
        ..ChatRequest::default()
    };
    let begun = Instant::now();
    let stream = client.chat_stream(ChatStreamRequest { chat: Some(chat) }).await;
    let mut stream = stream.expect("an answer").into_inner();
    let mut first = None;
    loop {
        match stream.next().await.expect("an end").expect("an event").event {
            Some(Event::Delta(_)) => _ = first.get_or_insert_with(|| begun.elapsed()),
            Some(Event::Done(done)) => {
                let last = begun.elapsed();
                let usage = done.usage.expect("usage");
                return Seen {
                    first: first.unwrap_or(last),
                    last,
                    tokens: usage.completion_tokens,
                };
            }
            _ => {}
        }
    }
}

async fn server(
    client: &reqwest::Client,
    url: &str,
    system: &str,
    question: &str,
    tokens: u32,
) -> Seen {
    let body = json!({
        "messages": [
            { "role": "system", "content": system }, { "role": "user", "content": question },
        ],
        "max_tokens": tokens, "temperature": 0.0, "repeat_penalty": 1.0, "stream": true,
        "stream_options": { "include_usage": true },
    });
    let begun = Instant::now();
    let request = client.post(format!("{url}/v1/chat/completions")).json(&body);
    let mut chunks = request.send().await.expect("an answer").bytes_stream();
    let (mut text, mut first, mut used) = (String::new(), None, 0);
    while let Some(chunk) = chunks.next().await {
        text += &String::from_utf8_lossy(&chunk.expect("a chunk"));
        while let Some(end) = text.find('\n') {
            let line: String = text.drain(..=end).collect();
            let Some(data) = line.trim().strip_prefix("data: {") else { continue };
            let event: Value = serde_json::from_str(&format!("{{{data}")).expect("JSON");
            if event["choices"][0]["delta"]["content"].as_str().is_some_and(|text| !text.is_empty())
            {
                first.get_or_insert_with(|| begun.elapsed());
            }
            used = event["usage"]["completion_tokens"].as_u64().unwrap_or(used);
        }
    }
    let last = begun.elapsed();
    let tokens = u32::try_from(used).expect("tokens");
    Seen { first: first.unwrap_or(last), last, tokens }
}

/// Tokens per second of one answer alone.
async fn alone(peer: &Peer, round: usize) -> f64 {
    let question = format!("Write a long story about the number {round}.");
    peer.ask("You are a writer.", &question, TOKENS).await.rate()
}

/// Tokens per second of four answers together, from the first request to the last token.
async fn together(peer: &Peer, round: usize) -> f64 {
    let begun = Instant::now();
    let seen = join_all((0..SLOTS).map(|n| async move {
        let question = format!("Write a long story about the number {round}{n}.");
        peer.ask("You are a writer.", &question, TOKENS).await
    }));
    let tokens: u32 = seen.await.iter().map(|seen| seen.tokens).sum();
    f64::from(tokens) / begun.elapsed().as_secs_f64()
}

/// Seconds to the first token, the median of 16 clients that begin at once with the same
/// instructions, which nobody has used before.
async fn shared(peer: &Peer, round: usize) -> f64 {
    let sentence = format!("In edition {round}, the company answers every letter within a day. ");
    let system = sentence.repeat(1_000 / 17);
    let seen = join_all((0..16).map(|n| {
        let system = &system;
        async move { peer.ask(system, &format!("Is letter {n} answered?"), 16).await }
    }));
    let mut firsts: Vec<f64> = seen.await.iter().map(|seen| seen.first.as_secs_f64()).collect();
    firsts.sort_by(f64::total_cmp);
    (firsts[7] + firsts[8]) / 2.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn start_server() -> (Child, Peer) {
    let program = std::env::var_os("ALINA_LLAMA_SERVER").expect("ALINA_LLAMA_SERVER names it");
    let port = free_port().to_string();
    let model = models().join("SmolLM2-135M-Instruct.Q4_1.gguf");
    let (slots, context) = (SLOTS.to_string(), (SLOTS * 4_096).to_string());
    let child = Command::new(program)
        .arg("-m")
        .arg(model)
        .args(["--host", "127.0.0.1", "--port", &port, "-t", THREADS, "-tb", THREADS])
        .args(["-np", &slots, "-c", &context])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("llama-server starts");
    let (client, url) = (reqwest::Client::new(), format!("http://127.0.0.1:{port}"));
    loop {
        let health = client.get(format!("{url}/health")).send().await;
        if health.is_ok_and(|health| health.status().is_success()) {
            return (child, Peer::Server(client, url));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::main]
async fn main() {
    let suite = Suite::builder()
        .service(Service::InferenceGateway)
        .set("inference_gateway.threads", json!(THREADS.parse::<u16>().expect("a number")))
        .set("telemetry.log", json!("warn"))
        .start()
        .await;
    let own = Peer::Gateway(Box::new(suite.connector().inference()));
    let (_server, peer) = start_server().await;
    for each in [&own, &peer] {
        together(each, 99).await;
    }
    println!("{:34} {:>9} {:>13} {:>7}", "", "gateway", "llama-server", "ratio");
    for (name, which) in [
        ("one stream, tokens/s", 0),
        ("four at once, tokens/s", 1),
        ("16 clients, first token, s", 2),
    ] {
        // Some of them, when their numbers are given.
        let asked: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
        if !asked.is_empty() && !asked.contains(&which) {
            continue;
        }
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            for (each, figures) in [(&own, &mut mine), (&peer, &mut theirs)] {
                figures.push(match which {
                    0 => alone(each, round).await,
                    1 => together(each, round).await,
                    _ => shared(each, round).await,
                });
            }
        }
        let (mine, theirs) = (median(mine), median(theirs));
        println!("{name:34} {mine:>9.2} {theirs:>13.2} {:>7.2}", mine / theirs);
    }
}
