//! What the parts of the running daemon share: the registry, the counters, the log and the ways to them.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::certs::Certs;
use crate::core::registry::{Forgotten, Now, Registry};
use crate::counters::Counters;
use crate::log::Log;
use crate::plan::OutputRoots;
use crate::process::procfs::Proc;
use crate::process::watch::Watch;
use crate::shutdown::{Phase, Shutdown};

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    registry: Mutex<Registry>,
    /// Which registered processes still live, by the kernel's word.
    pub(crate) watch: Watch,
    pub(crate) proc: Proc,
    pub(crate) counters: Arc<Counters>,
    pub(crate) log: Log,
    pub(crate) output_roots: OutputRoots,
    /// What TLS connections are served with; `None` with plain TCP.
    pub(crate) certs: Option<Arc<Certs>>,
    /// Told whenever a config was fetched or forgotten.
    pub(crate) config_left: Notify,
    shutdown: Shutdown,
    started: Instant,
}

impl Shared {
    /// # Errors
    /// There can be no watch over processes.
    pub(crate) fn new(
        registry: Registry,
        output_roots: OutputRoots,
        certs: Option<Arc<Certs>>,
        counters: Arc<Counters>,
        log: Log,
        shutdown: Shutdown,
    ) -> io::Result<Self> {
        Ok(Self {
            registry: Mutex::new(registry),
            watch: Watch::new()?,
            proc: Proc::default(),
            counters,
            log,
            output_roots,
            certs,
            config_left: Notify::new(),
            shutdown,
            started: Instant::now(),
        })
    }

    /// Whether the daemon has begun to end: nothing new is taken.
    pub(crate) fn is_stopping(&self) -> bool {
        self.shutdown.phase() > Phase::Serving
    }

    /// Time since the start.
    pub(crate) fn now(&self) -> Now {
        self.started.elapsed()
    }

    /// The registry, for as long as the guard lives: never across a wait or a system call that may
    /// block.
    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets every process that has died, so that what is asked next is answered about the living.
    pub(crate) fn bury(&self) {
        // As long as there are any: it tells only so many at once.
        while self.watch.dead().into_iter().map(|pid| self.forget(pid)).filter(|gone| *gone).count() > 0 {}
    }

    /// Forgets one process, if it has died: its pid may be another's by now. Whether it had.
    pub(crate) fn forget(&self, host_pid: i32) -> bool {
        // Both under one lock: whoever gets the pid next registers before or after, never in between.
        let mut registry = self.registry();
        let ended = self.watch.remove_ended(host_pid);
        if ended {
            let forgotten = registry.gone(host_pid);
            drop(registry);
            self.count(forgotten);
        }
        ended
    }

    /// Counts what was forgotten.
    pub(crate) fn count(&self, forgotten: Forgotten) {
        self.counters.processes_gone.add(forgotten.processes);
        self.counters.configs_expired.add(forgotten.configs);
        if forgotten.configs > 0 {
            self.config_left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::ipc::message::Poll;
    use common::out::Verbosity;
    use std::time::Duration;

    #[test]
    fn every_one_of_the_dead_is_forgotten_and_no_pid_that_is_in_use_again() {
        let counters: Arc<Counters> = Arc::default();
        let limits = crate::core::registry::Limits {
            processes: 1000,
            jobs_per_process: 1,
            keep_alive: Duration::from_secs(60),
            config_expiry: Duration::from_secs(60),
        };
        let log = Log::start(Verbosity::Quiet, counters.clone()).unwrap();
        let (_trigger, shutdown) = crate::shutdown::channel();
        let registry = Registry::new(limits);
        let shared = Shared::new(registry, OutputRoots::default(), None, counters, log, shutdown).unwrap();
        let open = |pid| Arc::new(crate::process::watch::open(pid).unwrap());
        let knows = |pid| shared.registry().knows(pid);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = open(i32::try_from(child.id()).unwrap());
        child.wait().unwrap();
        // Pids beyond any that there are.
        let dead = 100_000_000..100_000_600;
        let own = i32::try_from(std::process::id()).unwrap();
        for pid in dead.clone().chain([own]) {
            let poll = Poll { config_type: 3, job_id: 0, pids: vec![pid] };
            shared.registry().poll(Now::ZERO, pid, &poll).unwrap();
            let dup = Arc::new(ended.try_clone().unwrap());
            shared.watch.insert(Now::ZERO, pid, Some(if pid == own { open(own) } else { dup }), None);
        }
        assert!(!shared.forget(own));
        shared.bury();
        assert!(dead.into_iter().all(|pid| !knows(pid)) && knows(own));
        assert_eq!(shared.counters.processes_gone.get(), 600);
    }
}
