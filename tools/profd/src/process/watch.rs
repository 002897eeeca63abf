//! The senders that are alive: a pidfd for each, which becomes readable when its process ends (pidfd_open(2)).
//!
//! A pidfd stays with its process, so a reused pid is never taken for the process that had it before.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::task::AbortHandle;

use crate::core::registry::process_facts::ProcessFacts;
use crate::core::registry::{SenderId, Uptime};
use crate::core::user_shares::{NoRoom, UserShares};

/// Maximum number of ended senders that one look returns.
const MAX_EVENTS: usize = 256;

/// The identified senders that have not ended.
#[derive(Debug)]
pub(crate) struct ProcessWatch {
    known: Mutex<KnownSenders>,
    /// Maximum number of pidfds: the other descriptors are for clients.
    max_pidfds: usize,
    /// Watches every pidfd, so that a look for ended senders is one system call.
    epoll: Arc<OwnedFd>,
}

#[derive(Debug)]
struct KnownSenders {
    processes: BTreeMap<i32, WatchedProcess>,
    shares: UserShares,
    /// Number of those that have a pidfd.
    pidfds: usize,
}

/// An identified sender.
#[derive(Debug)]
struct WatchedProcess {
    account: u32,
    /// `None` if the kernel or the limit on descriptors does not allow one.
    pidfd: Option<Arc<OwnedFd>>,
    /// Its pids in all namespaces, once they were read.
    pids: Option<Arc<[i32]>>,
    /// The facts about it, once they were read.
    facts: Option<Arc<ProcessFacts>>,
    last_message: Uptime,
    /// The task that removes it when it ends.
    reaper: Option<AbortHandle>,
    epoll: Arc<OwnedFd>,
}

/// Limits of the table of senders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WatchLimits {
    pub(crate) max_senders: usize,
    /// Whether several users share the table.
    pub(crate) is_shared: bool,
    pub(crate) max_pidfds: usize,
}

/// The result of [`ProcessWatch::find_sender`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SenderState {
    /// It is watched and alive.
    Alive,
    /// It was watched and has ended.
    Ended,
    /// It is not watched yet.
    New,
}

impl ProcessWatch {
    /// # Errors
    /// The limit on descriptors or on epoll instances is reached.
    pub(crate) fn new(limits: WatchLimits) -> io::Result<Self> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        let shares = UserShares::new(limits.max_senders, limits.is_shared);
        let known = KnownSenders { processes: BTreeMap::new(), shares, pidfds: 0 };
        Ok(Self { known: Mutex::new(known), max_pidfds: limits.max_pidfds, epoll })
    }

    /// Checks whether there is room for one sender more of an account.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(crate) fn check_room(&self, account: u32) -> Result<(), NoRoom> {
        self.lock_senders().shares.check_room(account)
    }

    /// Opens a pidfd, unless there are as many as there may be.
    ///
    /// # Errors
    /// As [`open_pidfd`]; `EMFILE` if there are as many.
    pub(crate) fn open_pidfd(&self, host_pid: i32) -> io::Result<OwnedFd> {
        if self.lock_senders().pidfds >= self.max_pidfds {
            return Err(rustix::io::Errno::MFILE.into());
        }
        open_pidfd(host_pid)
    }

    /// Looks up a sender, and notes the time of its message.
    pub(crate) fn find_sender(&self, now: Uptime, host_pid: i32) -> SenderState {
        let mut known = self.lock_senders();
        let Some(entry) = known.processes.get_mut(&host_pid) else { return SenderState::New };
        if entry.pidfd.as_ref().is_some_and(has_ended) {
            return SenderState::Ended;
        }
        entry.last_message = now;
        SenderState::Alive
    }

    /// Adds a sender, in the place of an ended one with the same pid. `reaper` is aborted when the sender is removed.
    pub(crate) fn insert(
        &self,
        now: Uptime,
        sender: SenderId,
        pidfd: Option<Arc<OwnedFd>>,
        reaper: Option<AbortHandle>,
    ) {
        let (epoll, host_pid) = (self.epoll.clone(), sender.host_pid);
        let mut known = self.lock_senders();
        // Removed first: dropping it later would remove the new descriptor from the epoll instance.
        known.remove(host_pid);
        if let (Some(fd), Ok(pid)) = (&pidfd, u64::try_from(host_pid)) {
            // If this fails, its reaper still removes it.
            let _ = epoll::add(&epoll, fd, epoll::EventData::new_u64(pid), epoll::EventFlags::IN);
        }
        known.shares.add(sender.account);
        known.pidfds += usize::from(pidfd.is_some());
        let account = sender.account;
        let entry =
            WatchedProcess { account, pidfd, pids: None, facts: None, last_message: now, reaper, epoll };
        known.processes.insert(host_pid, entry);
    }

    /// Returns the pids of a sender in all namespaces, if they were noted.
    pub(crate) fn namespace_pids(&self, host_pid: i32) -> Option<Arc<[i32]>> {
        self.lock_senders().processes.get(&host_pid).and_then(|k| k.pids.clone())
    }

    /// Notes the pids of a sender if it is still alive: only then are they certainly its own.
    pub(crate) fn note_pids(&self, host_pid: i32, pids: Arc<[i32]>) {
        if let Some(entry) = self.lock_senders().processes.get_mut(&host_pid) {
            if !entry.pidfd.as_ref().is_some_and(has_ended) {
                entry.pids = Some(pids);
            }
        }
    }

    /// Returns what a sender is, if that was noted.
    pub(crate) fn facts(&self, host_pid: i32) -> Option<Arc<ProcessFacts>> {
        self.lock_senders().processes.get(&host_pid).and_then(|p| p.facts.clone())
    }

    /// Notes what a sender is if it is still alive, and returns whether it is: only then it is certainly its own.
    pub(crate) fn note_facts(&self, host_pid: i32, facts: Arc<ProcessFacts>) -> bool {
        let mut known = self.lock_senders();
        let Some(entry) = known.processes.get_mut(&host_pid) else { return false };
        let is_alive = !entry.pidfd.as_ref().is_some_and(has_ended);
        if is_alive {
            entry.facts = Some(facts);
        }
        is_alive
    }

    /// Removes a sender that has ended. Returns false if there is none, or if it is alive because the pid was reused.
    pub(crate) fn remove_ended(&self, host_pid: i32) -> bool {
        let mut known = self.lock_senders();
        let ended = known.processes.get(&host_pid).and_then(|k| k.pidfd.as_ref()).is_some_and(has_ended);
        if ended {
            known.remove(host_pid);
        }
        ended
    }

    /// Returns whether a pid is watched.
    pub(crate) fn contains(&self, host_pid: i32) -> bool {
        self.lock_senders().processes.contains_key(&host_pid)
    }

    /// Returns whether no process is watched. No process is registered then either.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock_senders().processes.is_empty()
    }

    /// Keeps the senders for which `keep` returns true, given the pid and the time of the last message.
    pub(crate) fn retain_senders(&self, keep: impl Fn(i32, Uptime) -> bool) {
        let mut known = self.lock_senders();
        let gone = known.processes.iter().filter(|(pid, k)| !keep(**pid, k.last_message));
        let gone: Vec<i32> = gone.map(|(pid, _)| *pid).collect();
        gone.into_iter().for_each(|pid| known.remove(pid));
    }

    /// Returns senders that have ended and were not removed yet, at most [`MAX_EVENTS`] at once.
    pub(crate) fn find_dead(&self) -> Vec<i32> {
        let mut events = Vec::with_capacity(MAX_EVENTS);
        let at_once = Timespec::default();
        if epoll::wait(&*self.epoll, spare_capacity(&mut events), Some(&at_once)).is_err() {
            return Vec::new();
        }
        events.iter().filter_map(|event| i32::try_from(event.data.u64()).ok()).collect()
    }

    fn lock_senders(&self) -> MutexGuard<'_, KnownSenders> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownSenders {
    fn remove(&mut self, host_pid: i32) {
        if let Some(process) = self.processes.remove(&host_pid) {
            self.shares.remove(process.account);
            self.pidfds -= usize::from(process.pidfd.is_some());
        }
    }
}

impl Drop for WatchedProcess {
    fn drop(&mut self) {
        if let Some(reaper) = &self.reaper {
            reaper.abort();
        }
        if let Some(fd) = &self.pidfd {
            let _ = epoll::delete(&*self.epoll, fd);
        }
    }
}

/// Opens a pidfd.
///
/// # Errors
/// `ESRCH` if the process has ended and was waited for; `EMFILE`, `ENOSYS` and others if there can be no pidfd.
pub(crate) fn open_pidfd(host_pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(host_pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Returns whether the process of a pidfd has ended.
pub(crate) fn has_ended(pidfd: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec::default())), Ok(n) if n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const LIMITS: WatchLimits = WatchLimits { max_senders: 10, is_shared: true, max_pidfds: 1 };

    fn sender(host_pid: i32) -> SenderId {
        SenderId { uid: 7, account: 7, host_pid }
    }

    #[test]
    fn places_and_descriptors_are_limited_and_given_back() {
        let watch = ProcessWatch::new(LIMITS).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        watch.insert(Uptime::ZERO, sender(own), Some(Arc::new(watch.open_pidfd(own).unwrap())), None);
        let refused = watch.open_pidfd(own).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
        for pid in 2..6 {
            assert_eq!(watch.check_room(7), Ok(()));
            watch.insert(Uptime::ZERO, sender(own + pid), None, None);
        }
        assert_eq!((watch.check_room(7), watch.check_room(8)), (Err(NoRoom::ShareUsed), Ok(())));
        watch.retain_senders(|_, _| false);
        assert!(watch.is_empty() && watch.check_room(7).is_ok() && watch.open_pidfd(own).is_ok());
    }

    #[test]
    fn an_ended_process_is_found_before_its_parent_waits_for_it() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let watch = ProcessWatch::new(LIMITS).unwrap();
        watch.insert(Uptime::ZERO, sender(pid), Some(Arc::new(open_pidfd(pid).unwrap())), None);
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
    fn a_reused_pid_stays() {
        let mut child = Command::new("true").spawn().unwrap();
        let ended = Arc::new(open_pidfd(i32::try_from(child.id()).unwrap()).unwrap());
        child.wait().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let watch = ProcessWatch::new(LIMITS).unwrap();
        watch.insert(Uptime::ZERO, sender(own), Some(ended), None);
        assert_eq!(watch.find_dead(), [own]);
        // The process that has the pid now.
        watch.insert(Uptime::ZERO, sender(own), Some(Arc::new(open_pidfd(own).unwrap())), None);
        assert_eq!(watch.find_dead(), [0; 0]);
        assert!(!watch.remove_ended(own));
        assert_eq!(watch.find_sender(Uptime::ZERO, own), SenderState::Alive);
    }
}
