//! A look at all files and documents.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{task::block_in_place, time::Instant};

use super::{
    Keeper, Seen,
    folder::{Content, Folder, Listing, Stamp},
    replace::Written,
    watch::Watch,
};
use crate::{
    error::MemoryError,
    knowledge::bank::{is_conflict, is_document},
    metrics::BankStep,
    store::{Settled, Tracked},
};

/// A document comes to rest in a few steps; one that does not is looked at again.
const MOST_STEPS: usize = 8;

/// Of a younger file the next state may look like this one: clocks of file systems tick slowly.
const RACY: Duration = Duration::from_secs(2);

/// How long a file must be away: some editors put the old one aside before the new one comes.
const GONE: Duration = Duration::from_millis(500);

/// A folder without any file is not believed to be empty when so many were there.
const DOUBTFUL: usize = 2;

impl Keeper {
    /// Looks at everything once.
    pub(super) async fn pass(
        &mut self,
        watch: &mut Watch,
        accept_deletions: bool,
    ) -> Result<(), MemoryError> {
        let Some((folder, listing)) = self.enter(watch).await? else { return Ok(()) };
        self.find_left(&folder, &listing.own).await?;
        self.look_at_kept(&folder).await?;
        let tracked = self.store.tracked(&self.namespace).await?;
        let files: BTreeMap<&str, Stamp> =
            listing.files.iter().map(|(path, stamp)| (path.as_str(), *stamp)).collect();
        let known = tracked.iter().filter(|at| at.on_disk).count();
        let doubtful = files.is_empty() && known >= DOUBTFUL && !accept_deletions;
        if doubtful {
            let problem = format!(
                "holds no file where {known} were: is it mounted? If they were deleted, say so by \
                 `alina memory bank sync --accept-deletions`"
            );
            self.problems.push((String::new(), problem));
        } else {
            for path in self.differing(&folder, &files, &tracked) {
                self.work(&folder, &path, &tracked, accept_deletions).await?;
            }
        }
        self.write_conflicts(&folder, doubtful).await
    }

    /// The folder, which is watched from now on, and what is in it.
    async fn enter(&mut self, watch: &mut Watch) -> Result<Option<(Folder, Listing)>, MemoryError> {
        let opened = block_in_place(|| {
            let folder = Folder::open(&self.folder)?;
            let identity = folder.identity().ok_or("it cannot be looked at")?;
            let listing = folder.list()?;
            Ok::<_, String>((folder, identity, listing))
        });
        let (folder, identity, listing) = match opened {
            Ok(opened) => opened,
            Err(problem) => {
                self.entered = None;
                self.problems.push((String::new(), problem));
                return Ok(None);
            }
        };
        let this = (folder.path.clone(), identity);
        if self.entered.as_ref() != Some(&this) {
            self.store.enter_folder(&self.namespace, &folder.path.to_string_lossy()).await?;
            block_in_place(|| watch.watch(&folder.path));
            self.entered = Some(this);
            // What changed before it was watched.
            self.busy = true;
        }
        self.problems.extend(listing.problems.iter().cloned());
        Ok(Some((folder, listing)))
    }

    /// Paths where file and document may differ.
    fn differing(
        &mut self,
        folder: &Folder,
        files: &BTreeMap<&str, Stamp>,
        tracked: &[Tracked],
    ) -> Vec<String> {
        self.seen.retain(|path, _| files.contains_key(path.as_str()));
        self.steady.retain(|path, _| folder.is_there(path));
        self.missing.retain(|path, _| !files.contains_key(path.as_str()));
        let mut settled: BTreeMap<&str, Option<&Vec<u8>>> = BTreeMap::new();
        for at in tracked {
            // A file that is to be deleted comes behind its document, if there is one again.
            if is_document(&at.path) || is_conflict(&at.path) {
                settled.insert(&at.path, at.settled.as_ref());
            }
        }
        let documents = files.keys().copied().filter(|path| is_document(path));
        let all: HashSet<&str> = documents.chain(settled.keys().copied()).collect();
        let mut differing: Vec<String> = all
            .into_iter()
            .filter(|path| {
                let Some(stamp) = files.get(path) else { return true };
                let digest = settled.get(path).copied().flatten();
                let seen = self.seen.get(*path).filter(|seen| seen.stamp == *stamp);
                let old = stamp.age().is_some_and(|age| age > RACY);
                !(old && digest.is_some() && seen.map(|seen| &seen.digest) == digest)
            })
            .map(str::to_owned)
            .collect();
        differing.sort_unstable();
        differing
    }

    /// Brings a document and its file in step, as far as that can be done now.
    async fn work(
        &mut self,
        folder: &Folder,
        path: &str,
        tracked: &[Tracked],
        accept_deletions: bool,
    ) -> Result<(), MemoryError> {
        let on_disk = tracked.iter().any(|at| at.path == path && at.on_disk);
        for _ in 0..MOST_STEPS {
            let (file, stamp) = match block_in_place(|| folder.read(path)) {
                Content::Text(text, stamp) if self.is_settled(path, stamp) => {
                    (Some(text), Some(stamp))
                }
                Content::Text(..) | Content::Busy => {
                    self.busy = true;
                    return Ok(());
                }
                Content::Absent if on_disk && !accept_deletions && !self.is_gone(path) => {
                    self.busy = true;
                    return Ok(());
                }
                Content::Absent => (None, None),
                Content::Unusable(why) => {
                    if !self.problems.iter().any(|(at, _)| at == path) {
                        self.problems.push((path.to_owned(), why));
                    }
                    return Ok(());
                }
            };
            let settled = self.settle(path, file.as_deref()).await?;
            let written = match (settled, &file) {
                (Settled::InStep, _) => {
                    if let (Some(text), Some(stamp)) = (file, stamp) {
                        let digest = Sha256::digest(text).to_vec();
                        self.seen.insert(path.to_owned(), Seen { stamp, digest });
                    }
                    return Ok(());
                }
                (Settled::Again | Settled::SetAside, _) => continue,
                (Settled::Write(content), Some(before)) => {
                    let written = block_in_place(|| folder.replace(path, before, &content));
                    self.note(path, &content, written).await?
                }
                (Settled::Write(content), None) => {
                    let written = block_in_place(|| folder.create(path, &content));
                    self.note(path, &content, written).await?
                }
                (Settled::Erase, Some(text)) => block_in_place(|| folder.erase(path, text)),
                (Settled::Erase, None) => return Ok(()),
            };
            match written {
                Written::Done => {}
                Written::Impossible(why) => {
                    self.problems.push((path.to_owned(), why));
                    return Ok(());
                }
                Written::Changed | Written::Over(_) | Written::TakenBack(_) => {
                    self.busy = true;
                    return Ok(());
                }
            }
        }
        self.busy = true;
        Ok(())
    }

    async fn settle(&mut self, path: &str, file: Option<&str>) -> Result<Settled, MemoryError> {
        let settled = self.store.settle_document(&self.namespace, path, file).await?;
        let step = match settled {
            Settled::Again => "taken_in",
            Settled::SetAside => "set_aside",
            Settled::InStep | Settled::Write(_) | Settled::Erase => return Ok(settled),
        };
        if settled == Settled::SetAside {
            tracing::warn!(path, "a person's edit stands against an agent's, which is set aside");
        }
        self.metrics.bank.get_or_create(&BankStep { step }).inc();
        self.written.notify_one();
        Ok(settled)
    }

    /// Notes that `content` is in the file, if it is, or was.
    async fn note(
        &mut self,
        path: &str,
        content: &str,
        written: Written,
    ) -> Result<Written, MemoryError> {
        let replaced = match written {
            Written::Done => None,
            Written::Over(replaced) => Some(replaced),
            Written::TakenBack(replaced) => {
                self.keep(replaced);
                return Ok(Written::Changed);
            }
            Written::Changed | Written::Impossible(_) => return Ok(written),
        };
        if let Some(replaced) = replaced {
            self.keep(replaced);
        }
        self.metrics.bank.get_or_create(&BankStep { step: "written" }).inc();
        tracing::debug!(path, "an agent's edit is in the file");
        self.store.settle_document(&self.namespace, path, Some(content)).await?;
        // Whether the file is still so, the next look tells.
        Ok(Written::Changed)
    }

    /// Writes what is set aside, and finds what a person has dealt with.
    async fn write_conflicts(
        &mut self,
        folder: &Folder,
        doubtful: bool,
    ) -> Result<(), MemoryError> {
        let conflicts = self.store.conflicts(&self.namespace).await?;
        self.metrics.bank_conflicts.set(conflicts.len().try_into().unwrap_or(i64::MAX));
        for conflict in conflicts {
            let name = &conflict.name;
            let there = block_in_place(|| folder.is_there(name));
            if conflict.written && !there && !doubtful {
                tracing::info!(path = name, "a conflict is resolved");
                self.store.conflict_resolved(&self.namespace, &conflict).await?;
            }
            if conflict.written || !is_document(&conflict.path) {
                continue;
            }
            if !there {
                let content = self.store.document(&self.namespace, name).await?;
                if let Written::Impossible(why) = block_in_place(|| folder.create(name, &content)) {
                    self.problems.push((name.clone(), why));
                    continue;
                }
            }
            self.store.conflict_written(&self.namespace, name).await?;
        }
        Ok(())
    }

    /// Whether nobody is writing the file: it was left alone for a while.
    pub(super) fn is_settled(&mut self, path: &str, stamp: Stamp) -> bool {
        if let Some(age) = stamp.age() {
            return age >= self.settle;
        }
        // From a time to come: it has to be so for a while.
        let now = Instant::now();
        let steady = self.steady.entry(path.to_owned()).or_insert((stamp, now));
        if steady.0 != stamp {
            *steady = (stamp, now);
        }
        steady.1.elapsed() >= self.settle
    }

    fn is_gone(&mut self, path: &str) -> bool {
        let since = self.missing.entry(path.to_owned()).or_insert_with(Instant::now);
        since.elapsed() >= GONE
    }
}
