//! Waiting for changes in directories with inotify(7), or for a timeout.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

/// Time to collect further events after the first one.
const GATHER_TIME: Duration = Duration::from_millis(20);

/// How often to check without a notification, and without inotify.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const NO_INOTIFY_INTERVAL: Duration = Duration::from_millis(250);

/// Watches directories for changes.
pub(super) struct DirectoryWatch {
    inotify: Option<OwnedFd>,
    watched: HashSet<PathBuf>,
}

impl DirectoryWatch {
    /// Creates a watch without directories. If inotify is not available, for example because the limit of instances is
    /// reached, [`Self::poll_interval`] is short instead.
    pub(super) fn new() -> Self {
        Self { inotify: init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok(), watched: HashSet::new() }
    }

    /// Adds directories; for one that does not exist, its closest existing ancestor.
    pub(super) fn add_directories(&mut self, directories: &[PathBuf]) {
        let Some(inotify) = &self.inotify else { return };
        for directory in directories {
            let Some(existing) = directory.ancestors().find(|d| d.is_dir()).map(Path::to_owned) else {
                continue;
            };
            if self.watched.contains(&existing) {
                continue;
            }
            let events =
                WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR;
            if add_watch(inotify, &existing, events).is_ok() {
                self.watched.insert(existing);
            }
        }
    }

    /// Returns how often the directories must be checked without a notification.
    pub(super) fn poll_interval(&self) -> Duration {
        if self.watching().is_some() { POLL_INTERVAL } else { NO_INOTIFY_INTERVAL }
    }

    fn watching(&self) -> Option<&OwnedFd> {
        self.inotify.as_ref().filter(|_| !self.watched.is_empty())
    }

    /// Waits until something has changed, at the latest for `limit`. Returns whether something may have.
    pub(super) fn wait_for_change(&self, limit: Duration) -> bool {
        let Some(inotify) = self.watching() else {
            std::thread::sleep(limit);
            return false;
        };
        let timeout = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        let mut fds = [PollFd::new(inotify, PollFlags::IN)];
        if matches!(poll(&mut fds, Some(&timeout)), Ok(n) if n > 0) {
            std::thread::sleep(GATHER_TIME.min(limit));
            // The events themselves do not matter: all traces are checked after any of them.
            let mut events = [0; 4096];
            while matches!(rustix::io::read(inotify, &mut events), Ok(n) if n > 0) {}
            return true;
        }
        false
    }
}
