//! Which senders are alive, by the kernel's word: a descriptor per process, which becomes readable when it ends.
//!
//! A descriptor stays with its process, so a pid that is used again is never taken for the one before.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::task::AbortHandle;

use crate::registry::Now;

/// The senders that were identified and have not ended.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<BTreeMap<i32, Known>>);

/// A sender that was identified.
#[derive(Debug)]
struct Known {
    /// Absent where the kernel or the descriptor limit does not allow one.
    pidfd: Option<Arc<OwnedFd>>,
    /// Its pids in every name space, once somebody wanted to know.
    pids: Option<Arc<[i32]>>,
    heard: Now,
    /// Waits for its end.
    waiter: Option<AbortHandle>,
}

/// What a lookup says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Known and alive.
    Alive,
    /// Known, and has ended.
    Ended,
    Unknown,
}

impl Watch {
    /// Looks a sender up and notes that it was heard.
    pub(crate) fn lookup(&self, now: Now, host_pid: i32) -> Lookup {
        let mut known = self.lock();
        let Some(entry) = known.get_mut(&host_pid) else { return Lookup::Unknown };
        if entry.pidfd.as_ref().is_some_and(has_ended) {
            return Lookup::Ended;
        }
        entry.heard = now;
        Lookup::Alive
    }

    /// Adds a sender. `waiter` is stopped when it is removed.
    pub(crate) fn insert(
        &self,
        now: Now,
        host_pid: i32,
        pidfd: Option<Arc<OwnedFd>>,
        waiter: Option<AbortHandle>,
    ) {
        self.lock().insert(host_pid, Known { pidfd, pids: None, heard: now, waiter });
    }

    /// The pids of a sender, if they were noted.
    pub(crate) fn pids(&self, host_pid: i32) -> Option<Arc<[i32]>> {
        self.lock().get(&host_pid).and_then(|k| k.pids.clone())
    }

    /// Notes the pids of a sender, which were read while it was alive: it must still be.
    pub(crate) fn note_pids(&self, host_pid: i32, pids: Arc<[i32]>) {
        if let Some(entry) = self.lock().get_mut(&host_pid)
            && !entry.pidfd.as_ref().is_some_and(has_ended)
        {
            entry.pids = Some(pids);
        }
    }

    /// Removes a sender.
    pub(crate) fn remove(&self, host_pid: i32) {
        self.lock().remove(&host_pid);
    }

    /// Whether this very descriptor is the one that is watched.
    pub(crate) fn is_watched(&self, host_pid: i32, pidfd: &Arc<OwnedFd>) -> bool {
        let known = self.lock();
        known.get(&host_pid).and_then(|k| k.pidfd.as_ref()).is_some_and(|fd| Arc::ptr_eq(fd, pidfd))
    }

    /// How many are watched.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Keeps those of which `keep` says so, given the pid and when it was last heard.
    pub(crate) fn retain(&self, keep: impl Fn(i32, Now) -> bool) {
        self.lock().retain(|pid, k| keep(*pid, k.heard));
    }

    /// Every sender that has ended and was not removed yet.
    pub(crate) fn dead(&self) -> Vec<i32> {
        let known = self.lock();
        let watched: Vec<(i32, &Arc<OwnedFd>)> =
            known.iter().filter_map(|(pid, k)| k.pidfd.as_ref().map(|fd| (*pid, fd))).collect();
        let mut fds: Vec<PollFd<'_>> =
            watched.iter().map(|(_, fd)| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)).collect();
        if !matches!(poll(&mut fds, Some(&Timespec::default())), Ok(n) if n > 0) {
            return Vec::new();
        }
        let ended = |fd: &PollFd<'_>| !fd.revents().is_empty();
        watched.iter().zip(&fds).filter(|(_, fd)| ended(fd)).map(|((pid, _), _)| *pid).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        if let Some(waiter) = &self.waiter {
            waiter.abort();
        }
    }
}

/// Opens a descriptor for a process.
///
/// # Errors
/// `ESRCH` when it has ended and was waited for; others when there can be none.
pub(crate) fn open(host_pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(host_pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Whether the process has ended.
pub(crate) fn has_ended(pidfd: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec::default())), Ok(n) if n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_that_ended_is_dead_before_anybody_waits_for_it() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let watch = Watch::default();
        watch.insert(Now::ZERO, pid, Some(Arc::new(open(pid).unwrap())), None);
        assert_eq!(watch.dead(), [0; 0]);
        assert_eq!(watch.lookup(Now::ZERO, pid), Lookup::Alive);
        child.kill().unwrap();
        while watch.dead().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(watch.dead(), [pid]);
        assert_eq!(watch.lookup(Now::ZERO, pid), Lookup::Ended);
        child.wait().unwrap();
        assert!(open(pid).is_err());
    }
}
