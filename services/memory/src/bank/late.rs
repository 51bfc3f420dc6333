//! What was in a file is kept for a moment after the file was replaced: a person who had opened it
//! before may write into it later. What he writes is put into the file that is there now.

use std::time::Duration;

use tokio::{task::block_in_place, time::Instant};

use super::{
    Keeper,
    folder::{Content, Folder},
    replace::{Replaced, Written, kept_parts},
};
use crate::{
    error::MemoryError,
    knowledge::bank::{etag, merge::merge},
    metrics::BankStep,
};

/// How long somebody may take from opening a file to writing into it.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Something kept, since when.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) replaced: Replaced,
    pub(super) since: Instant,
}

impl Keeper {
    pub(super) fn keep(&mut self, replaced: Replaced) {
        self.kept.push(Kept { replaced, since: Instant::now() });
    }

    /// Looks at all that is kept.
    pub(super) async fn look_at_kept(&mut self, folder: &Folder) -> Result<(), MemoryError> {
        for kept in std::mem::take(&mut self.kept) {
            if !self.is_over(folder, &kept).await? {
                self.kept.push(kept);
            }
        }
        Ok(())
    }

    async fn is_over(&mut self, folder: &Folder, kept: &Kept) -> Result<bool, MemoryError> {
        let Kept { replaced, since } = kept;
        match block_in_place(|| folder.read(&replaced.kept)) {
            Content::Absent => Ok(true),
            Content::Text(text, _) if text == replaced.before => {
                let over = since.elapsed() >= GRACE;
                if over {
                    discard(folder, &replaced.kept);
                }
                Ok(over)
            }
            Content::Text(late, stamp) if self.is_settled(&replaced.kept, stamp) => {
                self.put_back(folder, replaced, &late).await
            }
            Content::Text(..) | Content::Busy => {
                self.busy = true;
                Ok(false)
            }
            Content::Unusable(why) => {
                self.problems.push((replaced.kept.clone(), why));
                Ok(false)
            }
        }
    }

    /// `late` was written by whoever had opened the file when it was replaced.
    async fn put_back(
        &mut self,
        folder: &Folder,
        replaced: &Replaced,
        late: &str,
    ) -> Result<bool, MemoryError> {
        let Replaced { path, kept, before, after } = replaced;
        let now = match block_in_place(|| folder.read(path)) {
            Content::Text(text, stamp) if self.is_settled(path, stamp) => Some(text),
            Content::Text(..) | Content::Busy => {
                self.busy = true;
                return Ok(false);
            }
            Content::Absent | Content::Unusable(_) => None,
        };
        let merged = now.as_ref().and_then(|now| merge(before, late, now).text);
        let written = match (now, merged) {
            (Some(now), Some(merged)) if now == merged => Written::Done,
            (Some(now), Some(merged)) => block_in_place(|| folder.replace(path, &now, &merged)),
            // Against an agent's edit: that is set aside.
            (Some(now), None) if etag(&now) == *after => {
                self.store.set_late_aside(&self.namespace, path, &now).await?;
                block_in_place(|| folder.replace(path, &now, late))
            }
            _ => {
                self.store.set_late_aside(&self.namespace, path, late).await?;
                Written::Done
            }
        };
        self.metrics.bank.get_or_create(&BankStep { step: "late" }).inc();
        tracing::info!(path, "a person wrote into what was replaced just then");
        self.busy = true;
        match written {
            Written::Done => {}
            Written::Over(replaced) => self.keep(replaced),
            Written::TakenBack(replaced) => {
                self.keep(replaced);
                return Ok(false);
            }
            Written::Changed => return Ok(false),
            Written::Impossible(why) => {
                self.problems.push((path.clone(), why));
                return Ok(false);
            }
        }
        discard(folder, kept);
        Ok(true)
    }

    /// Finds what an earlier run of the service has left.
    pub(super) async fn find_left(
        &mut self,
        folder: &Folder,
        own: &[String],
    ) -> Result<(), MemoryError> {
        for name in own {
            if self.kept.iter().any(|kept| kept.replaced.kept == *name) {
                continue;
            }
            let Some((path, before, after)) = kept_parts(name) else {
                if !block_in_place(|| folder.restore(name)) {
                    let why = "it was being deleted when another came in its place: delete it";
                    self.problems.push((name.clone(), why.to_owned()));
                }
                continue;
            };
            match block_in_place(|| folder.read(name)) {
                Content::Text(text, _) if etag(&text) == before => {
                    let (kept, after) = (name.clone(), after.to_owned());
                    self.keep(Replaced { path, kept, before: text, after });
                }
                // It never came into the file.
                Content::Text(text, _) if etag(&text) == after => discard(folder, name),
                Content::Text(late, stamp) if self.is_settled(name, stamp) => {
                    // What it was written into is not known any more.
                    self.store.set_late_aside(&self.namespace, &path, &late).await?;
                    discard(folder, name);
                }
                Content::Text(..) | Content::Busy => self.busy = true,
                Content::Absent => {}
                Content::Unusable(why) => self.problems.push((name.clone(), why)),
            }
        }
        Ok(())
    }
}

fn discard(folder: &Folder, kept: &str) {
    if let Ok(spot) = block_in_place(|| folder.spot(kept)) {
        block_in_place(|| spot.delete());
    }
}
