//! The stamp of a file, which changes with it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Device, inode, size, and the time of the last status change in seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp(u64, u64, u64, i64, i64);

impl FileStamp {
    /// Stamps a file; of a symlink, its target. `None` for a missing one.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        path.metadata().ok().map(|meta| Self::of_metadata(&meta))
    }

    pub(crate) fn of_metadata(meta: &Metadata) -> Self {
        Self(meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec())
    }
}
