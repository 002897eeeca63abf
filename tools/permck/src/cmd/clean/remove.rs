//! Deletes one file: first everything that can keep it from being deleted is looked at, so that its record can be
//! written before it goes.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self as rfs, Access, AtFlags, OFlags, ResolveFlags};

use super::survey::{Candidate, Survey};
use crate::walk::{device, stat};

const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

/// A file that is still the one that was judged, and its directory, which was reached from the root without links.
#[derive(Debug)]
pub(super) struct Target<'a> {
    top: OwnedFd,
    dir: OwnedFd,
    parent: PathBuf,
    name: &'a CStr,
}

impl<'a> Target<'a> {
    /// Opens the way to a file.
    pub(super) fn aim(root: &Path, survey: &'a Survey, file: &Candidate) -> Result<Self, String> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rfs::open(root, flags, rfs::Mode::empty()).map_err(|e| match e {
            rustix::io::Errno::NOTDIR => "is the path itself: name its directory".into(),
            e => crate::reason(e),
        })?;
        let parent = survey.parent(file);
        let dir = open(&top, &parent).map_err(crate::reason)?;
        let name = survey.name(file);
        let st = stat(&dir, name).map_err(crate::reason)?;
        let now = (device(&st), st.stx_ino, st.stx_size, st.stx_mtime.tv_sec);
        if now != (file.device, file.inode, file.size, file.mtime) {
            return Err("changed while it was looked at".into());
        }
        let may = Access::WRITE_OK | Access::EXEC_OK;
        rfs::accessat(&dir, ".", may, AtFlags::EACCESS)
            .map_err(|e| format!("its directory: {}", crate::reason(e)))?;
        Ok(Self { top, dir, parent, name })
    }

    /// Deletes it, and with `prune` the directories that this leaves empty.
    pub(super) fn delete(self, prune: bool) -> Result<(), String> {
        rfs::unlinkat(&self.dir, self.name, AtFlags::empty()).map_err(crate::reason)?;
        if prune {
            drop(self.dir);
            remove_empty(&self.top, &self.parent);
        }
        Ok(())
    }
}

fn open(top: &OwnedFd, dir: &Path) -> rustix::io::Result<OwnedFd> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rfs::openat2(top, dir, flags, rfs::Mode::empty(), RESOLVE)
}

/// Removes directories that are empty now, upwards, but never the root. The system refuses one that is not empty.
fn remove_empty(top: &OwnedFd, mut dir: &Path) {
    while let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) {
        let Ok(fd) = open(top, parent) else { return };
        if rfs::unlinkat(&fd, name, AtFlags::REMOVEDIR).is_err() {
            return;
        }
        dir = parent;
    }
}
