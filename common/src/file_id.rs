//! The identity of a file, whatever its path.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{Stat, Statx, makedev};

/// The device and inode number of a file: two paths with one identity are one file (inode(7)), as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// Device number, as `st_dev`.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

impl FileId {
    /// From the standard library's metadata.
    #[must_use]
    pub fn of_metadata(meta: &Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino() }
    }

    /// From stat(2).
    #[must_use]
    pub fn of_stat(st: &Stat) -> Self {
        Self { device: st.st_dev, inode: st.st_ino }
    }

    /// From statx(2).
    #[must_use]
    pub fn of_statx(st: &Statx) -> Self {
        Self { device: makedev(st.stx_dev_major, st.stx_dev_minor), inode: st.stx_ino }
    }
}
