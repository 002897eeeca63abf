//! New directories that appear whole or not at all.
//!
//! Everything is written to a hidden directory in the same parent, then moved by renames that replace nothing. A failure
//! or signal rolls back what was done; what SIGKILL or a power failure leaves is removed by the next certck in that parent.
//!
//! Users who may write to the parent can rename the hidden directory and put another in its place. So its name is resolved
//! only once; everything that root makes, chowns and moves later is reached through its descriptor, below which other
//! users can change nothing.

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::error::HintExt;
use common::file_id::FileId;
use common::fsat::{self, AtomicFile};
use common::held_signals::HeldSignals;
use common::policy::{Class, Mode};
use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags};

/// The prefix of hidden directories, before 16 hex digits.
const PREFIX: &str = ".new-";

/// Directories in the making below one parent. Dropped without [`Self::commit`], it leaves nothing.
pub(crate) struct DirectoryStage {
    parent: PathBuf,
    hidden: PathBuf,
    made_parent: bool,
    names: Vec<String>,
    moved: usize,
    done: bool,
    signals: HeldSignals,
    /// The hidden directory, locked while it is in use.
    dir: File,
}

impl DirectoryStage {
    /// Begins below `parent`, which is made if it does not exist (its own parent must).
    pub(crate) fn begin(parent: &Path) -> anyhow::Result<Self> {
        let subject = || parent.display().to_string();
        let made_parent = match fsat::create_dir(parent, Class::KeyDir.max()) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => false,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let above = parent.parent().unwrap_or(parent);
                return Err(anyhow::anyhow!("{}: the directory above it does not exist", parent.display()))
                    .hint(format!("mkdir -p {}", common::policy::shell_quote(above)));
            }
            Err(e) => return Err(e).with_context(subject),
        };
        remove_abandoned(parent);
        let signals = HeldSignals::new().with_context(subject)?;
        let (hidden, dir) = make_hidden_dir(parent).with_context(subject)?;
        Ok(Self {
            parent: parent.to_owned(),
            hidden,
            made_parent,
            names: Vec::new(),
            moved: 0,
            done: false,
            signals,
            dir,
        })
    }

    /// Adds a directory, mode 0700. If it exists already, that is an error before anything is written.
    pub(crate) fn add_dir(&mut self, name: &str) -> anyhow::Result<()> {
        let place = self.parent.join(name);
        if place.symlink_metadata().is_ok() {
            return Err(anyhow::anyhow!("{}: already exists", place.display())).hint(
                "choose another directory; what was minted there before is renewed by `certck mint renew`, and \
                 `certck mint leaf` adds a server or client to its authority",
            );
        }
        self.make_dir(name).with_context(|| place.display().to_string())?;
        self.names.push(name.to_owned());
        Ok(())
    }

    /// Adds a directory that will not be moved to its place by [`Self::commit`], and says where it is.
    pub(crate) fn add_unplaced_dir(&mut self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.staged_path(name);
        self.make_dir(name).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    fn make_dir(&self, name: &str) -> io::Result<()> {
        let Mode(mode) = Class::KeyDir.max();
        let mode = rustix::fs::Mode::from_raw_mode(mode);
        rustix::fs::mkdirat(&self.dir, name, mode)?;
        Ok(rustix::fs::fchmod(self.open_dir(name)?, mode)?)
    }

    fn open_dir(&self, name: &str) -> io::Result<OwnedFd> {
        open_below(&self.dir, name, OFlags::DIRECTORY)
    }

    /// Writes a file into one of the directories, mode 0600 from its creation.
    pub(crate) fn write_file(&self, dir: &str, name: &str, content: &[u8]) -> anyhow::Result<()> {
        const MODE: Mode = Mode(0o600);
        self.check_interrupt()?;
        let write = || {
            let mut file = AtomicFile::create_at(self.open_dir(dir)?, Path::new(name), MODE)?;
            file.write_all(content)?;
            file.commit()
        };
        write().with_context(|| self.parent.join(dir).join(name).display().to_string())
    }

    /// Gives one of the directories and its files to an owner and group.
    pub(crate) fn give_ownership(&self, dir: &str, names: &[&str], like: &Metadata) -> io::Result<()> {
        let fd = self.open_dir(dir)?;
        for name in names {
            fsat::own_like(&open_below(&fd, name, OFlags::NONBLOCK)?.into(), like)?;
        }
        fsat::own_like(&fd.into(), like)
    }

    /// Puts one of the directories where another is, which is then in its place here, and goes with the rest.
    pub(crate) fn exchange_with(&self, dir: &str, with: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(&self.dir, dir, CWD, with, RenameFlags::EXCHANGE)?)
    }

    /// Where a directory is while it is being made.
    pub(crate) fn staged_path(&self, name: &str) -> PathBuf {
        self.hidden.join(name)
    }

    /// Rolls back and ends the process if a signal was received.
    pub(crate) fn check_interrupt(&self) -> anyhow::Result<()> {
        if !self.signals.has_arrived() {
            return Ok(());
        }
        self.roll_back();
        self.signals.raise_noted();
        anyhow::bail!("interrupted")
    }

    /// Moves everything to its place.
    pub(crate) fn commit(mut self) -> anyhow::Result<()> {
        self.check_interrupt()?;
        for name in &self.names {
            rustix::fs::renameat_with(&self.dir, name, CWD, self.parent.join(name), RenameFlags::NOREPLACE)
                .map_err(io::Error::from)
                .with_context(|| self.parent.join(name).display().to_string())?;
            self.moved += 1;
        }
        self.done = true;
        Ok(())
    }

    fn roll_back(&self) {
        if !self.done {
            for name in &self.names[..self.moved] {
                let place = self.parent.join(name);
                let _ = rustix::fs::renameat_with(CWD, place, &self.dir, name, RenameFlags::NOREPLACE);
            }
        }
        if is_at(&self.dir, &self.hidden) {
            let _ = std::fs::remove_dir_all(&self.hidden);
        }
        if !self.done && self.made_parent {
            let _ = std::fs::remove_dir(&self.parent);
        }
    }
}

impl Drop for DirectoryStage {
    fn drop(&mut self) {
        self.roll_back();
    }
}

/// Makes a hidden directory, locked while it is in use.
fn make_hidden_dir(parent: &Path) -> io::Result<(PathBuf, File)> {
    loop {
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let hidden = parent.join(format!("{PREFIX}{}", common::finding::hex(&random)));
        fsat::create_dir(&hidden, Class::KeyDir.max())?;
        // A process that removes abandoned directories may have locked it just now and remove it: make another one.
        let Some(lock) = try_lock(&hidden) else { continue };
        let meta = lock.metadata()?;
        // Another user's directory was put in place of ours.
        if meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o077 != 0 {
            return Err(io::Error::other("another user replaced the temporary directory"));
        }
        return Ok((hidden, lock));
    }
}

/// Locks a directory that is not in use, if it still exists then.
fn try_lock(hidden: &Path) -> Option<File> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let dir = File::from(rustix::fs::open(hidden, flags, rustix::fs::Mode::empty()).ok()?);
    rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive).ok()?;
    is_at(&dir, hidden).then_some(dir)
}

/// Removes hidden directories of killed processes, which may hold private keys.
fn remove_abandoned(parent: &Path) {
    let me = rustix::process::geteuid().as_raw();
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let digits = name.to_str().and_then(|n| n.strip_prefix(PREFIX));
        let ours = digits.is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_hexdigit()));
        let owned = ours && entry.metadata().is_ok_and(|m| m.is_dir() && m.uid() == me);
        if let Some(_lock) = owned.then(|| try_lock(&entry.path())).flatten() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Opens what is in a directory, and no link.
fn open_below(dir: impl AsFd, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, rustix::fs::Mode::empty())?)
}

/// Whether an open directory is the one that a path names.
fn is_at(dir: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (dir.metadata(), path.symlink_metadata()) else { return false };
    FileId::of_metadata(&open) == FileId::of_metadata(&there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staged_directories_appear_together() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("new");
        let mut stage = DirectoryStage::begin(&place).unwrap();
        stage.add_dir("a").unwrap();
        stage.write_file("a", "f", b"x").unwrap();
        assert!(!place.join("a").exists());
        stage.commit().unwrap();
        assert_eq!(std::fs::read(place.join("a/f")).unwrap(), b"x");
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_stage_removes_what_it_placed() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("new");
        let mut stage = DirectoryStage::begin(&place).unwrap();
        stage.add_dir("a").unwrap();
        stage.add_dir("b").unwrap();
        // Somebody is faster.
        std::fs::create_dir(place.join("b")).unwrap();
        std::fs::write(place.join("b/theirs"), "x").unwrap();
        assert!(stage.hidden.exists());
        assert!(stage.commit().is_err());
        let left: Vec<_> = std::fs::read_dir(&place).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["b"]);
        assert!(place.join("b/theirs").exists());
    }

    #[test]
    fn only_stale_staging_directories_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in [".new-0123456789abcdef", ".new-notes", ".new-0123456789abcdeg"] {
            std::fs::create_dir(at(name)).unwrap();
            std::fs::write(at(name).join("ca.key"), "secret").unwrap();
        }
        let working = DirectoryStage::begin(dir.path()).unwrap();
        let other = DirectoryStage::begin(dir.path()).unwrap();
        assert!(working.hidden.exists() && other.hidden.exists());
        assert!(!at(".new-0123456789abcdef").exists());
        drop((working, other));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_directory_that_replaces_the_stage_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("theirs"), "secret").unwrap();
        std::fs::create_dir(at("old")).unwrap();
        let mut stage = DirectoryStage::begin(dir.path()).unwrap();
        let new = stage.add_unplaced_dir("new").unwrap();
        stage.write_file("new", "f", b"x").unwrap();
        std::fs::rename(&stage.hidden, at("aside")).unwrap();
        std::fs::create_dir_all(&new).unwrap();
        std::os::unix::fs::symlink(at("theirs"), new.join("g")).unwrap();
        stage.write_file("new", "g", b"y").unwrap();
        assert!(new.join("g").is_symlink() && !at("aside/new/g").is_symlink());
        stage.give_ownership("new", &["f", "g"], &at("old").metadata().unwrap()).unwrap();
        std::os::unix::fs::symlink(at("theirs"), at("aside/new/h")).unwrap();
        assert!(stage.give_ownership("new", &["h"], &at("old").metadata().unwrap()).is_err());
        stage.exchange_with("new", &at("old")).unwrap();
        assert_eq!(std::fs::read(at("old/g")).unwrap(), b"y");
        drop(stage);
        assert!(new.join("g").is_symlink());
    }

    #[test]
    fn an_abandoned_stage_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut stage = DirectoryStage::begin(&dir.path().join("new")).unwrap();
        stage.add_dir("a").unwrap();
        drop(stage);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
