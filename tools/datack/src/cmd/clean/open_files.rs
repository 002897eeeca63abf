//! Finds out which files are open for writing, and which were opened since that was looked up.
//!
//! Scanning /proc takes too long to do it for each of a million files, and its result is outdated at once. So files are
//! watched with inotify(7) in batches before /proc is scanned: the scan finds processes that opened a file before, the
//! watch those that open one later.

use std::collections::{HashMap, HashSet};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::out::Diag;
use common::text::count_noun;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::candidates::{Candidate, CandidateList};
use super::remove;
use common::file_id::FileId;
use common::writers::FileWriters;

/// Files per batch: far below the limit of inotify watches, enough to make a scan of /proc cheap.
pub(super) const BATCH: usize = 512;

/// How long the result of a scan is used for a file that cannot be watched.
const SCAN_LIFETIME: Duration = Duration::from_millis(20);

pub(super) struct OpenFileGuard {
    writers: FileWriters,
    /// Files with a lock.
    locked: HashSet<LockedFile>,
    at: Instant,
    watch: Option<OwnedFd>,
    watched: HashMap<FileId, i32>,
    opened: HashSet<i32>,
    /// Events were lost: anything may have been opened.
    lost: bool,
}

impl OpenFileGuard {
    pub(super) fn new(diag: &Diag) -> Self {
        let writers = FileWriters::scan_processes();
        if writers.hidden > 0 {
            let processes = count_noun(writers.hidden, "process");
            diag.info(
                "clean",
                format_args!("cannot read the open files of {processes}; --idle protects theirs"),
            );
        }
        let (watched, opened) = (HashMap::new(), HashSet::new());
        Self { writers, locked: read_locks(), at: Instant::now(), watch: None, watched, opened, lost: false }
    }

    /// Watches these files instead of the previous ones, and then scans for their writers.
    pub(super) fn watch_files(&mut self, roots: &[PathBuf], candidates: &CandidateList, files: &[Candidate]) {
        self.watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        self.watched.clear();
        self.opened.clear();
        self.lost = false;
        for file in files {
            let Some(watch) = &self.watch else { break };
            // For a file that cannot be watched, /proc is scanned again before it is deleted.
            let root = &roots[candidates.root_index(file)];
            let Some(path) = remove::open_proc_path(root, candidates, file) else { continue };
            let flags = WatchFlags::OPEN | WatchFlags::DONT_FOLLOW;
            if let Ok(wd) = inotify::add_watch(watch, path.as_path(), flags) {
                self.watched.insert(file.id, wd);
            }
        }
        self.scan_writers();
    }

    /// Returns whether the last scan found a writer of the file, as a reason to keep it.
    pub(super) fn reason_by_last_scan(&self, file: &Candidate) -> Option<&'static str> {
        let locked = self.locked.contains(&LockedFile::of(file.id));
        let writing = self.writers.has_file(file.id).then_some("it is open for writing");
        writing.or(locked.then_some("it is locked"))
    }

    /// Returns whether the file is in use now, as a reason to keep it.
    pub(super) fn reason_to_keep(&mut self, file: &Candidate) -> Option<&'static str> {
        let id = file.id;
        let watched = self.watched.get(&id).copied();
        if watched.is_none() && self.at.elapsed() > SCAN_LIFETIME {
            self.scan_writers();
        }
        if let Some(why) = self.reason_by_last_scan(file) {
            return Some(why);
        }
        self.read_events();
        let opened = watched.is_some_and(|wd| self.lost || self.opened.contains(&wd));
        opened.then_some("it was opened during the run")
    }

    fn scan_writers(&mut self) {
        self.writers = FileWriters::scan_processes();
        self.locked = read_locks();
        self.at = Instant::now();
    }

    fn read_events(&mut self) {
        let Some(watch) = &self.watch else { return };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(watch, &mut buffer);
        loop {
            match events.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => self.lost = true,
                // Includes the end of a watch, when the file is deleted.
                Ok(event) => drop(self.opened.insert(event.wd())),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return,
                Err(_) => {
                    self.lost = true;
                    return;
                }
            }
        }
    }
}

/// A file as `/proc/locks` names it: its device by major and minor number, and its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct LockedFile {
    major: u32,
    minor: u32,
    inode: u64,
}

impl LockedFile {
    fn of(id: FileId) -> Self {
        Self { major: rustix::fs::major(id.device), minor: rustix::fs::minor(id.device), inode: id.inode }
    }

    /// Parses a line: `1: POSIX  ADVISORY  WRITE 708 08:01:393254 0 EOF` (proc_locks(5)). A line of a process that waits
    /// has an arrow before the type.
    fn parse(line: &str) -> Option<Self> {
        let place = line.split_whitespace().find(|field| field.matches(':').count() == 2)?;
        let mut fields = place.split(':');
        let mut hex = || u32::from_str_radix(fields.next()?, 16).ok();
        let (major, minor) = (hex()?, hex()?);
        Some(Self { major, minor, inode: fields.next()?.parse().ok()? })
    }
}

/// Reads the locks of all processes.
fn read_locks() -> HashSet<LockedFile> {
    let text = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    text.lines().filter_map(LockedFile::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_name_files_by_device_and_inode() {
        let file = LockedFile { major: 8, minor: 0x1a, inode: 393_254 };
        for line in [
            "1: POSIX  ADVISORY  WRITE 708 08:1a:393254 0 EOF",
            "12: FLOCK ADVISORY READ -1 08:1a:393254 0 EOF",
            "12: -> FLOCK ADVISORY READ -1 08:1a:393254 0 EOF",
        ] {
            assert_eq!(LockedFile::parse(line), Some(file));
        }
        assert_eq!(LockedFile::parse("1: POSIX"), None);
    }
}
