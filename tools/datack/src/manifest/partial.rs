//! The digests of an interrupted run: a file beside the manifest, used again where size, inode and times are unchanged.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use common::finding::hex;
use common::policy::Class;
use rustix::fs::{self as rfs, FlockOperation};
use rustix::io::Errno;

use super::lister::ListedFile;
use super::{HashedFile, HashedFileStamp, symlink_flags, text};

/// Lines are written together when they cover this many bytes or are this many: a killed run hashes at most that much
/// again.
const FLUSH_BYTES: u64 = 16 << 20;
const FLUSH_LINES: usize = 1024;

/// The first line of a record. A file without it is not one.
const HEADER: &[u8] = b"# datack: files of a manifest that is being made\n";

/// The digests of an earlier run.
#[derive(Debug, Default)]
pub(crate) struct KnownDigests(HashMap<PathBuf, HashedFile>);

impl KnownDigests {
    /// The digest of a file that has not changed since it was hashed.
    pub(crate) fn unchanged_digest(&self, file: &ListedFile) -> Option<HashedFile> {
        if self.0.is_empty() {
            return None;
        }
        let digest = self.0.get(&file.path)?;
        let now = rfs::statat(&file.dir, &file.name, symlink_flags(file.follow)).ok()?;
        let regular = rfs::FileType::from_raw_mode(now.st_mode) == rfs::FileType::RegularFile;
        (regular && HashedFileStamp::of(&now) == digest.stamp).then(|| digest.clone())
    }
}

/// The record of digests while a manifest is created.
#[derive(Debug)]
pub(crate) struct PartialManifest {
    path: PathBuf,
    file: File,
    waiting: Vec<u8>,
    /// Lines that wait, and bytes in their files.
    lines: usize,
    bytes: u64,
}

/// Where the record of a manifest is.
pub(crate) fn partial_path(manifest: &Path) -> PathBuf {
    let mut name = manifest.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

impl PartialManifest {
    /// Opens the record beside `manifest`. With `resume` its digests are returned, otherwise it is emptied. It is an error
    /// if the file is not a record, or if another process is writing it.
    pub(crate) fn open(manifest: &Path, resume: bool) -> io::Result<(Self, KnownDigests)> {
        let path = partial_path(manifest);
        let mut file = common::fsat::open_append(&path, Class::DataFile.max())?;
        rfs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|e| match e {
            Errno::WOULDBLOCK => io::Error::other("another datack process is writing it"),
            e => e.into(),
        })?;
        let known = read_partial(&path)?;
        if !resume || known.is_empty() {
            file.set_len(0)?;
            file.write_all(HEADER)?;
        }
        let known = KnownDigests(if resume { known } else { HashMap::new() });
        Ok((Self { path, file, waiting: Vec::new(), lines: 0, bytes: 0 }, known))
    }

    /// Adds a digest.
    pub(crate) fn add_digest(&mut self, path: &Path, d: &HashedFile) -> io::Result<()> {
        let [a, b, c, e] = d.stamp.times;
        write!(self.waiting, "{} {} {a} {b} {c} {e} ", d.stamp.size, d.stamp.inode)?;
        text::write_line(&mut self.waiting, path, &d.sha256)?;
        self.lines += 1;
        self.bytes += d.stamp.size;
        if self.lines >= FLUSH_LINES || self.bytes >= FLUSH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes the buffered lines.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.waiting)?;
        self.waiting.clear();
        (self.lines, self.bytes) = (0, 0);
        Ok(())
    }

    /// Deletes the record, after the manifest is complete.
    pub(crate) fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

/// Reads a record. Truncated and malformed lines are ignored: their files are hashed again.
fn read_partial(path: &Path) -> io::Result<HashMap<PathBuf, HashedFile>> {
    let (file, meta) = common::fsat::open_regular(path)?;
    common::fsat::require_trusted(&meta).map_err(io::Error::other)?;
    let mut file = BufReader::new(file);
    let mut first = Vec::new();
    file.by_ref().take(HEADER.len() as u64).read_to_end(&mut first)?;
    // A run that was killed early may have left only a part of the header.
    if !HEADER.starts_with(&first) {
        return Err(io::Error::other("exists and is not a record of an interrupted run; move it away"));
    }
    Ok(file.split(b'\n').map_while(Result::ok).filter_map(|line| parse_entry(&line)).collect())
}

fn parse_entry(line: &[u8]) -> Option<(PathBuf, HashedFile)> {
    let mut fields = line.splitn(7, |&b| b == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse::<i64>().ok();
    let (size, inode) = (number()?, number()?);
    let times = [number()?, number()?, number()?, number()?];
    let entry = text::parse_line(fields.next()?).ok()??;
    let stamp = HashedFileStamp { size: u64::try_from(size).ok()?, inode: u64::try_from(inode).ok()?, times };
    debug_assert_eq!(hex(&entry.sha256).len(), 64);
    Some((entry.path, HashedFile { sha256: entry.sha256, stamp }))
}
