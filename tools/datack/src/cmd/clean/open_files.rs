//! Knows which files are being written, and which were opened since it looked.
//!
//! A look through /proc takes too long for each file of a million, and what it tells is old at once. So files are
//! watched first, some at a time, and then looked for: who opened one before is seen by the look, who opens one
//! later by the watch.

use std::collections::{HashMap, HashSet};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::out::Diag;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::candidates::{Candidate, CandidateList};
use super::remove;
use common::writers::FileWriters;

/// Files watched at a time: far fewer than the system allows, enough to make a look through /proc cheap.
pub(super) const BATCH: usize = 512;

/// How long a look is believed where a file cannot be watched.
const FRESH: Duration = Duration::from_millis(20);

/// Device and inode.
type FileId = (u64, u64);

pub(super) struct OpenFileGuard {
    writers: FileWriters,
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
            let n = writers.hidden;
            diag.info(
                "clean",
                format_args!("the open files of {n} processes cannot be seen; --idle guards theirs"),
            );
        }
        let (watched, opened) = (HashMap::new(), HashSet::new());
        Self { writers, at: Instant::now(), watch: None, watched, opened, lost: false }
    }

    /// Watches these files and no others, and then looks who writes them.
    pub(super) fn watch_files(&mut self, roots: &[PathBuf], candidates: &CandidateList, files: &[Candidate]) {
        self.watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        self.watched.clear();
        self.opened.clear();
        self.lost = false;
        for file in files {
            let Some(watch) = &self.watch else { break };
            // One that cannot be watched is looked for again when it is its turn.
            if let Some(path) = remove::open_proc_path(&roots[candidates.root_index(file)], candidates, file)
                && let Ok(wd) =
                    inotify::add_watch(watch, path.as_path(), WatchFlags::OPEN | WatchFlags::DONT_FOLLOW)
            {
                self.watched.insert((file.device, file.inode), wd);
            }
        }
        self.scan_writers();
    }

    /// Why a file was not to be deleted when processes were last looked at.
    pub(super) fn known_writer(&self, file: &Candidate) -> Option<&'static str> {
        self.writers.has_file(file.device, file.inode).then_some("it is open for writing")
    }

    /// Why a file is not to be deleted now.
    pub(super) fn current_user(&mut self, file: &Candidate) -> Option<&'static str> {
        let id = (file.device, file.inode);
        let watched = self.watched.get(&id).copied();
        if watched.is_none() && self.at.elapsed() > FRESH {
            self.scan_writers();
        }
        if let Some(why) = self.known_writer(file) {
            return Some(why);
        }
        self.read_events();
        let opened = watched.is_some_and(|wd| self.lost || self.opened.contains(&wd));
        opened.then_some("it was opened a moment ago")
    }

    fn scan_writers(&mut self) {
        self.writers = FileWriters::scan_processes();
        self.at = Instant::now();
    }

    fn read_events(&mut self) {
        let Some(watch) = &self.watch else { return };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(watch, &mut buffer);
        loop {
            match events.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => self.lost = true,
                // Also that a watch has ended, with the file.
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
