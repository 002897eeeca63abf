//! Which senders are alive, by the kernel's word: a descriptor per process, which becomes readable when it ends.
//!
//! A descriptor stays with its process, so a pid that is used again is never taken for the one before.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::task::AbortHandle;

use crate::core::registry::Uptime;

/// Ended senders that are looked for at once.
const BURST: usize = 256;

/// The senders that were identified and have not ended.
#[derive(Debug)]
pub(crate) struct ProcessWatch {
    known: Mutex<BTreeMap<i32, WatchedProcess>>,
    /// Watches every descriptor, so that finding the dead costs nothing while all live.
    epoll: Arc<OwnedFd>,
}

/// A sender that was identified.
#[derive(Debug)]
struct WatchedProcess {
    /// Absent where the kernel or the descriptor limit does not allow one.
    pidfd: Option<Arc<OwnedFd>>,
    /// Its pids in every name space, once somebody wanted to know.
    pids: Option<Arc<[i32]>>,
    heard: Uptime,
    /// Waits for its end.
    waiter: Option<AbortHandle>,
    epoll: Arc<OwnedFd>,
}

/// What a lookup says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SenderState {
    /// WatchedProcess and alive.
    Alive,
    /// WatchedProcess, and has ended.
    Ended,
    New,
}

impl ProcessWatch {
    /// # Errors
    /// The system has no room for an event queue.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        Ok(Self { known: Mutex::default(), epoll })
    }

    /// Looks a sender up and notes that it was heard.
    pub(crate) fn find_sender(&self, now: Uptime, host_pid: i32) -> SenderState {
        let mut known = self.lock();
        let Some(entry) = known.get_mut(&host_pid) else { return SenderState::New };
        if entry.pidfd.as_ref().is_some_and(has_ended) {
            return SenderState::Ended;
        }
        entry.heard = now;
        SenderState::Alive
    }

    /// Adds a sender. `waiter` is stopped when it is removed.
    pub(crate) fn insert(
        &self,
        now: Uptime,
        host_pid: i32,
        pidfd: Option<Arc<OwnedFd>>,
        waiter: Option<AbortHandle>,
    ) {
        let epoll = self.epoll.clone();
        let mut known = self.lock();
        // First the old entry goes, then the new one is watched.
        known.remove(&host_pid);
        if let (Some(fd), Ok(pid)) = (&pidfd, u64::try_from(host_pid)) {
            // Without, its waiter still tells its end.
            let _ = epoll::add(&epoll, fd, epoll::EventData::new_u64(pid), epoll::EventFlags::IN);
        }
        known.insert(host_pid, WatchedProcess { pidfd, pids: None, heard: now, waiter, epoll });
    }

    /// The pids of a sender, if they were noted.
    pub(crate) fn namespace_pids(&self, host_pid: i32) -> Option<Arc<[i32]>> {
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

    /// Removes a sender that has ended. False if there is none, or it lives: then the pid is in use again.
    pub(crate) fn remove_ended(&self, host_pid: i32) -> bool {
        let mut known = self.lock();
        let ended = known.get(&host_pid).and_then(|k| k.pidfd.as_ref()).is_some_and(has_ended);
        if ended {
            known.remove(&host_pid);
        }
        ended
    }

    /// Returns whether no process is watched. No process is registered then either.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// How many are watched.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Keeps those of which `keep` says so, given the pid and when it was last heard.
    pub(crate) fn retain_senders(&self, keep: impl Fn(i32, Uptime) -> bool) {
        self.lock().retain(|pid, k| keep(*pid, k.heard));
    }

    /// Senders that have ended and were not removed yet; not all of them, if they are very many.
    pub(crate) fn find_dead(&self) -> Vec<i32> {
        let mut events = Vec::with_capacity(BURST);
        let at_once = Timespec::default();
        if epoll::wait(&*self.epoll, spare_capacity(&mut events), Some(&at_once)).is_err() {
            return Vec::new();
        }
        events.iter().filter_map(|event| i32::try_from(event.data.u64()).ok()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, WatchedProcess>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WatchedProcess {
    fn drop(&mut self) {
        if let Some(waiter) = &self.waiter {
            waiter.abort();
        }
        if let Some(fd) = &self.pidfd {
            let _ = epoll::delete(&*self.epoll, fd);
        }
    }
}

/// Opens a descriptor for a process.
///
/// # Errors
/// `ESRCH` when it has ended and was waited for; others when there can be none.
pub(crate) fn open_pidfd(host_pid: i32) -> io::Result<OwnedFd> {
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
        let watch = ProcessWatch::new().unwrap();
        watch.insert(Uptime::ZERO, pid, Some(Arc::new(open_pidfd(pid).unwrap())), None);
        assert_eq!(watch.find_dead(), [0; 0]);
        assert_eq!(watch.find_sender(Uptime::ZERO, pid), SenderState::Alive);
        child.kill().unwrap();
        while watch.find_dead().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(watch.find_dead(), [pid]);
        assert_eq!(watch.find_sender(Uptime::ZERO, pid), SenderState::Ended);
        child.wait().unwrap();
        assert!(open_pidfd(pid).is_err());
        assert!(watch.remove_ended(pid) && !watch.remove_ended(pid));
        assert_eq!(watch.find_dead(), [0; 0]);
    }

    #[test]
    fn a_pid_that_is_in_use_again_stays() {
        let mut child = Command::new("true").spawn().unwrap();
        let ended = Arc::new(open_pidfd(i32::try_from(child.id()).unwrap()).unwrap());
        child.wait().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let watch = ProcessWatch::new().unwrap();
        watch.insert(Uptime::ZERO, own, Some(ended), None);
        assert_eq!(watch.find_dead(), [own]);
        // The one who has the pid now.
        watch.insert(Uptime::ZERO, own, Some(Arc::new(open_pidfd(own).unwrap())), None);
        assert_eq!(watch.find_dead(), [0; 0]);
        assert!(!watch.remove_ended(own));
        assert_eq!(watch.find_sender(Uptime::ZERO, own), SenderState::Alive);
    }
}
