//! Files that a daemon left open when it died: they get their final mode when the next one starts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::rotated::{FileNaming, archive_file};

/// Maximum length of a line in bytes: a metric of the longest datagram, whose characters may each become six.
const MAX_LINE: u64 = 64 * 1024;

/// How a file is repaired before it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    /// The part of a last line is cut off.
    CutLine,
    /// Nothing: readers of event files skip the part of a last record (TensorBoard 2.20, `event_file_loader.py`).
    Nothing,
    /// The database is opened once, which undoes a transaction that was not committed (SQLite, "Atomic Commit").
    Database,
}

/// Closes the files in a directory that have one of the names, are open for writing by their mode, and that no daemon
/// holds. Returns the names of those that were closed.
///
/// # Errors
/// The first file that cannot be closed; the others are tried nevertheless.
pub(super) fn close_abandoned_files(
    dir: &Path,
    naming: &FileNaming,
    repair: Repair,
) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let own = rustix::process::geteuid().as_raw();
    let (mut closed, mut failure) = (Vec::new(), None);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_open = |m: &fs::Metadata| m.is_file() && m.uid() == own && m.mode() & 0o200 != 0;
        let is_ours = entry.file_name().to_str().is_some_and(|name| naming.matches(name));
        if !is_ours || !entry.metadata().is_ok_and(|meta| is_open(&meta)) {
            continue;
        }
        match close_if_abandoned(&entry.path(), repair) {
            Ok(true) => closed.push(entry.path()),
            Ok(false) => {}
            Err(e) => failure = failure.or(Some((entry.path(), e))),
        }
    }
    failure.map_or(Ok(closed), Err)
}

/// Returns false for a file that another daemon writes.
fn close_if_abandoned(path: &Path, repair: Repair) -> io::Result<bool> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut file = OpenOptions::new().read(true).write(true).custom_flags(no_follow).open(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
        Err(e) => return Err(e.into()),
    }
    match repair {
        Repair::CutLine => cut_partial_line(&mut file)?,
        Repair::Nothing => {}
        Repair::Database => {
            let database = rusqlite::Connection::open(path).map_err(io::Error::other)?;
            let _: i64 = database
                .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
                .map_err(io::Error::other)?;
        }
    }
    archive_file(&file)?;
    Ok(true)
}

fn cut_partial_line(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(MAX_LINE);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.take(MAX_LINE).read_to_end(&mut end)?;
    match end.iter().rposition(|b| *b == b'\n') {
        Some(at) if at + 1 == end.len() => Ok(()),
        Some(at) => file.set_len(start + at as u64 + 1),
        // There is no line at all, or one that no daemon has written.
        None if start == 0 => file.set_len(0),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_of_a_dead_daemon_are_closed_and_those_of_a_living_one_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let create = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            path
        };
        let dead = create("metrics-a-0001.jsonl", "{}\n{\"cu");
        let living = create("metrics-b-0001.jsonl", "{}\n{\"cu");
        let other = create("notes.jsonl", "{}\n{\"cu");
        let lock = File::open(&living).unwrap();
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        let naming = FileNaming::numbered(".jsonl");
        let closed = close_abandoned_files(dir.path(), &naming, Repair::CutLine).unwrap();
        assert_eq!(closed, std::slice::from_ref(&dead));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((fs::read_to_string(&dead).unwrap().as_str(), mode(&dead)), ("{}\n", 0o440));
        assert_eq!((mode(&living), mode(&other)), (0o640, 0o640));
        assert!(fs::read_to_string(&other).unwrap().ends_with("cu"));
        assert!(
            close_abandoned_files(&dir.path().join("gone"), &naming, Repair::CutLine).unwrap().is_empty()
        );
    }
}
