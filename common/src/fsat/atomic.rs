//! Files that replace their target in one step.
//!
//! Writing goes through an unnamed file in the target's directory: it gets its mode when it is created,
//! whatever the umask, is synced, and takes the target's name in one rename. Whoever is killed in between
//! leaves nothing behind.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self as rfs, AtFlags, CWD, Mode as RMode, OFlags};

use super::not_regular;
use crate::policy::Mode;

/// A file that replaces its target when it is [committed](Self::commit), and vanishes when it is dropped.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    dir: OwnedFd,
    path: PathBuf,
    /// The temporary name, on file systems that have no unnamed files.
    temporary: Option<String>,
}

impl AtomicFile {
    /// Starts a replacement of `path` with the given mode.
    ///
    /// # Errors
    /// The directory cannot be opened or written.
    pub fn create(path: &Path, mode: Mode) -> io::Result<Self> {
        let parent = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let dir = rfs::open(parent, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, RMode::empty())?;
        Self::create_at(dir, path, mode)
    }

    /// [`Self::create`] in an open directory: the file appears in that one, whatever happens to its name.
    /// Only the last component of `path` counts.
    ///
    /// # Errors
    /// `path` has no file name, or the directory cannot be written.
    pub fn create_at(dir: OwnedFd, path: &Path, mode: Mode) -> io::Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file name"));
        };
        // A rename would put a file in the place of a device or FIFO. A link is replaced, not written through.
        if let Ok(stat) = rfs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            match rfs::FileType::from_raw_mode(stat.st_mode) {
                rfs::FileType::RegularFile | rfs::FileType::Symlink => {}
                _ => return Err(not_regular(stat.st_mode)),
            }
        }
        let (file, temporary) = unnamed(&dir, mode).or_else(|e| match e {
            rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::NOENT => {
                named(&dir, mode)
            }
            e => Err(e),
        })?;
        let new = Self { file: file.into(), dir, path: path.to_owned(), temporary };
        // The mode given to open is cut by the umask; this sets it to the letter before there is a name.
        rfs::fchmod(&new.file, RMode::from_raw_mode(mode.0))?;
        Ok(new)
    }

    /// Gives the file the owner and group of what it will replace or stand beside.
    ///
    /// # Errors
    /// Only root may give files away. A group that may not be given is not asked for: no mode here depends on it.
    pub fn owned_like(self, like: &Metadata) -> io::Result<Self> {
        own_like(&self.file, like)?;
        Ok(self)
    }

    /// The file that is being written.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Syncs the content and gives it the target's name.
    ///
    /// # Errors
    /// Writing back or renaming failed; the target is as it was.
    pub fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let name = self.path.file_name().unwrap_or(OsStr::new("")).to_owned();
        if self.temporary.is_none() {
            self.temporary = Some(self.link()?);
        }
        if let Some(temporary) = &self.temporary {
            rfs::renameat(&self.dir, temporary.as_str(), &self.dir, name.as_os_str())?;
            self.temporary = None;
        }
        rfs::fsync(&self.dir)?;
        Ok(())
    }

    /// Gives the unnamed file a temporary name: a link cannot replace an existing file, a rename can.
    fn link(&self) -> io::Result<String> {
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        loop {
            let name = temporary_name()?;
            match rfs::linkat(CWD, own.as_str(), &self.dir, name.as_str(), AtFlags::SYMLINK_FOLLOW) {
                Ok(()) => return Ok(name),
                Err(rustix::io::Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = rfs::unlinkat(&self.dir, temporary.as_str(), AtFlags::empty());
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn unnamed(dir: &OwnedFd, mode: Mode) -> rustix::io::Result<(OwnedFd, Option<String>)> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    rfs::openat(dir, ".", flags, RMode::from_raw_mode(mode.0)).map(|fd| (fd, None))
}

fn named(dir: &OwnedFd, mode: Mode) -> rustix::io::Result<(OwnedFd, Option<String>)> {
    loop {
        let name = temporary_name()?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        match rfs::openat(dir, name.as_str(), flags, RMode::from_raw_mode(mode.0)) {
            Err(rustix::io::Errno::EXIST) => {}
            other => return other.map(|fd| (fd, Some(name))),
        }
    }
}

fn temporary_name() -> rustix::io::Result<String> {
    let mut bytes = [0; 12];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!(".{}.tmp", crate::finding::hex(&bytes)))
}

/// Writes a whole file atomically.
///
/// # Errors
/// As [`AtomicFile`]; the target is as it was.
pub fn write(path: &Path, mode: Mode, content: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path, mode)?;
    file.write_all(content)?;
    file.commit()
}

/// Writes a whole file atomically, with the owner and group of the file before; a new one has those of its
/// directory. What root replaces for a daemon, the daemon can read.
///
/// # Errors
/// As [`AtomicFile`]; the target is as it was.
pub fn replace(path: &Path, mode: Mode, content: &[u8]) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let like = match path.symlink_metadata() {
        Ok(meta) if meta.is_file() => meta,
        _ => parent.metadata()?,
    };
    replace_owned_like(path, mode, content, &like)
}

/// Writes a whole file atomically, with the owner and group of another.
///
/// # Errors
/// As [`AtomicFile`]; the target is as it was.
pub fn replace_owned_like(path: &Path, mode: Mode, content: &[u8], like: &Metadata) -> io::Result<()> {
    let mut file = AtomicFile::create(path, mode)?.owned_like(like)?;
    file.write_all(content)?;
    file.commit()
}

/// Gives an open file or directory the owner and group of another.
///
/// # Errors
/// Only root may give files away. A group that may not be given is not asked for.
pub fn own_like(file: &File, like: &Metadata) -> io::Result<()> {
    let meta = file.metadata()?;
    let uid = (meta.uid() != like.uid()).then(|| rustix::fs::Uid::from_raw(like.uid()));
    let gid = (meta.gid() != like.gid()).then(|| rustix::fs::Gid::from_raw(like.gid()));
    match rfs::fchown(file, uid, gid) {
        Err(rustix::io::Errno::PERM) if uid.is_none() => Ok(()),
        Err(rustix::io::Errno::PERM) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("belongs to uid {}, and only that user or root may replace it", like.uid()),
        )),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsat::open_append;

    fn mode_of(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_file_appears_whole_with_its_final_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write(&path, Mode(0o600), b"one").unwrap();
        write(&path, Mode(0o666), b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(mode_of(&path), 0o666);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_abandoned_file_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "old").unwrap();
        let mut file = AtomicFile::create(&path, Mode(0o600)).unwrap();
        file.write_all(b"new").unwrap();
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn replacing_a_link_does_not_write_through_it() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, link) = (dir.path().join("victim"), dir.path().join("link"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        write(&link, Mode(0o600), b"x").unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
        assert!(open_append(&link, Mode(0o600)).is_ok());
    }
}
