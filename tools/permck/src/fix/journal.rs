//! The record of a fix: a line before each change, and one after it. What stands in the file is whole.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use common::policy::Class;
use common::record::permck::PermissionChange;
use rustix::fs::{self as rfs, FlockOperation};
use rustix::io::Errno;

/// Longest line that is written, and that is read again: a path and some numbers.
pub(crate) const LINE: u64 = 1 << 20;

/// An open record.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    /// Where the last whole line ends.
    length: u64,
}

impl Journal {
    /// Opens a record, new or old; nobody else may be writing it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // `permck undo` believes it, so it is kept as tight as a key.
        let file = common::fsat::open_append(path, Class::KeyFile.max())?;
        rfs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|e| match e {
            Errno::WOULDBLOCK => io::Error::other("another permck is writing it"),
            e => e.into(),
        })?;
        // Nor would it undo what others could have written down.
        let meta = file.metadata()?;
        crate::trusted(&meta).map_err(|e| io::Error::other(e.to_string()))?;
        let length = meta.len();
        if length > 0 && !is_record(path)? {
            return Err(io::Error::other("is there, and no record of changes: name another file"));
        }
        if length > 0 && !ends_whole(path, length)? {
            return Err(io::Error::other("its last line is cut short: name another file"));
        }
        Ok(Self { file, length })
    }

    /// Where it ends now.
    pub(super) fn end_offset(&self) -> u64 {
        self.length
    }

    /// Writes a line, all of it or nothing. It is in the system's hands then: a killed run loses no line.
    pub(super) fn append_change(&mut self, change: &PermissionChange) -> io::Result<()> {
        let mut bytes = Vec::new();
        common::record::write(&mut bytes, change)?;
        if bytes.len() as u64 >= LINE {
            return Err(io::Error::new(
                io::ErrorKind::InvalidFilename,
                "its path is too long to be put back",
            ));
        }
        if let Err(e) = self.file.write_all(&bytes) {
            self.truncate_to(self.length)?;
            return Err(e);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Takes back what stands behind this.
    pub(super) fn truncate_to(&mut self, end: u64) -> io::Result<()> {
        self.file.set_len(end)?;
        self.length = end;
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// What does not begin with a change, `permck undo` would not read either.
fn is_record(path: &Path) -> io::Result<bool> {
    let (file, _) = common::fsat::open_regular(path)?;
    let mut line = Vec::new();
    BufReader::new(file.take(LINE)).read_until(b'\n', &mut line)?;
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

/// Where changes are written down when the user names no place.
pub(crate) fn default_path(now: time::OffsetDateTime) -> PathBuf {
    let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let stamp = now.format(&format).unwrap_or_else(|_| "now".into());
    PathBuf::from(format!("permck-fix-{stamp}.jsonl"))
}
