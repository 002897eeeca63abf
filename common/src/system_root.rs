//! A root directory, of the running system or of an image. Files below it are opened through symlinks as that system
//! would resolve them, never outside of it, and only regular files are read.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self as rfs, CWD, OFlags, ResolveFlags};

/// Largest file that is read; configuration and /proc files are smaller.
const LIMIT: u64 = 16 << 20;

/// A root directory.
#[derive(Debug)]
pub struct SystemRoot {
    /// Its path on this system.
    pub path: PathBuf,
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

    fn open_at(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        // openat2(2) rejects flags that O_PATH ignores.
        let careful = OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags =
            flags | OFlags::CLOEXEC | if flags.contains(OFlags::PATH) { OFlags::empty() } else { careful };
        if self.path == Path::new("/") {
            return Ok(rfs::openat(&self.fd, path, flags, rfs::Mode::empty())?);
        }
        Ok(rfs::openat2(&self.fd, path, flags, rfs::Mode::empty(), ResolveFlags::IN_ROOT)?)
    }

    /// Reads a text file of at most 16 MiB; the path has no leading slash. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// It cannot be opened, is larger, or is not a regular file: FIFOs and devices are not read.
    pub fn read_file(&self, path: &str) -> io::Result<String> {
        let file = File::from(self.open_at(path, OFlags::RDONLY)?);
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

    /// Lists the names in a directory, sorted; none where the directory does not exist.
    pub fn list_names(&self, path: &str) -> Vec<String> {
        let Ok(dir) = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY) else { return Vec::new() };
        let Ok(dir) = rfs::Dir::new(dir) else { return Vec::new() };
        let names = dir.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|n| n != "." && n != "..").collect();
        names.sort();
        names
    }

    /// Returns the metadata of a file, following symlinks.
    pub fn stat(&self, path: &str) -> io::Result<rfs::Stat> {
        Ok(rfs::fstat(self.open_at(path, OFlags::PATH)?)?)
    }

    /// Reads the target of a symlink; `None` where the path is not a symlink.
    pub fn read_link(&self, path: &str) -> Option<String> {
        let fd = self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW).ok()?;
        let target = rfs::readlinkat(&fd, "", Vec::new()).ok()?;
        Some(target.to_string_lossy().into_owned())
    }
}
