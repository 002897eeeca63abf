//! A directory that is being read: entries are passed to the visitor, names of directories are kept in one buffer.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

use super::{
    OpenDirectory, TreeNode, WalkOptions, WalkVisitor, file_type, is_mounted, open_directory, stat_entry,
    stat_open,
};

/// Names of directories kept at once, per directory being read; then they are walked before more are read.
const MAX_NAMES_SIZE: usize = 1 << 20;

/// A directory that waits to be opened.
#[derive(Debug)]
pub(super) struct PendingDirectory {
    pub(super) parent: Arc<OpenDirectory>,
    /// With its terminator.
    pub(super) name: Box<CStr>,
}

/// An open directory, partly read.
pub(super) struct DirectoryListing<V: WalkVisitor> {
    pub(super) dir: Arc<OpenDirectory>,
    /// State of the visitor; taken when the directory has been read.
    state: Option<V::DirectoryState>,
    /// Names of directories still to be walked, each with its terminator.
    names: Vec<u8>,
}

impl<V: WalkVisitor> DirectoryListing<V> {
    pub(super) fn new(dir: OpenDirectory) -> Self {
        Self { dir: Arc::new(dir), state: Some(V::DirectoryState::default()), names: Vec::new() }
    }

    /// Opens a directory that was found before. Errors are passed to the visitor.
    pub(super) fn open(pending: &PendingDirectory, options: WalkOptions, visitor: &mut V) -> Option<Self> {
        let (parent, name) = (&pending.parent, &*pending.name);
        let error =
            match open_directory(parent.as_fd(), name, options).and_then(|fd| Ok((stat_open(&fd)?, fd))) {
                Ok((st, fd)) => return Some(Self::new(open_child(&parent.node, name, fd, st))),
                Err(e) => e,
            };
        match (stat_entry(parent, name), error) {
            (Err(Errno::NOENT), _) => visitor.count_vanished(),
            (Ok(st), Errno::XDEV) => visitor.visit_mount_point(parent, name, &st),
            (Ok(st), error) if file_type(&st) == FileType::Directory => {
                visitor.report_error(parent, name, Some(&st), error);
            }
            // It was a directory when it was listed.
            (Ok(_), _) => visitor.count_vanished(),
            (Err(error), _) => visitor.report_error(parent, name, None, error),
        }
        None
    }

    /// The next directory to walk, after reading on where none is waiting; `None` when this one is done.
    pub(super) fn next_directory(
        &mut self,
        buffer: &mut [MaybeUninit<u8>],
        options: WalkOptions,
        visitor: &mut V,
    ) -> Option<PendingDirectory> {
        while self.names.is_empty() && self.state.is_some() {
            self.read_entries(buffer, options, visitor);
        }
        let end = self.names.len().checked_sub(1)?;
        let start = memchr::memrchr(0, &self.names[..end]).map_or(0, |i| i + 1);
        let name = CStr::from_bytes_with_nul(&self.names[start..]).ok()?.into();
        self.names.truncate(start);
        Some(PendingDirectory { parent: Arc::clone(&self.dir), name })
    }

    /// Returns whether it has been read and all its directories were returned.
    pub(super) fn is_done(&self) -> bool {
        self.names.is_empty() && self.state.is_none()
    }

    /// Returns whether more than one directory is left.
    pub(super) fn can_share(&self) -> bool {
        self.names.len() > 1 && memchr::memrchr(0, &self.names[..self.names.len() - 1]).is_some()
    }

    /// Reads entries until the directory ends or enough directories wait.
    fn read_entries(&mut self, buffer: &mut [MaybeUninit<u8>], options: WalkOptions, visitor: &mut V) {
        let Some(mut state) = self.state.take() else { return };
        let fd: &OwnedFd = &self.dir.fd;
        let mut raw = RawDir::new(fd, buffer);
        loop {
            // The buffer must be emptied first: the kernel's position is after its last entry.
            if raw.is_buffer_empty() && self.names.len() >= MAX_NAMES_SIZE {
                self.state = Some(state);
                return;
            }
            let entry = match raw.next() {
                None => break,
                // A directory that was removed while it is read ends early.
                Some(Err(Errno::NOENT)) => {
                    visitor.count_vanished();
                    break;
                }
                Some(Err(e)) => {
                    visitor.report_error(&self.dir, c"", None, e);
                    break;
                }
                Some(Ok(entry)) => entry,
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if entry.file_type() == FileType::Directory {
                self.names.extend_from_slice(name.to_bytes_with_nul());
                continue;
            }
            match stat_entry(fd, name) {
                // It was replaced since, or the file system does not report types (readdir(3), DT_UNKNOWN).
                Ok(st) if file_type(&st) == FileType::Directory => {
                    self.names.extend_from_slice(name.to_bytes_with_nul());
                }
                Ok(st) if !options.cross_mounts && is_mounted(&self.dir.st, &st) => {
                    visitor.visit_mounted_file(&self.dir, &mut state, name, &st);
                }
                Ok(st) => visitor.visit_file(&self.dir, &mut state, name, &st),
                Err(Errno::NOENT) => visitor.count_vanished(),
                Err(e) => visitor.report_error(&self.dir, name, None, e),
            }
        }
        visitor.visit_directory(&self.dir, state);
    }
}

fn open_child(parent: &Arc<TreeNode>, name: &CStr, fd: OwnedFd, st: rustix::fs::Statx) -> OpenDirectory {
    let node = parent.new_child(name.to_bytes(), &fd, &st);
    OpenDirectory { fd: Arc::new(fd), node, st }
}
