//! Changes as they happen, through restarts of the memory.

use std::time::Duration;

use alina_client::is_away;
use alina_proto::memory::v1::{WatchRequest, WatchResponse};
use owo_colors::OwoColorize;
use serde_json::json;
use tonic::Status;

use super::Asked;
use crate::{
    failure::Failure,
    output::{rfc3339, when},
};

const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// The memory's restart, with its database's recovery.
const MOST_TRIES: u32 = 240;

impl Asked {
    pub(super) async fn watch(mut self, mut after: u64, until_now: bool) -> Result<(), Failure> {
        let mut tries = 0;
        loop {
            let ended = self.watch_once(&mut after, until_now, &mut tries).await?;
            match ended {
                Ok(()) => return Ok(()),
                Err(status) if is_away(&status) && tries < MOST_TRIES => {
                    tries += 1;
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
                Err(status) => return Err(status.into()),
            }
        }
    }

    /// Shows changes until the stream ends.
    async fn watch_once(
        &mut self,
        after: &mut u64,
        until_now: bool,
        tries: &mut u32,
    ) -> Result<Result<(), Status>, Failure> {
        let namespace = self.namespace.clone();
        let request = WatchRequest { namespace, after_sequence: *after, until_now };
        let mut stream = match self.memory.watch(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return Ok(Err(status)),
        };
        loop {
            match stream.message().await {
                Ok(Some(change)) => {
                    (*after, *tries) = (change.sequence, 0);
                    self.show_change(&change)?;
                }
                Ok(None) => return Ok(Ok(())),
                Err(status) => return Ok(Err(status)),
            }
        }
    }

    fn show_change(&self, change: &WatchResponse) -> Result<(), Failure> {
        let kind = change.kind().as_str_name().trim_start_matches("CHANGE_KIND_").to_lowercase();
        let item = change.item_kind().as_str_name().trim_start_matches("ITEM_KIND_").to_lowercase();
        self.output.json(&json!({
            "sequence": change.sequence,
            "at": rfc3339(change.at.as_ref()),
            "kind": kind,
            "id": change.id,
            "item_kind": item,
        }))?;
        let at = when(change.at.as_ref());
        let (at, number) = (at.dimmed(), change.sequence);
        self.output.line(format_args!("{number:>6} {at} {item:7} {:9} {}", kind.cyan(), change.id))
    }
}
