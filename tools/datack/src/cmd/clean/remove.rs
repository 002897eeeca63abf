//! Deletes one file. Everything that can prevent the deletion is checked first, so that its record can be written before.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self as rfs, Access, AtFlags, OFlags, ResolveFlags, Statx};
use rustix::io::Errno;

use super::candidates::{Candidate, CandidateList};
use common::file_id::FileId;
use common::walk::{open_entry, stat_entry};

const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

/// A file that is still the one that was found, and its directory, opened from the root without symbolic links.
#[derive(Debug)]
pub(super) struct DeletionTarget<'a> {
    top: OwnedFd,
    dir: OwnedFd,
    parent: PathBuf,
    name: &'a CStr,
    checked: FileState,
}

/// Identifies a file and its state: device, inode, size, modification and status change time.
type FileState = (FileId, u64, [(i64, i64); 2]);

fn file_state(st: &Statx) -> FileState {
    let times = [&st.stx_mtime, &st.stx_ctime].map(|t| (t.tv_sec, i64::from(t.tv_nsec)));
    (FileId::of_statx(st), st.stx_size, times)
}

impl<'a> DeletionTarget<'a> {
    /// Opens the directory of a file and checks that the file has not changed.
    pub(super) fn open(root: &Path, candidates: &'a CandidateList, file: &Candidate) -> Result<Self, String> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rfs::open(root, flags, rfs::Mode::empty()).map_err(|e| match e {
            rustix::io::Errno::NOTDIR => "is a file, not a directory; name its directory".into(),
            e => common::error::errno_reason(e),
        })?;
        let parent = candidates.directory_path(file);
        let dir = open_below(&top, &parent).map_err(common::error::errno_reason)?;
        let name = candidates.name(file);
        let st = stat_entry(&dir, name).map_err(common::error::errno_reason)?;
        let now = (FileId::of_statx(&st), st.stx_size, st.stx_mtime.tv_sec);
        if now != (file.id, file.size, file.mtime) {
            return Err("it changed during the run".into());
        }
        let may = Access::WRITE_OK | Access::EXEC_OK;
        rfs::accessat(&dir, ".", may, AtFlags::EACCESS)
            .map_err(|e| format!("its directory: {}", common::error::errno_reason(e)))?;
        Ok(Self { top, dir, parent, name, checked: file_state(&st) })
    }

    /// Checks again that it has not changed: writing its record may have blocked.
    pub(super) fn check_unchanged(&self) -> Result<(), String> {
        let now = stat_entry(&self.dir, self.name).map_err(common::error::errno_reason)?;
        if file_state(&now) == self.checked {
            Ok(())
        } else {
            Err("it changed while its record was written".into())
        }
    }

    /// Deletes it, and with `prune` the directories that this leaves empty.
    pub(super) fn delete_file(self, prune: bool) -> Result<(), String> {
        rfs::unlinkat(&self.dir, self.name, AtFlags::empty()).map_err(common::error::errno_reason)?;
        if prune {
            drop(self.dir);
            remove_empty(&self.top, &self.parent);
        }
        Ok(())
    }
}

/// Returns a path to a file through the descriptor of its directory.
pub(super) fn open_proc_path(root: &Path, candidates: &CandidateList, file: &Candidate) -> Option<ProcPath> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rfs::open(root, flags, rfs::Mode::empty()).ok()?;
    let dir = open_below(&top, &candidates.directory_path(file)).ok()?;
    let name = OsStr::from_bytes(candidates.name(file).to_bytes());
    let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
    Some(ProcPath { path, _dir: dir })
}

/// A path below `/proc/self/fd`, valid while its descriptor is open.
pub(super) struct ProcPath {
    path: PathBuf,
    _dir: OwnedFd,
}

impl ProcPath {
    pub(super) fn as_path(&self) -> &Path {
        &self.path
    }
}

fn open_below(top: &OwnedFd, dir: &Path) -> rustix::io::Result<OwnedFd> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rfs::openat2(top, dir, flags, rfs::Mode::empty(), RESOLVE) {
        // Old kernels, and services with RestrictSUIDSGID= (systemd.exec(5)).
        Err(Errno::NOSYS | Errno::PERM) => open_by_component(top, dir),
        other => other,
    }
}

/// Opens a directory as [`RESOLVE`] does, one component of its path after the other.
fn open_by_component(top: &OwnedFd, dir: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let mut fd = rfs::openat(top, ".", flags | OFlags::CLOEXEC, rfs::Mode::empty())?;
    for component in dir.components() {
        let name = match component {
            Component::Normal(name) => CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?,
            Component::CurDir => continue,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV),
        };
        fd = open_entry(fd.as_fd(), &name, flags, false)?;
    }
    Ok(fd)
}

/// Removes directories that have become empty, upwards, but never the root. The kernel rejects one that is not empty.
fn remove_empty(top: &OwnedFd, mut dir: &Path) {
    while let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) {
        let Ok(fd) = open_below(top, parent) else { return };
        if rfs::unlinkat(&fd, name, AtFlags::REMOVEDIR).is_err() {
            return;
        }
        dir = parent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_found_without_openat2_but_never_through_a_link_or_upwards() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
        let top = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        for open in [open_below, open_by_component] {
            let id = |path: &str| open(&top, path.as_ref()).map(|fd| rfs::fstat(fd).unwrap().st_ino);
            let inode = |path: &str| rfs::stat(dir.path().join(path)).unwrap().st_ino;
            assert_eq!(id("a/b"), Ok(inode("a/b")));
            assert_eq!(id(""), Ok(inode(".")));
            assert_eq!(id("a/none"), Err(Errno::NOENT));
            assert!(matches!(id("link/b"), Err(Errno::LOOP | Errno::NOTDIR)));
            assert_eq!(id("a/../.."), Err(Errno::XDEV));
            assert_eq!(id("/"), Err(Errno::XDEV));
        }
    }
}
