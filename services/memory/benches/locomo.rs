//! Finding in long conversations: how many of the turns that answer a question are among the first
//! 5, 10 and 20 that `Search` gives (recall), averaged over questions, by category.
//!
//! `just bench-memory FOLDER`, or
//! `cargo bench --profile dev -p alina-memory --bench locomo -- FOLDER [--output json]
//! [--signals FILE]` after `cargo build -p alina-memory -p alina-inference-gateway`; without FOLDER
//! that which `ALINA_LOCOMO` names.
//!
//! FOLDER holds conversations of LoCoMo (Maharana et al., ACL 2024), in JSON as its authors
//! publish them: `session_1` with turns, `session_1_date_time` and so on, by themselves or in
//! `conversation`, and the list `qa`; one in a file, or a list of several. It is not part of this repository. Every turn is given to `Remember`, in a namespace
//! for each conversation; then each question is asked with `Search`. Questions of category 5 (that
//! have no answer) are left out.
//!
//! `--signals FILE` writes what `fit_ranking.py`, beside this, fits the ranking's weights to.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people, that stops at the first fault"
)]

#[path = "locomo/dataset.rs"]
mod dataset;
#[path = "locomo/report.rs"]
mod report;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use alina_client::PeerChannel;
use alina_proto::{
    Service,
    memory::v1::{
        Episode, GetStatsRequest, ItemKind, RememberRequest, SearchRequest, SearchResult,
        memory_service_client::MemoryServiceClient,
    },
};
use alina_testkit::Suite;
use serde_json::{Value, json};

use self::{
    dataset::{Conversation, Question},
    report::{Asked, Report},
};

type Memory = MemoryServiceClient<PeerChannel>;

/// Results asked for; with signals, more.
const LIMIT: u32 = 20;
const LIMIT_WITH_SIGNALS: u32 = 100;
/// The embedding model on a busy CPU.
const VECTORS_WITHIN: Duration = Duration::from_secs(1_800);

struct Options {
    folder: PathBuf,
    as_json: bool,
    signals: Option<PathBuf>,
}

fn options() -> Options {
    let mut folder = std::env::var_os("ALINA_LOCOMO").map(PathBuf::from);
    let (mut as_json, mut signals) = (false, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            // Given by cargo, and by just for nothing.
            "" | "--bench" => {}
            "--output" => as_json = args.next().as_deref() == Some("json"),
            "--signals" => signals = args.next().map(PathBuf::from),
            _ => folder = Some(PathBuf::from(arg)),
        }
    }
    let folder = folder.expect("the folder of conversations, as an argument or in ALINA_LOCOMO");
    Options { folder, as_json, signals }
}

#[tokio::main]
async fn main() {
    let options = options();
    let conversations = dataset::read(&options.folder);
    let suite = Suite::builder()
        .service(Service::Memory)
        .service(Service::InferenceGateway)
        .set("inference_gateway.threads", json!(0))
        .start()
        .await;
    let memory: Memory = suite.connector().memory();
    let mut asked = Vec::new();
    let mut signals = Vec::new();
    for conversation in &conversations {
        remember(&memory, conversation).await;
        wait_for_vectors(&memory, &conversation.name).await;
        for question in &conversation.questions {
            let limit = if options.signals.is_some() { LIMIT_WITH_SIGNALS } else { LIMIT };
            let begun = Instant::now();
            let results = search(&memory, &conversation.name, question, limit).await;
            let took = begun.elapsed();
            if options.signals.is_some() {
                signals.push(explained(conversation, question, &results));
            }
            let sources: Vec<&str> = results.iter().map(|result| result.source.as_str()).collect();
            asked.push(Asked::new(conversation, question, &sources, took));
        }
    }
    if let Some(path) = options.signals {
        std::fs::write(path, Value::from(signals).to_string()).expect("a file that can be written");
    }
    let report = Report::of(&asked);
    if options.as_json { println!("{}", report.json()) } else { println!("{report}") }
}

async fn remember(memory: &Memory, conversation: &Conversation) {
    for turn in &conversation.turns {
        let episode = Episode {
            text: turn.text.clone(),
            actor: turn.speaker.clone(),
            session: turn.session.clone(),
            source: turn.id.clone(),
            occurred_at: Some(turn.at),
        };
        let request = RememberRequest {
            namespace: conversation.name.clone(),
            idempotency_key: turn.id.clone(),
            episode: Some(episode),
            ..RememberRequest::default()
        };
        memory.clone().remember(request).await.expect("a turn is remembered");
    }
}

async fn wait_for_vectors(memory: &Memory, namespace: &str) {
    let begun = Instant::now();
    let request = GetStatsRequest { namespace: namespace.to_owned() };
    while begun.elapsed() < VECTORS_WITHIN {
        let stats = memory.clone().get_stats(request.clone()).await.expect("counts").into_inner();
        if stats.awaiting_vectors == 0 {
            return;
        }
        eprintln!("{namespace}: {} turns wait for their vectors", stats.awaiting_vectors);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    panic!("{namespace}: turns stay without vectors");
}

async fn search(
    memory: &Memory,
    namespace: &str,
    question: &Question,
    limit: u32,
) -> Vec<SearchResult> {
    let request = SearchRequest {
        namespace: namespace.to_owned(),
        query: question.text.clone(),
        limit,
        kinds: vec![ItemKind::Episode.into()],
        explain: limit > LIMIT,
        ..SearchRequest::default()
    };
    let answer = memory.clone().search(request).await.expect("an answer").into_inner();
    assert!(answer.vectors_used, "the embedding model answered");
    answer.results
}

fn explained(conversation: &Conversation, question: &Question, results: &[SearchResult]) -> Value {
    let results: Vec<Value> = results
        .iter()
        .map(|result| {
            json!({
                "relevant": question.evidence.contains(&result.source),
                "signals": result.signals,
            })
        })
        .collect();
    json!({
        "conversation": conversation.name,
        "question": question.text,
        "category": question.category,
        "evidence": question.evidence.len(),
        "results": results,
    })
}
