//! Files that are written one after the other: a file that is large or old is closed, and the oldest are removed when there
//! are too many.
//!
//! A file has mode 0640 while it is written, and 0440 after. It holds complete records only: the rest of a failed write is
//! cut off. Nothing is written while less than the configured space is free on the disk. The writer holds a lock on the
//! open file (flock(2)), so that a file whose writer has died is told from one that is written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use common::policy::{Class, Mode};
use rustix::fs::FlockOperation;
use time::OffsetDateTime;
use time::macros::format_description;

use super::SinkAccount;
use crate::plan::metrics::RotationPlan;

/// Maximum number of names that are tried for a new file.
const MAX_NAMES: u64 = 1_000_000;

/// The files of one sink in one directory.
pub(super) struct RotatedFiles {
    dir: PathBuf,
    naming: FileNaming,
    rotation: RotationPlan,
    /// Number of names that were tried.
    number: u64,
    open: Option<OpenMetricFile>,
    account: SinkAccount,
    /// Returns the free bytes of a file system; replaced in tests.
    free: fn(&Path) -> io::Result<u64>,
    /// Gives a complete file its final mode; replaced in tests.
    archive: fn(&File) -> io::Result<()>,
}

/// How files are named. Numbers begin with 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileNaming {
    /// `<kind>-<start>-<pid>-<number><suffix>`, with `metrics` or `samples` as the kind.
    Numbered { kind: &'static str, stem: String, suffix: &'static str },
    /// `tfevents.pb`, the name that msMonitor b942bf5 uses; further ones `tfevents.pb.<number>`. TensorBoard reads them in
    /// the order of their names.
    Events,
    /// `msmonitor_<pid>_<time>_-1.db`, as the process side of msMonitor b942bf5 names its databases.
    Database,
}

/// The file that is written.
struct OpenMetricFile {
    file: File,
    bytes: u64,
    created: Instant,
}

/// A file that was closed.
struct ClosedFile {
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

impl FileNaming {
    /// The names of files of text or of one run of the daemon, which begins now.
    pub(super) fn numbered(suffix: &'static str) -> Self {
        Self::numbered_of("metrics", suffix)
    }

    /// The names of the files of samples, where those have files of their own.
    pub(super) fn samples(suffix: &'static str) -> Self {
        Self::numbered_of("samples", suffix)
    }

    fn numbered_of(kind: &'static str, suffix: &'static str) -> Self {
        let stamp = format_description!("[year][month][day]T[hour][minute][second]Z");
        let start = OffsetDateTime::now_utc().format(stamp).unwrap_or_default();
        Self::Numbered { kind, stem: format!("{kind}-{start}-{}", std::process::id()), suffix }
    }

    /// Returns the name of the file with a number from 1.
    fn name(&self, number: u64) -> String {
        match self {
            Self::Numbered { stem, suffix, .. } => format!("{stem}-{number:04}{suffix}"),
            Self::Events if number == 1 => "tfevents.pb".to_owned(),
            Self::Events => format!("tfevents.pb.{number:06}"),
            Self::Database => {
                let stamp =
                    format_description!("[year][month][day][hour][minute][second][subsecond digits:3]");
                let now = OffsetDateTime::now_utc().format(stamp).unwrap_or_default();
                format!("msmonitor_{}_{now}_-1.db", std::process::id())
            }
        }
    }

    /// Returns the highest number among the files of earlier runs, where the order of names matters; else 0.
    fn last_number(&self, dir: &Path) -> u64 {
        let number = |name: &str| match name.strip_prefix("tfevents.pb") {
            Some("") => Some(1),
            Some(rest) => rest.strip_prefix('.')?.parse().ok(),
            None => None,
        };
        if *self != Self::Events {
            return 0;
        }
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter_map(|e| number(e.file_name().to_str()?)).max().unwrap_or(0)
    }

    /// Returns whether a file of this name is one of these, of any run.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Numbered { kind, suffix, .. } => {
                let rest = name.strip_prefix(kind);
                rest.is_some_and(|rest| rest.starts_with('-') && rest.ends_with(suffix))
            }
            Self::Events => name == "tfevents.pb" || name.starts_with("tfevents.pb."),
            Self::Database => name.starts_with("msmonitor_") && name.ends_with("_-1.db"),
        }
    }
}

impl RotatedFiles {
    pub(super) fn new(
        dir: PathBuf,
        naming: FileNaming,
        rotation: RotationPlan,
        account: SinkAccount,
    ) -> Self {
        let number = naming.last_number(&dir);
        Self { dir, naming, rotation, number, open: None, account, free: free_bytes, archive: archive_file }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends complete records to the open file, and opens or closes files as needed. A new file begins with `header`.
    ///
    /// # Errors
    /// Nothing was written.
    pub(super) fn append(&mut self, records: &[u8], header: &[u8]) -> io::Result<()> {
        self.check_free_space(records.len() as u64)?;
        let mut open_file = match self.open.take() {
            Some(open_file) => open_file,
            None => {
                let (file, _) = self.create_file()?;
                OpenMetricFile { file, bytes: 0, created: Instant::now() }
            }
        };
        let header = if open_file.bytes == 0 { header } else { &[] };
        let written = open_file.file.write_all(header).and_then(|()| open_file.file.write_all(records));
        match written {
            Ok(()) => open_file.bytes += (header.len() + records.len()) as u64,
            // Readers expect complete records.
            Err(_) => open_file.file.set_len(open_file.bytes)?,
        }
        if open_file.bytes >= self.rotation.file_bytes {
            self.close_file(&open_file.file);
        } else {
            self.open = Some(open_file);
        }
        written
    }

    /// Appends records as [`Self::append`] does, and closes each file with the record that fills it. `ends` are the ends of
    /// the records in the text.
    ///
    /// # Errors
    /// The number of records that were written before the error, and the error.
    pub(super) fn append_each(
        &mut self,
        records: &[u8],
        ends: &[usize],
        header: &[u8],
    ) -> Result<(), (usize, io::Error)> {
        let (mut written, mut from) = (0, 0);
        while written < ends.len() {
            let used = self.open.as_ref().map_or(0, |open_file| open_file.bytes);
            let used = if used == 0 { header.len() as u64 } else { used };
            let room = self.rotation.file_bytes.saturating_sub(used);
            let fitting = ends[written..].partition_point(|end| ((end - from) as u64) < room);
            let last = (written + fitting).min(ends.len() - 1);
            let to = ends[last];
            self.append(&records[from..to], header).map_err(|e| (written, e))?;
            (written, from) = (last + 1, to);
        }
        Ok(())
    }

    /// Closes the open file if it is old.
    pub(super) fn close_old_file(&mut self) {
        let is_old =
            |f: &OpenMetricFile| self.rotation.file_age.is_some_and(|age| f.created.elapsed() >= age);
        if self.open.as_ref().is_some_and(is_old) {
            self.close_open_file();
        }
    }

    /// Checks that a write leaves the reserve of the disk free.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn check_free_space(&self, bytes: u64) -> io::Result<()> {
        let (free, reserve) = ((self.free)(&self.dir)?, self.rotation.reserve_bytes);
        if free < reserve.saturating_add(bytes) {
            let why =
                format!("{free} bytes are free, of which {reserve} are reserved (--metric-disk-reserve)");
            return Err(io::Error::other(why));
        }
        Ok(())
    }

    /// Creates and locks the next file, and removes the oldest ones for it. An existing one, of an earlier daemon, is
    /// skipped.
    pub(super) fn create_file(&mut self) -> io::Result<(File, PathBuf)> {
        self.remove_oldest_files();
        let Mode(mode) = Class::LogRecording.max();
        for _ in 0..MAX_NAMES {
            self.number += 1;
            let path = self.dir.join(self.naming.name(self.number));
            let mut options = OpenOptions::new();
            options.append(true).create_new(true).mode(mode);
            match options.open(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                file => {
                    let file = file?;
                    // A file system without locks keeps the file open for a later daemon only.
                    let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
                    return Ok((file, path));
                }
            }
        }
        Err(io::Error::other("every name for a new file is taken"))
    }

    /// Gives a complete file its final mode. An error is logged only: the metrics are written.
    pub(super) fn close_file(&self, file: &File) {
        if let Err(e) = (self.archive)(file) {
            self.account.warn(
                "metric archive",
                self.dir.display(),
                format_args!("cannot archive a metric file: {e}"),
            );
        }
    }

    fn close_open_file(&mut self) {
        if let Some(open_file) = self.open.take() {
            self.close_file(&open_file.file);
        }
    }

    /// Removes closed files, the oldest first, until a new one fits.
    fn remove_oldest_files(&self) {
        let RotationPlan { max_files, total_bytes, file_bytes, .. } = self.rotation;
        if max_files.is_none() && total_bytes.is_none() {
            return;
        }
        let mut closed = list_closed_files(&self.dir, &self.naming);
        closed.sort_by(|a, b| (b.modified, &b.path).cmp(&(a.modified, &a.path)));
        let mut total: u64 = closed.iter().map(|f| f.bytes).sum();
        while let Some(oldest) = closed.last() {
            let too_many = max_files.is_some_and(|max| closed.len() >= max);
            let too_large = total_bytes.is_some_and(|max| total.saturating_add(file_bytes) > max);
            if !(too_many || too_large) {
                break;
            }
            if let Err(e) = fs::remove_file(&oldest.path) {
                let reason = format!("cannot remove an old metric file: {e}");
                return self.account.warn("metric retention", oldest.path.display(), reason);
            }
            total -= oldest.bytes;
            closed.pop();
        }
    }
}

impl Drop for RotatedFiles {
    fn drop(&mut self) {
        self.close_open_file();
    }
}

/// Lists the regular files of this user in a directory that have one of the names and are not written any more.
fn list_closed_files(dir: &Path, naming: &FileNaming) -> Vec<ClosedFile> {
    let own = rustix::process::geteuid().as_raw();
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let closed = entries.filter_map(|entry| {
        let meta =
            entry.metadata().ok().filter(|m| m.is_file() && m.uid() == own && m.mode() & 0o200 == 0)?;
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| naming.matches(name));
        is_ours.then_some(ClosedFile {
            path: entry.path(),
            bytes: meta.len(),
            modified: meta.modified().ok()?,
        })
    });
    closed.collect()
}

/// Gives a complete file its final mode, and writes it to the disk.
pub(super) fn archive_file(file: &File) -> io::Result<()> {
    let Mode(mode) = Class::LogArchived.max();
    rustix::fs::fchmod(file.as_fd(), rustix::fs::Mode::from_raw_mode(mode))?;
    file.sync_all()
}

fn free_bytes(dir: &Path) -> io::Result<u64> {
    let fs = rustix::fs::statvfs(dir)?;
    Ok(fs.f_bavail.saturating_mul(fs.f_frsize))
}

#[cfg(test)]
#[path = "rotated_tests.rs"]
mod tests;
