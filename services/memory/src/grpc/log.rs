//! The log of actions.

use std::fmt::Write;

use alina_proto::{
    memory::v1::{
        Action as WireAction, ListActionsRequest, ListActionsResponse, LogActionRequest,
        VerifyActionsRequest, VerifyActionsResponse,
    },
    time::timestamp,
};
use alina_service::status::Violations;
use tonic::Status;

use super::{
    Grpc,
    convert::{MAX_TEXT_BYTES, checked_name, checked_namespace, long, short, time},
    failure::failure,
};
use crate::{
    knowledge::{
        Namespace,
        log::{FORGOTTEN, NewAction},
    },
    store::{Action, ActionFilter},
};

pub(super) fn checked_action(
    request: LogActionRequest,
) -> Result<(Namespace, String, NewAction), Status> {
    let mut bad = Violations::default();
    let namespace = checked_namespace(&request.namespace, &mut bad);
    short(&request.idempotency_key, "idempotency_key", &mut bad);
    checked_name(&request.actor, "actor", &mut bad);
    checked_name(&request.action, "action", &mut bad);
    long(&request.summary, "summary", &mut bad);
    short(&request.run_id, "run_id", &mut bad);
    let size = request.details_json.len() <= MAX_TEXT_BYTES;
    bad.check(size, "details_json", "must be at most 65,536 bytes");
    let details = match request.details_json.as_str() {
        "" => None,
        text => serde_json::from_str(text).ok().filter(serde_json::Value::is_object),
    };
    let object = details.is_some() || request.details_json.is_empty();
    // PostgreSQL's jsonb cannot hold it.
    let nul = request.details_json.contains("\\u0000");
    bad.check(object && !nul, "details_json", "must be a JSON object without \\u0000, or empty");
    let own = request.action != FORGOTTEN;
    bad.check(own, "action", "must not be memory.forgotten: that is what Forget writes");
    bad.finish()?;
    let action = NewAction {
        actor: request.actor,
        action: request.action,
        summary: request.summary,
        details: details.map(|details| details.to_string()).unwrap_or_default(),
        run_id: request.run_id,
    };
    Ok((namespace, request.idempotency_key, action))
}

impl From<Action> for WireAction {
    fn from(Action { id, entry }: Action) -> Self {
        Self {
            id: id.to_string(),
            at: Some(timestamp(entry.at)),
            actor: entry.what.actor,
            action: entry.what.action,
            summary: entry.what.summary,
            details_json: entry.what.details,
            run_id: entry.what.run_id,
            position: entry.position.unsigned_abs(),
            hash: hexadecimal(&entry.hash),
            forgotten: entry.forgotten_by.is_some(),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A hash from 64 hexadecimal digits.
fn hash(text: &str) -> Option<Vec<u8>> {
    let plain = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = (0..64).step_by(2);
    plain.then(|| digits.map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect())?
}

impl Grpc {
    pub(super) async fn listed(
        &self,
        request: ListActionsRequest,
    ) -> Result<ListActionsResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        bad.check(request.page_size <= 500, "page_size", "must be 1 to 500, or 0 for 50");
        short(&request.run_id, "run_id", &mut bad);
        short(&request.actor, "actor", &mut bad);
        let known_at = time(request.known_at.as_ref(), "known_at", &mut bad);
        let before = match request.page_token.as_str() {
            "" => Some(i64::MAX),
            token => token.parse().ok(),
        };
        bad.check(before.is_some(), "page_token", "must be a next_page_token or empty");
        bad.finish()?;
        let size = if request.page_size == 0 { 50 } else { request.page_size };
        let filter = ActionFilter {
            run_id: &request.run_id,
            actor: &request.actor,
            before: before.unwrap_or(i64::MAX),
            known_at,
            limit: i64::from(size),
        };
        let actions = self.store.actions(&namespace, filter).await.map_err(failure)?;
        let full = actions.len() == size as usize;
        let next = actions.last().filter(|_| full).map(|last| last.id.to_string());
        Ok(ListActionsResponse {
            actions: actions.into_iter().map(Into::into).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    pub(super) async fn verified(
        &self,
        request: VerifyActionsRequest,
    ) -> Result<VerifyActionsResponse, Status> {
        let mut bad = Violations::default();
        let namespace = checked_namespace(&request.namespace, &mut bad);
        let place = i64::try_from(request.known_position).ok();
        bad.check(place.is_some(), "known_position", "must be a position of the log, or 0");
        let known = hash(&request.known_hash);
        let paired = request.known_hash.is_empty() == (request.known_position == 0)
            && (known.is_some() || request.known_hash.is_empty());
        let rule = "must be 64 hexadecimal digits, with known_position, or empty without it";
        bad.check(paired, "known_hash", rule);
        bad.finish()?;
        let known = place.zip(known);
        let verified = self.store.verify(&namespace, known).await.map_err(failure)?;
        let (broken_at, problem) = verified.broken.clone().unwrap_or_default();
        Ok(VerifyActionsResponse {
            intact: verified.broken.is_none(),
            length: verified.length.unsigned_abs(),
            head: hexadecimal(&verified.head),
            tombstones: verified.tombstones as u64,
            broken_at: broken_at.unsigned_abs(),
            problem,
        })
    }
}
