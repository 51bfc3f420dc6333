//! Files over HTTP(S). What came is kept when the connection breaks, and the rest asked for: at
//! once some times, and again when the command is given again.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::StreamExt;
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{
        ACCEPT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED,
        RANGE,
    },
};
use serde::{Deserialize, Serialize};

use super::{Progress, at};
use crate::failure::Failure;

/// Breaks in a row, without a byte between them, that are put up with.
const TRIES: u32 = 5;
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// The longest silence.
const SILENCE: Duration = Duration::from_secs(60);

/// What a part is a part of.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    url: String,
    /// The server's word for this state of the file.
    validator: Option<String>,
}

/// Why it stopped.
enum Stop {
    /// The rest may come yet.
    Broken(String),
    /// Trying again is of no use.
    Failed(Failure),
}

/// Downloads `url` to `part`, going on with what is there of it. A part without the server's word
/// that the file is the same is only gone on with when the whole is `checked` in the end.
pub(super) async fn download(
    url: &Url,
    part: &Path,
    checked: bool,
    progress: &Progress,
) -> Result<(), Failure> {
    let client = Client::builder().connect_timeout(CONNECT_WITHIN).read_timeout(SILENCE).build();
    let client = client.map_err(Failure::other)?;
    let mut tries = 0;
    loop {
        let before = length(part);
        let problem = match attempt(&client, url, part, checked, progress).await {
            Ok(()) => return Ok(()),
            Err(Stop::Failed(failure)) => return Err(failure),
            Err(Stop::Broken(problem)) => problem,
        };
        tries = if length(part) > before { 1 } else { tries + 1 };
        if tries >= TRIES {
            let kept = format!("{} bytes are kept: give the command again to go on", length(part));
            return Err(Failure::other(format!("{url}: {problem}")).hint(kept));
        }
        tokio::time::sleep(Duration::from_millis(200 << tries)).await;
    }
}

/// Removes what was noted about a part.
pub(super) fn forget(part: &Path) {
    // It is not there when nothing was downloaded.
    let _ = fs::remove_file(note(part));
}

async fn attempt(
    client: &Client,
    url: &Url,
    part: &Path,
    checked: bool,
    progress: &Progress,
) -> Result<(), Stop> {
    let origin = origin(part).filter(|origin| origin.url == url.as_str());
    let validator = origin.as_ref().and_then(|origin| origin.validator.clone());
    let can_go_on = origin.is_some() && (checked || validator.is_some());
    let have = if can_go_on { length(part) } else { 0 };
    // The bytes themselves: a part of something compressed could not be gone on with.
    let mut request = client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
    if have > 0 {
        request = request.header(RANGE, format!("bytes={have}-"));
        if let Some(validator) = validator {
            request = request.header(IF_RANGE, validator);
        }
    }
    let response = request.send().await.map_err(|error| Stop::Broken(told(&error)))?;
    let status = response.status();
    if status == StatusCode::RANGE_NOT_SATISFIABLE && have > 0 {
        if total(response.headers()) == Some(have) {
            return Ok(());
        }
        // The file is another one now: from the beginning.
        fs::remove_file(part).map_err(|error| Stop::Failed(at(part, &error)))?;
        return Err(Stop::Broken("the file has changed".to_owned()));
    }
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(Stop::Broken(format!("the server answers {status}")));
    }
    if !status.is_success() {
        let failure = Failure::other(format!("{url}: the server answers {status}"));
        return Err(Stop::Failed(failure.hint("look at the address")));
    }
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("text/html")) {
        let failure = Failure::other(format!("{url} is a page, no model"));
        return Err(Stop::Failed(failure.hint("give the address of the file itself")));
    }
    let goes_on = status == StatusCode::PARTIAL_CONTENT && begin(response.headers()) == Some(have);
    if status == StatusCode::PARTIAL_CONTENT && !goes_on {
        let failure = Failure::other(format!("{url}: the server sent another part than asked for"));
        return Err(Stop::Failed(failure));
    }
    let have = if goes_on { have } else { 0 };
    let origin = Origin { url: url.to_string(), validator: word(response.headers()) };
    let text = serde_json::to_string(&origin).unwrap_or_default();
    fs::write(note(part), text).map_err(|error| Stop::Failed(at(part, &error)))?;
    receive(response, part, have, progress).await
}

async fn receive(
    response: Response,
    part: &Path,
    have: u64,
    progress: &Progress,
) -> Result<(), Stop> {
    let failed = |error: std::io::Error| Stop::Failed(at(part, &error));
    let length = response.content_length();
    progress.bytes("fetching", length.map(|length| length.saturating_add(have)), have);
    let mut file = if have > 0 {
        OpenOptions::new().append(true).open(part).map_err(failed)?
    } else {
        File::create(part).map_err(failed)?
    };
    let mut came = 0;
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Stop::Broken(told(&error)))?;
        file.write_all(&piece).map_err(failed)?;
        came += piece.len() as u64;
        progress.add(piece.len() as u64);
    }
    if length.is_some_and(|length| came < length) {
        return Err(Stop::Broken("the connection ended too early".to_owned()));
    }
    file.sync_all().map_err(failed)
}

/// The server's strong word for this state of the file.
fn word(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // A weak one is of no use for parts.
    text(ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| text(LAST_MODIFIED))
}

fn range(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")
}

fn begin(headers: &HeaderMap) -> Option<u64> {
    range(headers)?.split('-').next()?.parse().ok()
}

fn total(headers: &HeaderMap) -> Option<u64> {
    range(headers)?.rsplit('/').next()?.parse().ok()
}

/// With what is behind it, which reqwest leaves out.
fn told(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn length(part: &Path) -> u64 {
    part.metadata().map_or(0, |meta| meta.len())
}

fn note(part: &Path) -> PathBuf {
    part.with_added_extension("json")
}

fn origin(part: &Path) -> Option<Origin> {
    serde_json::from_str(&fs::read_to_string(note(part)).ok()?).ok()
}
