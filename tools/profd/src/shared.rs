//! What the parts of the running daemon share: the registry, the counters, the log and the ways to them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::config::OutputRoots;
use crate::counters::Counters;
use crate::fabric::identity::Proc;
use crate::fabric::watch::Watch;
use crate::log::Log;
use crate::registry::{Forgotten, Now, Registry};
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
    /// Told whenever a config was fetched or forgotten.
    pub(crate) config_left: Notify,
    shutdown: Shutdown,
    started: Instant,
}

impl Shared {
    pub(crate) fn new(
        registry: Registry,
        output_roots: OutputRoots,
        counters: Arc<Counters>,
        log: Log,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            registry: Mutex::new(registry),
            watch: Watch::default(),
            proc: Proc::default(),
            counters,
            log,
            output_roots,
            config_left: Notify::new(),
            shutdown,
            started: Instant::now(),
        }
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
        for host_pid in self.watch.dead() {
            self.forget(host_pid);
        }
    }

    /// Forgets one process that has died.
    pub(crate) fn forget(&self, host_pid: i32) {
        self.watch.remove(host_pid);
        let forgotten = self.registry().gone(host_pid);
        self.count(forgotten);
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
