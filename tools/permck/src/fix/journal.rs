//! The record of a fix: a line before each change and a line after it. Lines are written whole.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use common::policy::Class;
use common::record::permck::PermissionChange;
use rustix::fs::{self as rfs, FlockOperation};
use rustix::io::Errno;

/// Maximum length of a line in bytes, when writing and when reading.
pub(crate) const MAX_LINE: u64 = 1 << 20;

/// An open record.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    /// Length of the complete lines, in bytes.
    length: u64,
}

impl Journal {
    /// Opens a new or existing record and locks it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // `permck undo` trusts it, so it gets the mode of a key.
        let file = common::fsat::open_append(path, Class::KeyFile.max())?;
        rfs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|e| match e {
            Errno::WOULDBLOCK => io::Error::other("another permck process is writing it"),
            e => e.into(),
        })?;
        // `permck undo` rejects a record that other users can write.
        let meta = file.metadata()?;
        crate::trusted(&meta).map_err(|e| io::Error::other(e.to_string()))?;
        let length = meta.len();
        if length > 0 && !is_record(path)? {
            return Err(io::Error::other("exists and is not a record of changes; use another file"));
        }
        if length > 0 && !ends_whole(path, length)? {
            return Err(io::Error::other("its last line is truncated; use another file"));
        }
        Ok(Self { file, length })
    }

    /// Returns its length in bytes.
    pub(super) fn end_offset(&self) -> u64 {
        self.length
    }

    /// Appends a line, whole or not at all. A line that was written survives when this process is killed.
    pub(super) fn append_change(&mut self, change: &PermissionChange) -> io::Result<()> {
        let mut bytes = Vec::new();
        common::record::write(&mut bytes, change)?;
        if bytes.len() as u64 >= MAX_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its path is too long to be recorded"));
        }
        if let Err(e) = self.file.write_all(&bytes) {
            self.truncate_to(self.length)?;
            return Err(e);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Removes everything after `end`.
    pub(super) fn truncate_to(&mut self, end: u64) -> io::Result<()> {
        self.file.set_len(end)?;
        self.length = end;
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// Returns whether the file begins with a change, as `permck undo` requires.
fn is_record(path: &Path) -> io::Result<bool> {
    let (file, _) = common::fsat::open_regular(path)?;
    let mut line = Vec::new();
    BufReader::new(file.take(MAX_LINE)).read_until(b'\n', &mut line)?;
    let change =
        std::str::from_utf8(&line).ok().and_then(|l| common::record::read::<PermissionChange>(l).ok());
    Ok(change.flatten().is_some())
}

fn ends_whole(path: &Path, length: u64) -> io::Result<bool> {
    let (file, _) = common::fsat::open_regular(path)?;
    let mut last = [0];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut last, length - 1)?;
    Ok(last == *b"\n")
}

/// Returns the default path of the record.
pub(crate) fn default_path(now: time::OffsetDateTime) -> PathBuf {
    let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let stamp = now.format(&format).unwrap_or_else(|_| "now".into());
    PathBuf::from(format!("permck-fix-{stamp}.jsonl"))
}
