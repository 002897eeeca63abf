//! Sleeping until something happens in a directory, or long enough.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

/// After news, others usually follow: they are taken together.
const GATHER: Duration = Duration::from_millis(20);
/// How often to look where the system gives no notifications.
const BLIND: Duration = Duration::from_millis(250);

/// Notifications about directories.
pub(super) struct Watch {
    inotify: Option<OwnedFd>,
    followed: HashSet<PathBuf>,
}

impl Watch {
    /// Starts without directories. A system that is out of notifications is looked at more often instead.
    pub(super) fn new() -> Self {
        Self { inotify: init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok(), followed: HashSet::new() }
    }

    /// Adds directories; for one that does not exist yet, the closest one above it.
    pub(super) fn follow(&mut self, directories: &[PathBuf]) {
        let Some(inotify) = &self.inotify else { return };
        for directory in directories {
            let Some(existing) = directory.ancestors().find(|d| d.is_dir()).map(Path::to_owned) else {
                continue;
            };
            if self.followed.contains(&existing) {
                continue;
            }
            let events =
                WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR;
            if add_watch(inotify, &existing, events).is_ok() {
                self.followed.insert(existing);
            }
        }
    }

    /// Returns when something has happened, or at the latest after `most`.
    pub(super) fn pause(&self, most: Duration) {
        let Some(inotify) = self.inotify.as_ref().filter(|_| !self.followed.is_empty()) else {
            std::thread::sleep(most.min(BLIND));
            return;
        };
        let timeout = Timespec {
            tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(most.subsec_nanos()),
        };
        let mut fds = [PollFd::new(inotify, PollFlags::IN)];
        if matches!(poll(&mut fds, Some(&timeout)), Ok(n) if n > 0) {
            std::thread::sleep(GATHER.min(most));
            // What happened does not matter: everything is looked at anyway.
            let mut events = [0; 4096];
            while matches!(rustix::io::read(inotify, &mut events), Ok(n) if n > 0) {}
        }
    }
}
