//! A folder of markdown files. Whatever lies in it, nothing outside is read or written: paths are
//! resolved beneath the folder's own descriptor, and symbolic links are not followed.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, fstat, mkdirat,
        open, openat, openat2, renameat_with, statat, unlinkat,
    },
    io::Errno,
};

use crate::knowledge::bank::{DEEPEST, LARGEST, is_plain_path};

/// More files are not looked at.
const MOST_FILES: usize = 1_024;

/// Marks files of the service's own; they are hidden, and gone within seconds.
pub(super) const OWN: &str = ".alina-";

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    size: i64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// How long nobody has written into the file; nothing for a time to come.
    pub(super) fn age(&self) -> Option<Duration> {
        let (seconds, nanos) = self.modified;
        let nanos = u32::try_from(nanos).ok()?;
        let modified = UNIX_EPOCH + Duration::new(u64::try_from(seconds).ok()?, nanos);
        SystemTime::now().duration_since(modified).ok()
    }
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing.
    Absent,
    /// A text.
    Text(String, Stamp),
    /// Somebody is writing it.
    Busy,
    /// Something that is no document, and why.
    Unusable(String),
}

/// What lies in a folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Markdown files.
    pub(super) files: Vec<(String, Stamp)>,
    /// Files of the service's own.
    pub(super) own: Vec<String>,
    /// What is left out, and why.
    pub(super) problems: Vec<(String, String)>,
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    root: OwnedFd,
    pub(super) path: PathBuf,
}

/// A place in a folder: the folder it lies in and its name there.
pub(super) struct Spot {
    pub(super) parent: OwnedFd,
    pub(super) name: String,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(&path, flags, Mode::empty())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { root, path })
    }

    /// Which folder it is, if it should be put in the place of another.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        fstat(&self.root).ok().map(|stat| (stat.st_dev, stat.st_ino))
    }

    /// All that is there, by name.
    pub(super) fn list(&self) -> Result<Listing, String> {
        let mut listing = Listing::default();
        self.collect("", 1, &mut listing)?;
        listing.files.sort_by(|one, other| one.0.cmp(&other.0));
        for (path, _) in listing.files.drain(MOST_FILES.min(listing.files.len())..) {
            let why = format!("more than {MOST_FILES} files are not kept in step");
            listing.problems.push((path, why));
        }
        Ok(listing)
    }

    fn collect(&self, at: &str, depth: usize, listing: &mut Listing) -> Result<(), String> {
        let folder = if at.is_empty() { "." } else { at };
        let wrong = |error: Errno| format!("{folder}: {error}");
        let fd = self.beneath(folder, OFlags::RDONLY | OFlags::DIRECTORY).map_err(wrong)?;
        for entry in Dir::read_from(&fd).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let Ok(name) = entry.file_name().to_str() else {
                let name = entry.file_name().to_string_lossy().into_owned();
                listing.problems.push((name, "its name is not UTF-8".to_owned()));
                continue;
            };
            let path = if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
            if name.starts_with('.') {
                if name.contains(OWN) {
                    listing.own.push(path);
                }
                continue;
            }
            let Ok(stat) = statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let problem = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory if depth >= DEEPEST => "folders lie too deep in it",
                FileType::Directory => {
                    if let Err(problem) = self.collect(&path, depth + 1, listing) {
                        listing.problems.push((path, problem));
                    }
                    continue;
                }
                _ if !name.ends_with(".md") => continue,
                FileType::RegularFile if is_plain_path(&path) => {
                    listing.files.push((path, Stamp::of(&stat)));
                    continue;
                }
                FileType::RegularFile => "its name is too long or has a \\",
                FileType::Symlink => "symbolic links are not followed",
                _ => "it is no file",
            };
            listing.problems.push((path, problem.to_owned()));
        }
        Ok(())
    }

    /// Whether something is at `path`, whatever it is.
    pub(super) fn is_there(&self, path: &str) -> bool {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        !matches!(self.beneath(path, flags), Err(Errno::NOENT | Errno::NOTDIR))
    }

    /// The text of a file.
    pub(super) fn read(&self, path: &str) -> Content {
        // Without O_NONBLOCK the opening of a pipe would wait for its other end.
        match self.beneath(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW) {
            Ok(fd) => text(fd),
            Err(Errno::NOENT | Errno::NOTDIR) => Content::Absent,
            Err(Errno::LOOP | Errno::XDEV) => {
                Content::Unusable("symbolic links are not followed".to_owned())
            }
            Err(error) => Content::Unusable(error.to_string()),
        }
    }

    /// The folder of `path`, made if it is not there.
    pub(super) fn spot(&self, path: &str) -> Result<Spot, Errno> {
        let Some((folder, name)) = path.rsplit_once('/') else {
            let parent = self.beneath(".", OFlags::RDONLY | OFlags::DIRECTORY)?;
            return Ok(Spot { parent, name: path.to_owned() });
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut parent = self.beneath(".", flags)?;
        for part in folder.split('/') {
            match mkdirat(&parent, part, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            parent = openat(&parent, part, flags, Mode::empty())?;
        }
        Ok(Spot { parent, name: name.to_owned() })
    }

    fn beneath(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }
}

impl Spot {
    /// Another name in the same folder.
    pub(super) fn beside(&self, name: &str) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { parent: openat(&self.parent, ".", flags, Mode::empty())?, name: name.to_owned() })
    }

    pub(super) fn read(&self) -> Content {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.parent, &self.name, flags, Mode::empty()) {
            Ok(fd) => text(fd),
            Err(Errno::NOENT) => Content::Absent,
            Err(error) => Content::Unusable(error.to_string()),
        }
    }

    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// A new file with `content`, on the disk when this returns; `like` gives mode and owner.
    pub(super) fn create(&self, content: &str, like: Option<&Stat>) -> Result<(), String> {
        let written = self.create_file(content, like);
        if written.is_err() {
            self.delete();
        }
        written
    }

    fn create_file(&self, content: &str, like: Option<&Stat>) -> Result<(), String> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        let fd =
            openat(&self.parent, &self.name, flags, mode).map_err(|error| error.to_string())?;
        if let Some(like) = like {
            alike(&fd, like)?;
        }
        let mut file = File::from(fd);
        file.write_all(content.as_bytes()).map_err(|error| error.to_string())?;
        file.sync_all().map_err(|error| error.to_string())
    }

    /// Puts the file under another name, which nothing may have.
    pub(super) fn rename(&self, to: &Self) -> Result<(), Errno> {
        let flags = RenameFlags::NOREPLACE;
        renameat_with(&self.parent, &self.name, &to.parent, &to.name, flags)
    }

    /// Puts each of two files in the place of the other.
    pub(super) fn exchange(&self, with: &Self) -> Result<(), Errno> {
        let flags = RenameFlags::EXCHANGE;
        renameat_with(&self.parent, &self.name, &with.parent, &with.name, flags)
    }

    /// Whoever cannot delete a file of his own leaves it for the next look.
    pub(super) fn delete(&self) {
        if let Err(error) = unlinkat(&self.parent, &self.name, AtFlags::empty())
            && error != Errno::NOENT
        {
            tracing::warn!(%error, name = self.name, "a file stays for now");
        }
    }

    /// Names are on the disk when this returns.
    pub(super) fn sync(&self) {
        // Some file systems cannot; the names are found again by their content then.
        let _ = rustix::fs::fsync(&self.parent);
    }
}

/// Mode and owner as those of another file.
fn alike(fd: &OwnedFd, like: &Stat) -> Result<(), String> {
    let own = fstat(fd).map_err(|error| error.to_string())?;
    if (own.st_uid, own.st_gid) != (like.st_uid, like.st_gid) {
        let (user, group) =
            (rustix::fs::Uid::from_raw(like.st_uid), rustix::fs::Gid::from_raw(like.st_gid));
        rustix::fs::fchown(fd, Some(user), Some(group)).map_err(|_| {
            let (user, group) = (like.st_uid, like.st_gid);
            format!(
                "it belongs to user {user} and group {group}, and would not any more: run the \
                     service as them"
            )
        })?;
    }
    let mode = Mode::from_raw_mode(like.st_mode & 0o7777);
    rustix::fs::fchmod(fd, mode).map_err(|error| error.to_string())
}

fn text(fd: OwnedFd) -> Content {
    let unusable = |why: &str| Content::Unusable(why.to_owned());
    let before = match fstat(&fd) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => stat,
        Ok(_) => return unusable("it is no file"),
        Err(error) => return Content::Unusable(error.to_string()),
    };
    let mut file = File::from(fd);
    let mut bytes = Vec::new();
    let most = LARGEST as u64 + 1;
    if let Err(error) = Read::by_ref(&mut file).take(most).read_to_end(&mut bytes) {
        return Content::Unusable(error.to_string());
    }
    let stamp = Stamp::of(&before);
    if fstat(&file).map(|after| Stamp::of(&after)) != Ok(stamp) {
        return Content::Busy;
    }
    if bytes.len() > LARGEST {
        return unusable("it is larger than 1 MiB");
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => unusable("it contains NUL"),
        Ok(text) => Content::Text(text, stamp),
        Err(_) => unusable("it is not UTF-8"),
    }
}
