//! A root directory, of the running system or of one that is not: files below it, through links as that system
//! itself would resolve them, never beyond, and nothing but regular files is read.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self as rfs, CWD, OFlags, ResolveFlags};

/// Configuration and /proc files are small; more than this of one is not read.
const LIMIT: u64 = 16 << 20;

/// A root directory.
#[derive(Debug)]
pub struct SystemRoot {
    path: PathBuf,
    fd: OwnedFd,
}

impl SystemRoot {
    /// Opens a root directory.
    ///
    /// # Errors
    /// It does not exist, is not a directory, or may not be entered.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rfs::openat(CWD, path, flags, rfs::Mode::empty())?;
        Ok(Self { path: path.to_owned(), fd })
    }

    fn file(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        // openat2 refuses what means nothing to a descriptor of a mere place.
        let careful = OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags =
            flags | OFlags::CLOEXEC | if flags.contains(OFlags::PATH) { OFlags::empty() } else { careful };
        if self.path == Path::new("/") {
            return Ok(rfs::openat(&self.fd, path, flags, rfs::Mode::empty())?);
        }
        Ok(rfs::openat2(&self.fd, path, flags, rfs::Mode::empty(), ResolveFlags::IN_ROOT)?)
    }

    /// Reads a text file, given without the first slash. Nothing waits for a FIFO or reads from a device.
    pub fn read(&self, path: &str) -> io::Result<String> {
        let file = File::from(self.file(path, OFlags::RDONLY)?);
        let mode = rfs::fstat(&file)?.st_mode;
        if rfs::FileType::from_raw_mode(mode) != rfs::FileType::RegularFile {
            let kind = crate::fsat::kind(mode);
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("is {kind}, not a regular file"),
            ));
        }
        let bytes = crate::fsat::read_bounded(file, LIMIT)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The names in a directory, sorted; none where there is no such directory.
    pub fn names(&self, path: &str) -> Vec<String> {
        let Ok(dir) = self.file(path, OFlags::RDONLY | OFlags::DIRECTORY) else { return Vec::new() };
        let Ok(dir) = rfs::Dir::new(dir) else { return Vec::new() };
        let names = dir.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|n| n != "." && n != "..").collect();
        names.sort();
        names
    }

    /// The metadata of what a path leads to.
    pub fn stat(&self, path: &str) -> io::Result<rfs::Stat> {
        Ok(rfs::fstat(self.file(path, OFlags::PATH)?)?)
    }

    /// Where a link leads, as it is written; `None` for what is no link.
    pub fn link(&self, path: &str) -> Option<String> {
        let fd = self.file(path, OFlags::PATH | OFlags::NOFOLLOW).ok()?;
        let target = rfs::readlinkat(&fd, "", Vec::new()).ok()?;
        Some(target.to_string_lossy().into_owned())
    }

    /// A path as the user can find it.
    pub fn shown(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }
}
