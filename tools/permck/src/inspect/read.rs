//! Reads an entry besides its metadata: the beginning of its content, its extended attributes, its target.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use common::policy::Mode;
use rustix::fs::{self as rfs, OFlags};
use rustix::io::Errno;

use super::{Inspector, IssueSink};
use crate::image::SystemImage;
use crate::rule::{SymlinkDestination, SymlinkTarget};
use crate::xattr::Xattrs;
use common::walk::OpenDirectory;

/// Bytes that are read of every file: enough for headers and key files.
pub(super) const HEAD_SIZE: usize = 16 << 10;

/// Maximum size in bytes of a text file that is read whole: a configuration or log may contain a key anywhere.
const MAX_TEXT_SIZE: usize = 1 << 20;

impl<S: IssueSink> Inspector<'_, S> {
    /// Opens a regular file and reads its beginning into `self.head`, or all of a small text; returns the descriptor and
    /// the number of bytes.
    pub(super) fn read_head(
        &mut self,
        dir: &OpenDirectory,
        name: &CStr,
        size: u64,
    ) -> rustix::io::Result<(OwnedFd, usize)> {
        // Neither a FIFO nor a lease blocks the open (open(2), O_NONBLOCK), and access times do not change.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = |flags| rfs::openat(dir, name, flags, rfs::Mode::empty());
        let fd = match open(flags | OFlags::NOATIME) {
            Err(Errno::PERM) => open(flags),
            other => other,
        }?;
        let mut length = rustix::io::read(&fd, &mut self.head[..HEAD_SIZE])?;
        let more = length == HEAD_SIZE && size > HEAD_SIZE as u64 && size <= MAX_TEXT_SIZE as u64;
        if more && memchr::memchr(0, &self.head[..HEAD_SIZE]).is_none() {
            self.head.resize(MAX_TEXT_SIZE, 0);
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

    /// Resolves the target of a symbolic link through the kernel; the target is opened with `O_PATH` only.
    pub(super) fn read_symlink(&self, dir: &OpenDirectory, name: &CStr) -> Option<SymlinkTarget> {
        let target = rfs::readlinkat(dir, name, Vec::new()).ok()?;
        let target = PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes()));
        let mut destination = None;
        let root = &self.plan.roots[dir.node.root];
        let mut below = Vec::new();
        dir.node.write_relative(Some(name.to_bytes()), &mut below);
        let place = root.real.join(std::ffi::OsStr::from_bytes(&below));
        let leads = match self.plan.image.open_link(dir, &place, name) {
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NAMETOOLONG) => {
                destination = nearest_directory(&self.plan.image, &place.with_file_name("").join(&target));
                SymlinkDestination::Nowhere
            }
            Err(_) => SymlinkDestination::Unknown,
            Ok(fd) => {
                let found = rfs::fstat(&fd).ok();
                // What is written to a device such as /dev/null is not kept for the next reader.
                let device = |st: &rfs::Stat| {
                    rfs::FileType::from_raw_mode(st.st_mode) == rfs::FileType::CharacterDevice
                };
                destination =
                    found.map(|st| (st.st_uid, if device(&st) { Mode(0) } else { Mode::of(st.st_mode) }));
                let real = rfs::readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new()).ok();
                let real = real.map(|r| PathBuf::from(std::ffi::OsString::from_vec(r.into_bytes())));
                match real {
                    Some(real) if real.starts_with(&root.real) => SymlinkDestination::Inside,
                    Some(real) => SymlinkDestination::Outside(real),
                    None => SymlinkDestination::Unknown,
                }
            }
        };
        Some(SymlinkTarget { target, leads, destination })
    }
}

/// Returns owner and mode of the nearest directory above a missing file.
fn nearest_directory(image: &SystemImage, missing: &Path) -> Option<(u32, Mode)> {
    let inner = if missing.starts_with(&image.path) { image.inner_path(missing) } else { missing.to_owned() };
    let mut above = inner.ancestors().skip(1);
    let meta = above.find_map(|dir| std::fs::metadata(image.resolve(dir).ok()?).ok())?;
    Some((meta.uid(), Mode::of(meta.mode())))
}
