//! The root of a system that is not running: its paths, links and accounts are its own.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{self as rfs, CWD, OFlags, ResolveFlags};

/// An image, or `/` of the running system.
#[derive(Debug)]
pub(crate) struct SystemImage {
    /// Without symbolic links; `/` for the running system.
    pub(crate) path: PathBuf,
    /// Open where it is not the running system.
    fd: Option<OwnedFd>,
}

impl SystemImage {
    /// Opens an image; `None` is the running system.
    pub(crate) fn open(path: Option<&Path>) -> std::io::Result<Self> {
        let Some(path) = path else { return Ok(Self { path: "/".into(), fd: None }) };
        let path = path.canonicalize()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rfs::openat(CWD, &path, flags, rfs::Mode::empty())?;
        Ok(Self { path, fd: Some(fd) })
    }

    /// Returns a path as the image knows it: absolute, from its root.
    pub(crate) fn inner_path(&self, real: &Path) -> PathBuf {
        Path::new("/").join(real.strip_prefix(&self.path).unwrap_or(real))
    }

    /// Resolves a path of the system, links included, to one of this system. Links of an image lead nowhere out of it.
    pub(crate) fn resolve(&self, path: &Path) -> std::io::Result<PathBuf> {
        if self.fd.is_none() {
            return path.canonicalize();
        }
        let fd = self.open_inner(path.as_os_str().as_bytes())?;
        let real = rfs::readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new())?;
        Ok(std::ffi::OsString::from_vec(real.into_bytes()).into())
    }

    /// Opens what a symbolic link leads to, as its system resolves it: `dir` is the directory of the link.
    pub(crate) fn open_link(
        &self,
        dir: impl std::os::fd::AsFd,
        link: &Path,
        name: &std::ffi::CStr,
    ) -> rustix::io::Result<OwnedFd> {
        match &self.fd {
            None => rfs::openat(dir, name, OFlags::PATH | OFlags::CLOEXEC, rfs::Mode::empty()),
            Some(_) => self.open_inner(self.inner_path(link).as_os_str().as_bytes()),
        }
    }

    fn open_inner(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let start = path.iter().take_while(|b| **b == b'/').count();
        let below = if path.len() == start { OsStr::new(".") } else { OsStr::from_bytes(&path[start..]) };
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match &self.fd {
            Some(root) => rfs::openat2(root, below, flags, rfs::Mode::empty(), ResolveFlags::IN_ROOT),
            None => rfs::openat(CWD, Path::new("/").join(below), flags, rfs::Mode::empty()),
        }
    }
}
