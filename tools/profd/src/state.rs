//! The state that the parts of the running daemon share: the registry, the processes behind it, counters and log.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::account::read_accounts;
use crate::core::accounts::Accounts;
use crate::core::registry::process_facts::ProcessFacts;
use crate::core::registry::{Registry, RemovedCounts, Uptime};
use crate::counters::Counters;
use crate::log::DaemonLog;
use crate::process::procfs::Procfs;
use crate::process::watch::{ProcessWatch, WatchLimits};
use crate::shutdown::{DaemonPhase, ShutdownWatch};

/// How old the accounts of the host may be.
const ACCOUNTS_INTERVAL: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(crate) struct DaemonState {
    registry: Mutex<Registry>,
    /// The registered processes that are alive, as the kernel reports it.
    pub(crate) watch: ProcessWatch,
    pub(crate) procfs: Procfs,
    pub(crate) counters: Arc<Counters>,
    pub(crate) log: DaemonLog,
    /// The accounts of the host, and when they were read.
    accounts: RwLock<(Uptime, Arc<Accounts>)>,
    /// Notified when a pending config was fetched or removed.
    pub(crate) config_removed: Notify,
    /// Notified when a process has ended.
    pub(crate) process_ended: Notify,
    /// The name of the host, as far as it can be part of a file name.
    pub(crate) host_name: String,
    rules: Mutex<RulesState>,
    /// Default sockets that could not be had, each with the reason.
    pub(crate) missing_sockets: OnceLock<Vec<String>>,
    /// Whether the configs to hand over to the next daemon have changed since they were last written.
    pub(crate) handover_changed: AtomicBool,
    /// Milliseconds of [`Self::uptime`] when the thread for processes last showed that it is alive.
    ipc_alive_ms: AtomicU64,
    shutdown: ShutdownWatch,
    started: Instant,
}

/// Whether the access rules in use are those of the rules file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum RulesState {
    /// There is no file.
    #[default]
    NoFile,
    /// They are.
    InUse,
    /// The file has changed and was not taken: former rules are in use.
    Former {
        /// RFC 3339, UTC.
        at: String,
        reason: String,
    },
}

impl RulesState {
    /// Describes what is wrong, if something is.
    pub(crate) fn describe_failure(&self) -> Option<String> {
        let Self::Former { at, reason } = self else { return None };
        Some(format!("the rules file was not taken at {at}, and the former rules stay in use: {reason}"))
    }
}

/// The thread for processes shows itself every second; after this long it hangs.
pub(crate) const IPC_SILENCE_LIMIT: Duration = Duration::from_secs(5);

/// How long before the start of the daemon its clock begins: what a former daemon has handed over is older than this one.
const HISTORY: Duration = Duration::from_secs(3600);

fn to_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the name of the host without its domain; other characters than those of a host name become `_`.
pub(crate) fn find_host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let first = name.split('.').next().unwrap_or_default();
    first.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect()
}

impl DaemonState {
    /// # Errors
    /// The system cannot create an epoll instance.
    pub(crate) fn new(
        registry: Registry,
        watch: WatchLimits,
        counters: Arc<Counters>,
        log: DaemonLog,
        procfs: Procfs,
        shutdown: ShutdownWatch,
    ) -> io::Result<Self> {
        Ok(Self {
            registry: Mutex::new(registry),
            watch: ProcessWatch::new(watch)?,
            accounts: RwLock::new((HISTORY, Arc::new(read_accounts()))),
            procfs,
            counters,
            log,
            config_removed: Notify::new(),
            process_ended: Notify::new(),
            host_name: find_host_name(),
            rules: Mutex::default(),
            missing_sockets: OnceLock::new(),
            handover_changed: AtomicBool::new(false),
            ipc_alive_ms: AtomicU64::new(to_ms(HISTORY)),
            shutdown,
            started: Instant::now(),
        })
    }

    /// Returns whether the daemon has begun to stop: it accepts nothing new then.
    pub(crate) fn is_stopping(&self) -> bool {
        self.shutdown.phase() > DaemonPhase::Serving
    }

    /// Returns the time on the daemon's clock, which begins [`HISTORY`] before its start.
    pub(crate) fn uptime(&self) -> Uptime {
        HISTORY + self.started.elapsed()
    }

    /// Returns the time since the start of the daemon.
    pub(crate) fn time_since_start(&self) -> Uptime {
        self.started.elapsed()
    }

    /// Notes whether the rules in use are those of the file.
    pub(crate) fn note_rules(&self, rules: RulesState) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Returns whether the rules in use are those of the file.
    pub(crate) fn rules_state(&self) -> RulesState {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that the thread for processes is alive.
    pub(crate) fn note_ipc_alive(&self) {
        self.ipc_alive_ms.store(to_ms(self.uptime()), Ordering::Relaxed);
    }

    /// Returns the time since the thread for processes last showed that it is alive.
    pub(crate) fn ipc_silence(&self) -> Duration {
        let alive = Duration::from_millis(self.ipc_alive_ms.load(Ordering::Relaxed));
        self.uptime().saturating_sub(alive)
    }

    /// Returns the accounts of the host, as of the last [`Self::refresh_accounts`].
    pub(crate) fn accounts(&self) -> Arc<Accounts> {
        self.accounts.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Reads the accounts of the host again if they are old: users are added while the daemon runs.
    pub(crate) fn refresh_accounts(&self) {
        let now = self.uptime();
        let read_at = self.accounts.read().unwrap_or_else(PoisonError::into_inner).0;
        if now.saturating_sub(read_at) >= ACCOUNTS_INTERVAL {
            let accounts = Arc::new(read_accounts());
            *self.accounts.write().unwrap_or_else(PoisonError::into_inner) = (now, accounts);
        }
    }

    /// Locks the registry. The guard must not be held across an await or a system call that may block.
    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes every process that has ended, so that it does not match a request.
    pub(crate) fn reap_dead_processes(&self) {
        // One look returns a limited number of them, so it is repeated until it removes none.
        while self.watch.find_dead().into_iter().map(|pid| self.reap_process(pid)).filter(|r| *r).count() > 0
        {
        }
    }

    /// Removes one process if it has ended, and returns whether it had. Its pid may be in use by another one.
    pub(crate) fn reap_process(&self, host_pid: i32) -> bool {
        // Both removals happen under one lock: a process that gets the pid next registers before or after them.
        let mut registry = self.registry();
        let has_ended = self.watch.remove_ended(host_pid);
        if has_ended {
            let removed = registry.remove_process(host_pid);
            drop(registry);
            self.count_removed(removed);
            self.process_ended.notify_waiters();
        }
        has_ended
    }

    /// Returns what a process is. It is read once in the life of a process that is watched.
    pub(crate) fn facts_of(&self, host_pid: i32) -> Arc<ProcessFacts> {
        self.watch.facts(host_pid).unwrap_or_else(|| {
            let read = Arc::new(self.procfs.read_facts(host_pid));
            // Nothing is known of a process that has just begun: it is read again.
            if read.command.is_some() {
                self.watch.note_facts(host_pid, read.clone());
            }
            read
        })
    }

    /// The same of a process that is certainly the one that is watched; `None` if it has ended.
    pub(crate) fn facts_of_living(&self, host_pid: i32) -> Option<Arc<ProcessFacts>> {
        self.watch.facts(host_pid).or_else(|| {
            let read = Arc::new(self.procfs.read_facts(host_pid));
            let is_noted = read.command.is_some() && self.watch.note_facts(host_pid, read.clone());
            is_noted.then_some(read)
        })
    }

    /// Counts what was removed from the registry.
    pub(crate) fn count_removed(&self, removed: RemovedCounts) {
        self.counters.processes_removed.add(removed.processes);
        self.counters.configs_expired.add(removed.configs);
        if removed.configs > 0 {
            self.handover_changed.store(true, Ordering::Relaxed);
            self.config_removed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::registry::SenderId;
    use common::ipc::message::Poll;
    use common::out::Verbosity;

    #[test]
    fn all_dead_processes_are_reaped_and_a_reused_pid_stays() {
        let counters: Arc<Counters> = Arc::default();
        let limits = crate::core::registry::RegistryLimits {
            max_processes: 1000,
            is_shared: false,
            jobs_per_process: 1,
            keep_alive: Duration::from_secs(60),
            config_expiry: Duration::from_secs(60),
        };
        let log = DaemonLog::start(Verbosity::Quiet, counters.clone()).unwrap();
        let (_trigger, shutdown) = crate::shutdown::shutdown_channel();
        let registry = Registry::new(limits);
        let watch = WatchLimits { max_senders: 1000, is_shared: false, max_pidfds: 1000 };
        let sender = |host_pid| SenderId { uid: 7, account: 7, host_pid };
        let state = DaemonState::new(registry, watch, counters, log, Procfs::default(), shutdown).unwrap();
        let open = |pid| Arc::new(crate::process::watch::open_pidfd(pid).unwrap());
        let knows = |pid| state.registry().contains_pid(pid);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = open(i32::try_from(child.id()).unwrap());
        child.wait().unwrap();
        // Pids above the maximum of the kernel, 2^22 (proc_sys_kernel(5), pid_max).
        let dead = 100_000_000..100_000_600;
        let own = i32::try_from(std::process::id()).unwrap();
        for pid in dead.clone().chain([own]) {
            let poll = Poll { config_type: 3, job_id: 0, pids: vec![pid] };
            state.registry().poll_config(Uptime::ZERO, sender(pid), &poll).unwrap();
            let dup = Arc::new(ended.try_clone().unwrap());
            state.watch.insert(
                Uptime::ZERO,
                sender(pid),
                Some(if pid == own { open(own) } else { dup }),
                None,
            );
        }
        assert!(!state.reap_process(own));
        state.reap_dead_processes();
        assert!(dead.into_iter().all(|pid| !knows(pid)) && knows(own));
        assert_eq!(state.counters.processes_removed.get(), 600);
    }
}
