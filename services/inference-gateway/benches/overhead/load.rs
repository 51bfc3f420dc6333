//! The load, in threads that do nothing else: one connection each, kept alive, without a runtime
//! in between, so that what is measured is not the one who measures.

#![expect(clippy::disallowed_methods, reason = "its threads are its own, and may sleep")]

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    num::NonZeroU64,
    thread,
    time::{Duration, Instant},
};

use alina_client::{Connector, Endpoints, PeerChannel};
use alina_proto::{
    Service,
    inference::v1::{ChatRequest, Message, Role, inference_service_client::InferenceServiceClient},
};
use serde_json::json;

const QUESTION: &str = "Say hello, please.";
const ANSWER: &str = "Hello there.";
const MAX_TOKENS: u32 = 16;
/// Threads are ready by then.
const READY: Duration = Duration::from_millis(500);

/// Whom to ask, and how.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    kind: Kind,
    /// Who answers, when its CPU time counts.
    process: Option<u32>,
}

#[derive(Debug)]
enum Kind {
    Http { address: String, request: String },
    Grpc { url: String },
}

/// One connection.
enum Asker {
    Http { connection: TcpStream, request: Vec<u8>, answer: Vec<u8> },
    Grpc { runtime: tokio::runtime::Runtime, client: Box<InferenceServiceClient<PeerChannel>> },
}

/// What came of asking as much as is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Throughput {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Microseconds of CPU for each, when it is known who answers.
    pub(crate) cpu: Option<f64>,
}

impl Way {
    /// As OpenAI's clients do; `base` ends in `/v1`.
    pub(crate) fn http(
        name: &'static str,
        base: &str,
        model: &str,
        stream: bool,
        process: Option<u32>,
    ) -> Self {
        let address = base.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
        let body = json!({
            "model": model, "max_tokens": MAX_TOKENS, "stream": stream,
            "messages": [{ "role": "user", "content": QUESTION }],
        })
        .to_string();
        let length = body.len();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nContent-Type: \
             application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        Self { name, kind: Kind::Http { address, request }, process }
    }

    /// As the other services do.
    pub(crate) fn grpc(name: &'static str, url: &str, process: Option<u32>) -> Self {
        Self { name, kind: Kind::Grpc { url: url.to_owned() }, process }
    }

    fn connect(&self) -> Asker {
        match &self.kind {
            Kind::Http { address, request } => {
                let connection = TcpStream::connect(address).expect("a connection");
                connection.set_nodelay(true).expect("a connection");
                let request = request.clone().into_bytes();
                Asker::Http { connection, request, answer: vec![0; 64 << 10] }
            }
            Kind::Grpc { url } => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("a runtime");
                let entered = runtime.enter();
                let endpoints = Endpoints::single(Service::InferenceGateway, url.clone());
                let connector = Connector::new(&endpoints.expect("an address"), None);
                let client = Box::new(connector.inference());
                drop(entered);
                Asker::Grpc { runtime, client }
            }
        }
    }

    /// How long each request took in milliseconds, sorted. There are `rate` a second for `seconds`,
    /// whether those before were answered or not, over `connections` in turn. Each counts from the
    /// moment at which it should have been sent: who is held up holds up those behind it.
    pub(crate) fn latency(&self, rate: u32, seconds: u32, connections: u32) -> Vec<f64> {
        let begun = Instant::now() + READY;
        let turns = |first: u32| {
            // The kernel wakes who sleeps up to 50 µs late if it may.
            rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).expect("own thread");
            let mut asker = self.connect();
            asker.ask();
            let of = (first..rate * seconds).step_by(connections as usize).map(|n| {
                let at = begun + Duration::from_secs(1) * n / rate;
                thread::sleep(at.saturating_duration_since(Instant::now()));
                asker.ask();
                at.elapsed().as_secs_f64() * 1e3
            });
            of.collect::<Vec<_>>()
        };
        let mut took: Vec<f64> = thread::scope(|scope| {
            let threads = (0..connections).map(|first| scope.spawn(move || turns(first)));
            let threads: Vec<_> = threads.collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("it asked")).collect()
        });
        took.sort_by(f64::total_cmp);
        took
    }

    /// As much as `connections` ask when each asks again once it is answered.
    pub(crate) fn throughput(&self, seconds: u32, connections: u32) -> Throughput {
        let begun = Instant::now() + READY;
        let until = begun + Duration::from_secs(seconds.into());
        let turns = || {
            let mut asker = self.connect();
            asker.ask();
            thread::sleep(begun.saturating_duration_since(Instant::now()));
            let mut done = 0_u32;
            while Instant::now() < until {
                asker.ask();
                done += 1;
            }
            done
        };
        let mut spent = Duration::ZERO;
        let done: u32 = thread::scope(|scope| {
            let threads: Vec<_> = (0..connections).map(|_| scope.spawn(turns)).collect();
            thread::sleep(begun.saturating_duration_since(Instant::now()));
            let before = self.process.map(cpu_time);
            let done = threads.into_iter().map(|thread| thread.join().expect("it asked")).sum();
            spent = self.process.map(cpu_time).zip(before).map_or(spent, |(now, then)| now - then);
            done
        });
        let rate = f64::from(done) / begun.elapsed().as_secs_f64();
        let cpu = self.process.map(|_| spent.as_secs_f64() * 1e6 / f64::from(done));
        Throughput { rate, cpu }
    }
}

impl Asker {
    /// Asks, and waits for the whole answer.
    fn ask(&mut self) {
        match self {
            Self::Http { connection, request, answer } => {
                connection.write_all(request).expect("it is sent");
                let mut length = 0;
                while !is_whole(&answer[..length]) {
                    let more = connection.read(&mut answer[length..]).expect("an answer");
                    assert!(more > 0, "half an answer: {}", text(&answer[..length]));
                    length += more;
                }
                let answer = &answer[..length];
                let sound = answer.starts_with(b"HTTP/1.1 200") && has(answer, ANSWER.as_bytes());
                assert!(sound, "{}", text(answer));
            }
            Self::Grpc { runtime, client } => {
                let message = Message {
                    role: Role::User.into(),
                    content: QUESTION.to_owned(),
                    ..Message::default()
                };
                let request = ChatRequest {
                    model: "instant/instant".to_owned(),
                    messages: vec![message],
                    max_tokens: MAX_TOKENS,
                    ..ChatRequest::default()
                };
                let answer = runtime.block_on(client.chat(request));
                let answer = answer.unwrap_or_else(|status| panic!("{status}")).into_inner();
                assert_eq!(answer.content, ANSWER);
            }
        }
    }
}

/// Whether an answer over HTTP is there to its end.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { return false };
    let (head, body) = (text(&answer[..head]).to_ascii_lowercase(), &answer[head + 4..]);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    match length {
        Some(length) => body.len() >= length.trim().parse::<usize>().expect("a length"),
        // In chunks: the last is empty.
        None => body.ends_with(b"\r\n0\r\n\r\n"),
    }
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a process has used of the CPU so far.
fn cpu_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    // After its name, which is in brackets: the 12th and 13th, in hundredths of a second.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
    Duration::from_millis(ticks.sum::<u64>() * 10)
}
