//! The senders of datagrams: which processes they are, and when they end.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::readiness::watch_readable;
use crate::core::registry::{SenderId, Uptime};
use crate::core::user_shares::NoRoom;
use crate::plan::ipc::IpcPlan;
use crate::process::watch::{SenderState, has_ended};
use crate::state::DaemonState;

/// How often expired processes and senders are removed.
pub(super) const CLEANUP_INTERVAL: Duration = Duration::from_secs(5);
/// Minimum time between two removals; a full table asks for one with every new sender.
const MIN_CLEANUP_INTERVAL: Duration = Duration::from_millis(500);

/// The senders that the daemon knows, up to a limit.
pub(super) struct SenderTable {
    state: Arc<DaemonState>,
    keep_alive: Duration,
    last_cleanup: Mutex<Uptime>,
}

/// Why a sender could not be identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SenderError {
    /// The process has ended.
    Ended,
    /// The maximum number of senders is watched, of all users or of this one.
    NoRoom(NoRoom),
}

impl SenderTable {
    pub(super) fn new(plan: &IpcPlan, state: Arc<DaemonState>) -> Self {
        Self { state, keep_alive: plan.keep_alive, last_cleanup: Mutex::default() }
    }

    /// Makes sure that a sender is alive and watched. `socket` names where it sent to, for the log.
    pub(super) fn identify_sender(&self, socket: &str, sender: SenderId) -> Result<(), SenderError> {
        let (state, host_pid) = (&self.state, sender.host_pid);
        match state.watch.find_sender(state.uptime(), host_pid) {
            SenderState::Alive => return Ok(()),
            // The pid may be in use by another process, which is the sender then.
            SenderState::Ended => {
                state.reap_process(host_pid);
            }
            SenderState::New => {}
        }
        if state.watch.check_room(sender.account).is_err() {
            self.remove_expired();
        }
        state.watch.check_room(sender.account).map_err(SenderError::NoRoom)?;
        self.watch_sender(sender).map_err(|_| {
            state.counters.ipc_sender_ended.increment();
            state.log.debug(socket, format_args!("pid {host_pid} ended before its datagram was read"));
            SenderError::Ended
        })
    }

    /// Returns whether a sender has a pid in one of its pid namespaces.
    pub(super) fn has_pid(&self, host_pid: i32, claimed: i32) -> bool {
        // Outside of containers the two are equal, and nothing needs to be read.
        if claimed == host_pid {
            return true;
        }
        if let Some(pids) = self.state.watch.namespace_pids(host_pid) {
            return pids.contains(&claimed);
        }
        let Ok(pids) = self.state.procfs.read_pids(host_pid) else { return false };
        let has_pid = pids.contains(&claimed);
        self.state.watch.note_pids(host_pid, pids.into());
        has_pid
    }

    /// Removes what has expired and who has ended; at most once in [`MIN_CLEANUP_INTERVAL`].
    pub(super) fn remove_expired(&self) {
        let state = &self.state;
        let now = state.uptime();
        let mut last_cleanup = self.last_cleanup.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(*last_cleanup) < MIN_CLEANUP_INTERVAL {
            return;
        }
        *last_cleanup = now;
        state.reap_dead_processes();
        let removed = state.registry().remove_expired(now);
        state.count_removed(removed);
        // Registered senders stay as long as their registration, the others as long as they send.
        let registry = state.registry();
        let is_recent = |heard: Uptime| now.saturating_sub(heard) < self.keep_alive;
        state.watch.retain_senders(|pid, heard| registry.contains_pid(pid) || is_recent(heard));
    }

    /// Starts to watch a sender.
    ///
    /// # Errors
    /// It has ended.
    fn watch_sender(&self, sender: SenderId) -> io::Result<()> {
        let host_pid = sender.host_pid;
        let pidfd = match self.state.watch.open_pidfd(host_pid) {
            Ok(fd) => Some(Arc::new(fd)),
            // pidfd_open(2): ESRCH is a process that has ended and was waited for.
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => return Err(e),
            // Without a descriptor, the process stays until it expires.
            Err(_) => {
                self.state.counters.ipc_unwatched.increment();
                None
            }
        };
        // A descriptor can still be opened for a process that has ended and was not waited for.
        if pidfd.as_ref().is_some_and(has_ended) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let reaper = pidfd.clone().and_then(|fd| self.spawn_reaper(host_pid, fd));
        self.state.watch.insert(self.state.uptime(), sender, pidfd, reaper);
        Ok(())
    }

    /// Spawns a task that removes a process when it ends.
    fn spawn_reaper(&self, host_pid: i32, pidfd: Arc<OwnedFd>) -> Option<AbortHandle> {
        let end = watch_readable(pidfd).ok()?;
        let state = self.state.clone();
        let task = tokio::spawn(async move {
            if end.readable().await.is_ok() {
                state.log.debug("ipc", format_args!("pid {host_pid} has ended"));
                state.reap_process(host_pid);
            }
        });
        Some(task.abort_handle())
    }
}
