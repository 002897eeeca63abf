//! Lists the regular files below paths, sorted, with their sizes.

use std::ffi::CStr;
use std::path::PathBuf;

use common::out::Diag;
use rustix::fs::{FileType, Statx};
use rustix::io::Errno;

use crate::walk::{self, Dir, Options, Visitor, kind};

/// A regular file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listed {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    /// Modification time in seconds since the epoch.
    pub(crate) mtime: i64,
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// All regular files below `paths`, sorted by path; what cannot be seen is reported.
pub(crate) fn list(paths: &[PathBuf], options: Options, diag: &Diag) -> Vec<Listed> {
    let (listers, errors) = walk::walk(paths, options, || Lister { files: Vec::new(), diag });
    for e in errors {
        diag.error(e.path.display(), crate::reason(e.error));
    }
    let mut files: Vec<_> = listers.into_iter().flat_map(|l| l.files).collect();
    files.sort_unstable();
    files.dedup();
    files
}

struct Lister<'a> {
    files: Vec<Listed>,
    diag: &'a Diag,
}

impl Visitor for Lister<'_> {
    type State = ();

    fn file(&mut self, dir: &Dir, (): &mut (), name: &CStr, st: &Statx) {
        if kind(st) == FileType::RegularFile {
            self.files.push(Listed {
                path: dir.node.path_of(name),
                size: st.stx_size,
                mtime: st.stx_mtime.tv_sec,
                device: walk::device(st),
                inode: st.stx_ino,
            });
        }
    }

    fn dir(&mut self, _dir: &Dir, (): ()) {}

    fn mount_point(&mut self, parent: &Dir, name: &CStr, _st: &Statx) {
        self.diag.warn(parent.node.path_of(name).display(), "another file system, not entered");
    }

    fn failed(&mut self, parent: &Dir, name: &CStr, _st: Option<&Statx>, error: Errno) {
        self.diag.error(parent.node.path_of(name).display(), crate::reason(error));
    }

    fn vanished(&mut self) {}
}
