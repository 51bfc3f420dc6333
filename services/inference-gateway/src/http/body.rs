//! Bodies: read within bounds, and parsed so that errors name the field.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Frame, SizeHint};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::fault::Fault;

/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(60);
/// How much and how long is read of a body that is refused: a client that is still sending when
/// its connection is closed sees no answer.
const WASTE_BYTES: usize = 128 << 20;
const WASTE_TIME: Duration = Duration::from_secs(5);
/// The longest message about a body, which may quote it.
const MESSAGE: usize = 400;

/// All of a request's body.
pub(super) async fn read(request: Request, most: usize) -> Result<Bytes, Fault> {
    let encoding = request.headers().get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        let message = "Content-Encoding: must be absent: bodies are read uncompressed";
        return Err(unsupported(message));
    }
    let mut body = request.into_body();
    let arrived = tokio::time::timeout(ARRIVAL, async {
        let announced = body.size_hint().lower();
        if usize::try_from(announced).unwrap_or(usize::MAX) > most {
            return Err(too_large(most));
        }
        match Limited::new(&mut body, most).collect().await {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large(most)),
            Err(error) => {
                let message = format!("the body could not be read: {error}");
                Err(Fault::new(StatusCode::BAD_REQUEST, "invalid_request", message))
            }
        }
    });
    let arrived = arrived.await.unwrap_or_else(|_| {
        let message = format!("the body did not arrive within {} s", ARRIVAL.as_secs());
        Err(Fault::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message))
    });
    if arrived.as_ref().is_err_and(|fault| fault.status == StatusCode::PAYLOAD_TOO_LARGE) {
        waste(body).await;
    }
    arrived
}

/// Reads a body and forgets it.
async fn waste(mut body: Body) {
    let reading = async {
        let mut wasted = 0;
        while wasted < WASTE_BYTES
            && let Some(Ok(frame)) = body.frame().await
        {
            wasted += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // Whether it ended in time changes nothing.
    let _ = tokio::time::timeout(WASTE_TIME, reading).await;
}

fn too_large(most: usize) -> Fault {
    let message = format!(
        "the body must be at most {most} bytes (inference_gateway.http.max_body_bytes in config.yaml)"
    );
    Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
}

fn unsupported(message: &str) -> Fault {
    Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
}

/// Refuses a body that does not say that it is JSON.
pub(super) fn must_be_json(headers: &HeaderMap) -> Result<(), Fault> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = given.and_then(|given| given.split(';').next()).map(str::trim).unwrap_or_default();
    if kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
    {
        return Ok(());
    }
    Err(unsupported("Content-Type: must be application/json"))
}

/// The request that a body holds.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    // serde would take a list of the fields' values, too.
    if body.trim_ascii_start().first().is_some_and(|first| *first == b'[') {
        return Err(not_json("it is a list"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        let said = short(&error.to_string());
        if error.classify() == Category::Data && path != "." {
            return Fault::field(path, said);
        }
        not_json(&said)
    })?;
    json.end().map_err(|error| not_json(&error.to_string()))?;
    Ok(parsed)
}

fn not_json(said: &str) -> Fault {
    let message = format!("the body must be a JSON object of this route's fields: {said}");
    Fault::new(StatusCode::BAD_REQUEST, "invalid_request", message)
}

fn short(text: &str) -> String {
    match text.char_indices().nth(MESSAGE) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// An answer's body that keeps something until its end.
pub(super) struct Holding<T> {
    inner: Body,
    _held: T,
}

impl<T: Send + Unpin + 'static> Holding<T> {
    /// `held` is dropped with the body.
    pub(super) fn wrap(inner: Body, held: T) -> Body {
        Body::new(Self { inner, _held: held })
    }
}

impl<T: Unpin> HttpBody for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[serde(default)]
        a: Vec<Inner>,
        #[serde(default)]
        any: Value,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        b: u8,
    }

    #[test]
    fn errors_name_the_field() {
        let fault = parse::<Sample>(br#"{"a":[{"b":1},{"b":"x"}]}"#).unwrap_err();
        assert_eq!(fault.field.as_deref(), Some("a[1].b"));
        assert!(fault.message.starts_with("a[1].b: invalid type: string"), "{}", fault.message);
        let sound = parse::<Sample>(br#"{"a":[{"b":7}],"any":{}}"#).unwrap();
        assert_eq!((sound.a[0].b, sound.any.is_object()), (7, true));
    }

    #[test]
    fn what_is_no_json_is_said_to_be_none() {
        let deep = format!(r#"{{"any":{}"#, "[".repeat(100_000));
        let garbage = vec![0xff; 10 << 20];
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(10 << 20));
        for body in [
            &b""[..],
            b"{",
            b"[]",
            b"{} {}",
            b"\xff\xfe",
            deep.as_bytes(),
            &garbage,
            long.as_bytes(),
        ] {
            let fault = parse::<Sample>(body).unwrap_err();
            assert_eq!(fault.status, 400);
            assert!(fault.message.len() < 1_500, "{}", fault.message.len());
        }
    }
}
