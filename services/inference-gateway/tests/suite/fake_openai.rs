//! A server that speaks OpenAI's interface on loopback, well or badly: the model asked for says how.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// What it was asked: path, bearer token, body.
pub(crate) type Asked = (String, Option<String>, Value);

/// Written to the socket by hand: a server that does its work well could not misbehave.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeOpenAi {
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Whatever it is asked, it says nothing.
    silent: Arc<AtomicBool>,
    says: String,
}

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n";

impl FakeOpenAi {
    /// One that answers well with "Olá, <says>"; and its URL.
    pub(crate) async fn start(says: &str) -> (Self, String) {
        let fake = Self { says: says.to_owned(), ..Self::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let serving = fake.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let serving = serving.clone();
                // Who goes away in the middle is no fault of a server's.
                tokio::spawn(async move { serving.serve(socket).await });
            }
        });
        (fake, url)
    }

    /// From now on it answers nothing, or as before.
    pub(crate) fn be_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
    }

    /// What it was asked to answer, without looks whether it is well.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Asked {
        self.asked().pop().unwrap()
    }

    async fn serve(&self, socket: TcpStream) -> std::io::Result<()> {
        let mut socket = BufReader::new(socket);
        let (mut path, mut length, mut token) = (String::new(), 0, None);
        loop {
            let mut line = String::new();
            socket.read_line(&mut line).await?;
            let line = line.trim();
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            } else if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().unwrap();
                }
                Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                    token = Some(value.to_owned());
                }
                _ => {}
            }
        }
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await?;
        let mut socket = socket.into_inner();
        if self.silent.load(Ordering::Relaxed) {
            sleep(Duration::from_secs(600)).await;
        }
        if path == "/v1/models" {
            let models = json!({ "object": "list", "data": [
                { "id": "good", "object": "model", "max_model_len": 8_192 },
                { "id": "bge-small", "object": "model" },
            ] });
            return whole(&mut socket, "200 OK", "", &models.to_string()).await;
        }
        let body: Value = serde_json::from_slice(&body).unwrap();
        self.asked.lock().unwrap().push((path.clone(), token, body.clone()));
        if path == "/v1/embeddings" {
            let count = body["input"].as_array().unwrap().len();
            // In another order than asked for.
            let data = (0..count).rev().map(|n| json!({ "index": n, "embedding": [n, 2] }));
            let answer =
                json!({ "data": data.collect::<Value>(), "usage": { "prompt_tokens": 9 } });
            return whole(&mut socket, "200 OK", "", &answer.to_string()).await;
        }
        let text = path == "/v1/completions";
        self.answer(&mut socket, body["model"].as_str().unwrap(), text).await
    }

    async fn answer(&self, socket: &mut TcpStream, model: &str, text: bool) -> std::io::Result<()> {
        let error = |message: &str| json!({ "error": { "message": message } }).to_string();
        match model {
            "busy" => {
                let body = error("too many requests");
                return whole(socket, "429 Too Many Requests", "Retry-After: 7\r\n", &body).await;
            }
            "broken" => {
                return whole(socket, "500 Internal Server Error", "", &error("out of memory"))
                    .await;
            }
            "picky" => return whole(socket, "400 Bad Request", "", &error("no such role")).await,
            "key" => return whole(socket, "401 Unauthorized", "", &error("wrong key")).await,
            "gone" => return whole(socket, "404 Not Found", "", &error("no such model")).await,
            "html" => {
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n";
                return socket.write_all(format!("{head}<html></html>").as_bytes()).await;
            }
            "hang" => sleep(Duration::from_secs(600)).await,
            "early-reset" => return socket.set_zero_linger(),
            _ => {}
        }
        let choice = |delta: Value, finish: Value| {
            let mut choice = json!({ "index": 0, "finish_reason": finish });
            choice[if text { "text" } else { "delta" }] = delta;
            json!({ "choices": [choice], "usage": null })
        };
        let piece = |piece: &str| {
            let delta = if text { json!(piece) } else { json!({ "content": piece }) };
            choice(delta, Value::Null)
        };
        let nothing = || if text { json!("") } else { json!({}) };
        let mut events = vec![piece("Ol"), piece("á, "), piece(&self.says)];
        if !text {
            events.insert(0, choice(json!({ "role": "assistant", "content": "" }), Value::Null));
        }
        let end = [
            choice(nothing(), json!("stop")),
            json!({ "choices": [], "usage": {
                "prompt_tokens": 11, "completion_tokens": 3,
                "prompt_tokens_details": { "cached_tokens": 5 },
            } }),
        ];
        match model {
            "tools" => {
                let part = |part: Value| choice(json!({ "tool_calls": [part] }), Value::Null);
                let function = json!({ "name": "add", "arguments": "" });
                events = vec![
                    part(json!({ "index": 0, "id": "call_1", "function": function })),
                    part(json!({ "index": 0, "function": { "arguments": "{\"x\":" } })),
                    part(json!({ "index": 0, "function": { "arguments": " 1}" } })),
                    choice(json!({}), json!("tool_calls")),
                ];
            }
            "logprobs" => {
                let top = json!([{ "token": "Ol", "logprob": -0.25, "bytes": [79, 108] }]);
                let content = json!([{ "token": "Ol", "logprob": -0.25, "top_logprobs": top }]);
                let mut event = piece("Ol");
                event["choices"][0]["logprobs"] = json!({ "content": content });
                events = vec![event];
                events.extend(end);
            }
            "late-error" => events.push(json!({ "error": { "message": "out of memory" } })),
            // Half an answer.
            "cut" | "cut-done" | "lying" | "reset" | "pause" => {}
            _ => events.extend(end),
        }
        let mut body: Vec<u8> = b": a comment\n\n".to_vec();
        for event in events {
            body.extend_from_slice(format!("data: {event}\r\n\r\n").as_bytes());
        }
        if model == "utf8" {
            body.extend_from_slice(b"data: {\"choices\":[{\"text\":\"\xff\xfe\"}]}\n\n");
        } else if !matches!(model, "cut" | "lying" | "reset" | "pause") {
            body.extend_from_slice(b"data: [DONE]\n\n");
        }
        let head = match model {
            "lying" => format!("{STREAM}Content-Length: {}\r\n\r\n", body.len() + 100),
            "short-length" => format!("{STREAM}Content-Length: {}\r\n\r\n", body.len() - 300),
            _ => format!("{STREAM}\r\n"),
        };
        socket.write_all(head.as_bytes()).await?;
        let drip = Duration::from_millis(if model == "drip" { 1_000 } else { 0 });
        // In pieces that respect neither lines nor characters.
        for bytes in body.chunks(if model == "drip" { 1 } else { 7 }) {
            socket.write_all(bytes).await?;
            sleep(drip).await;
        }
        match model {
            "pause" => sleep(Duration::from_secs(600)).await,
            // What was written is to arrive first.
            "reset" => {
                sleep(Duration::from_millis(100)).await;
                socket.set_zero_linger()?;
            }
            _ => {}
        }
        Ok(())
    }
}

async fn whole(
    socket: &mut TcpStream,
    status: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n{headers}");
    let answer = format!("HTTP/1.1 {status}\r\n{head}Connection: close\r\n\r\n{body}");
    socket.write_all(answer.as_bytes()).await
}
