//! Who asks, and what for: out of the headers, for every route alike.

use std::time::Duration;

use axum::http::{HeaderMap, header::AUTHORIZATION};
use tokio::time::Instant;

use super::{fault::Fault, keys::Keys};
use crate::{
    chat::{AgentId, RunId},
    gateway::ChatRequest,
    schedule::Class,
};

const AGENT: &str = "x-alina-agent";
const RUN: &str = "x-alina-run";
const CLASS: &str = "x-alina-class";
const TIMEOUT: &str = "x-alina-timeout";

/// The longest time that a caller may allow, in seconds.
const MAX_TIMEOUT: f64 = 86_400.0;

/// What a request's headers say.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    agent: Option<AgentId>,
    run: Option<RunId>,
    class: Class,
    deadline: Option<Instant>,
}

impl Caller {
    /// Reads the headers; with `keys`, one of them must be there.
    pub(super) fn new(headers: &HeaderMap, keys: Option<&Keys>) -> Result<Self, Fault> {
        let proven = keys.map(|keys| keys.agent(bearer(headers)?)).map(|agent| {
            agent.ok_or_else(|| {
                let message = "a key is needed: `Authorization: Bearer KEY`, one of those in \
                               inference_gateway.http.key_file or security.token_file";
                Fault::new(axum::http::StatusCode::UNAUTHORIZED, "invalid_api_key", message)
            })
        });
        let proven = proven.transpose()?;
        let class = match header(headers, CLASS)? {
            None | Some("interactive") => Class::Interactive,
            Some("batch") => Class::Batch,
            Some(_) => return Err(Fault::field(CLASS, "must be interactive or batch")),
        };
        let named = header(headers, AGENT)?.map(AgentId::new);
        Ok(Self {
            run: header(headers, RUN)?.map(|run| RunId(run.to_owned())),
            deadline: timeout(headers)?.map(|timeout| Instant::now() + timeout),
            class,
            agent: proven.flatten().or(named),
        })
    }

    /// When the answer comes too late.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Writes down in `request` who asks and on what terms: the one place where this is done.
    /// `user` is what the body calls the caller, believed only when nothing better is known.
    pub(super) fn sign(&self, request: &mut ChatRequest, user: Option<&str>) {
        let named = self.agent.clone().or_else(|| user.map(AgentId::new));
        request.agent = Some(named.unwrap_or_else(|| AgentId::new("")));
        request.run.clone_from(&self.run);
        request.class = self.class;
        request.deadline = self.deadline;
        tracing::debug!(agent = ?request.agent, run = ?request.run, class = ?self.class, "asked");
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = given.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// A header's value; none when it is empty.
fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Fault> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let value = value.to_str().ok().map(str::trim).filter(|value| is_name(value));
    let allowed = "must be at most 128 bytes of ASCII without control characters";
    let value = value.ok_or_else(|| Fault::field(name, allowed))?;
    Ok(Some(value).filter(|value| !value.is_empty()))
}

fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Fault> {
    let Some(text) = header(headers, TIMEOUT)? else { return Ok(None) };
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0.0 && *seconds <= MAX_TIMEOUT);
    let seconds = seconds.ok_or_else(|| {
        Fault::field(TIMEOUT, "must be a number of seconds over 0 and at most 86,400")
    })?;
    Ok(Some(Duration::from_secs_f64(seconds)))
}

/// Whether a text can name an agent or a run: it ends up in labels, logs and tables.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 128 && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn headers_are_read_and_checked() {
        let caller = Caller::new(
            &headers(&[(AGENT, "a"), (RUN, "r"), (CLASS, "batch"), (TIMEOUT, "1.5")]),
            None,
        );
        let caller = caller.unwrap();
        assert_eq!(caller.agent, Some(AgentId::new("a")));
        assert_eq!(caller.run, Some(RunId("r".to_owned())));
        assert_eq!(caller.class, Class::Batch);
        assert!(caller.deadline.is_some());
        for wrong in
            [(CLASS, "urgent"), (TIMEOUT, "0"), (TIMEOUT, "NaN"), (TIMEOUT, "1e9"), (TIMEOUT, "x")]
        {
            assert_eq!(Caller::new(&headers(&[wrong]), None).unwrap_err().status, 400, "{wrong:?}");
        }
    }

    #[test]
    fn with_keys_nobody_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, "writer: secret-key-1").unwrap();
        let keys = Keys::open(file).unwrap();
        let given = headers(&[(AGENT, "other"), (AUTHORIZATION.as_str(), "bearer secret-key-1")]);
        let caller = Caller::new(&given, Some(&keys)).unwrap();
        assert_eq!(caller.agent, Some(AgentId::new("writer")));
        std::fs::write(folder.path().join("tokens"), "service-token").unwrap();
        let tokens = Keys::open(folder.path().join("tokens")).unwrap();
        let given = headers(&[(AGENT, "other"), (AUTHORIZATION.as_str(), "Bearer service-token")]);
        assert_eq!(Caller::new(&given, Some(&tokens)).unwrap().agent, Some(AgentId::new("other")));
        for wrong in ["Bearer secret-key-2", "Basic secret-key-1", "secret-key-1"] {
            let given = headers(&[(AUTHORIZATION.as_str(), wrong)]);
            assert_eq!(Caller::new(&given, Some(&keys)).unwrap_err().status, 401);
        }
        assert_eq!(Caller::new(&headers(&[]), Some(&keys)).unwrap_err().status, 401);
    }
}
