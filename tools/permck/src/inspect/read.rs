//! What is read of an entry besides its metadata: the beginning of its content, its attributes, where it leads.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{self as rfs, OFlags};
use rustix::io::Errno;

use super::{Inspector, IssueSink};
use crate::rule::{SymlinkDestination, SymlinkTarget};
use crate::xattr::Xattrs;
use common::walk::OpenDirectory;

/// Bytes of a file's beginning that are looked at, whatever it is: headers and key files are told from these.
pub(super) const HEAD: usize = 16 << 10;

/// Text up to this size is read whole: a configuration or a log may hold a key anywhere.
const WHOLE: usize = 1 << 20;

impl<S: IssueSink> Inspector<'_, S> {
    /// Opens a regular file and reads its beginning into `self.head`, or all of a text that is not large; the
    /// length read.
    pub(super) fn read_head(
        &mut self,
        dir: &OpenDirectory,
        name: &CStr,
        size: u64,
    ) -> rustix::io::Result<(OwnedFd, usize)> {
        // Neither a FIFO nor a lease may hold us up, and an audit leaves no trace in access times.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = |flags| rfs::openat(dir, name, flags, rfs::Mode::empty());
        let fd = match open(flags | OFlags::NOATIME) {
            Err(Errno::PERM) => open(flags),
            other => other,
        }?;
        let mut length = rustix::io::read(&fd, &mut self.head[..HEAD])?;
        let more = length == HEAD && size > HEAD as u64 && size <= WHOLE as u64;
        if more && memchr::memchr(0, &self.head[..HEAD]).is_none() {
            self.head.resize(WHOLE, 0);
            loop {
                match rustix::io::read(&fd, &mut self.head[length..])? {
                    0 => break,
                    n => length += n,
                }
            }
        }
        Ok((fd, length))
    }

    pub(super) fn read_attributes_at(&mut self, dir: &OpenDirectory, name: &CStr) -> Xattrs {
        let found = self.xattrs.read_entry(dir.as_fd(), name);
        self.attributes_or_report(found, || dir.node.path_of(name))
    }

    pub(super) fn read_attributes(&mut self, file: BorrowedFd<'_>, path: impl Fn() -> PathBuf) -> Xattrs {
        let found = self.xattrs.read_open(file);
        self.attributes_or_report(found, path)
    }

    fn attributes_or_report(&self, found: rustix::io::Result<Xattrs>, path: impl Fn() -> PathBuf) -> Xattrs {
        match found {
            Ok(found) => found,
            Err(Errno::NOENT) => Xattrs::default(),
            Err(e) => {
                self.sink.report_error(path(), e);
                Xattrs::default()
            }
        }
    }

    /// Where a link leads, as the kernel resolves it; nothing is opened but the place.
    pub(super) fn read_symlink(&self, dir: &OpenDirectory, name: &CStr) -> Option<SymlinkTarget> {
        let target = rfs::readlinkat(dir, name, Vec::new()).ok()?;
        let target = PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes()));
        let leads = match rfs::openat(dir, name, OFlags::PATH | OFlags::CLOEXEC, rfs::Mode::empty()) {
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NAMETOOLONG) => {
                SymlinkDestination::Nowhere
            }
            Err(_) => SymlinkDestination::Unknown,
            Ok(fd) => {
                let real = rfs::readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new()).ok();
                let real = real.map(|r| PathBuf::from(std::ffi::OsString::from_vec(r.into_bytes())));
                match real {
                    Some(real) if real.starts_with(&self.plan.roots[dir.node.root].real) => {
                        SymlinkDestination::Inside
                    }
                    Some(real) => SymlinkDestination::Outside(real),
                    None => SymlinkDestination::Unknown,
                }
            }
        };
        Some(SymlinkTarget { target, leads })
    }
}
