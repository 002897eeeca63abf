//! The state that a restart must not lose, in a file of the state directory: the registered processes, what they have reported, and the
//! configs that they have not fetched.
//!
//! The file is written before a client learns that its config is accepted, and again when configs were fetched. The next
//! daemon takes over the processes that are still the same ones. It does not trust the file blindly: one of another user, of
//! another host, from before the last boot, or an old one is left alone.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use common::fsat;
use common::policy::Mode;
use rustix::fs::FlockOperation;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::core::registry::snapshot::ProcessSnapshot;
use crate::core::registry::{RemovedCounts, SenderId};
use crate::plan::ipc::AllowedUsers;
use crate::process::watch::has_ended;
use crate::shutdown::{DaemonPhase, ShutdownWatch};
use crate::state::DaemonState;

/// The file in the state directory.
const FILE: &str = "handover.json";
/// The file that a daemon locks while it uses the directory.
const LOCK: &str = "lock";
/// The version of the format.
const VERSION: u32 = 1;
/// Maximum size of the file in bytes: 10,000 processes with a config each.
const MAX_BYTES: u64 = 64 << 20;
/// How often the file is written again after configs were fetched.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
struct HandoverFile {
    version: u32,
    host: String,
    /// Of the kernel: random, and another one after each boot (random(4)).
    boot_id: String,
    /// Nanoseconds since the boot, suspended time included (clock_gettime(2), CLOCK_BOOTTIME).
    written_ns: u64,
    processes: Vec<HandedProcess>,
}

/// One process, and what distinguishes it from a later one with the same pid.
#[derive(Debug, Serialize, Deserialize)]
struct HandedProcess {
    /// Clock ticks since the boot.
    started: u64,
    #[serde(flatten)]
    snapshot: ProcessSnapshot,
}

/// How much was taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RestoredCounts {
    pub(crate) processes: u64,
    /// Configs that the processes have not fetched.
    pub(crate) configs: u64,
    /// Configs that were not fetched and whose processes are not taken over.
    pub(crate) lost_configs: u64,
}

/// Why a process was not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotRestored {
    Ended,
    UserNotServed,
    NoRoom,
}

/// Writes the file while the daemon runs.
#[derive(Debug)]
pub(crate) struct Handover {
    path: PathBuf,
    host: String,
    boot_id: String,
    /// Locked as long as this daemon uses the directory.
    _lock: File,
    writer: tokio::sync::Mutex<()>,
    /// Number of requests to write, and how many of them are written.
    requested: AtomicU64,
    written: AtomicU64,
    error: Mutex<Option<String>>,
}

impl Handover {
    /// Opens the state directory, which is created if it is missing.
    ///
    /// # Errors
    /// It cannot be used, other users can write to it, or another daemon uses it.
    pub(crate) fn open(dir: &Path, host: &str) -> anyhow::Result<Self> {
        if !dir.exists() {
            fsat::create_dir(dir, Mode(0o700))?;
        }
        let meta = std::fs::metadata(dir)?;
        ensure!(meta.is_dir(), "is not a directory");
        fsat::require_trusted(&meta)?;
        let lock = fsat::open_append(&dir.join(LOCK), Mode(0o600))?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!("another daemon uses this state directory");
        }
        Ok(Self {
            path: dir.join(FILE),
            host: host.to_owned(),
            boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
            _lock: lock,
            writer: tokio::sync::Mutex::default(),
            requested: AtomicU64::new(0),
            written: AtomicU64::new(0),
            error: Mutex::default(),
        })
    }

    /// Takes over what the former daemon has left.
    ///
    /// # Errors
    /// The file is not one that this daemon may take over.
    pub(crate) fn restore(
        &self,
        state: &DaemonState,
        users: &AllowedUsers,
        max_age: Duration,
    ) -> anyhow::Result<RestoredCounts> {
        let mut counts = RestoredCounts::default();
        let Some(file) = self.read().with_context(|| self.path.display().to_string())? else {
            return Ok(counts);
        };
        let Some(elapsed) = boottime_ns().checked_sub(file.written_ns).map(Duration::from_nanos) else {
            bail!("{}: written in the future", self.path.display());
        };
        if elapsed >= max_age {
            bail!("{}: written {} s ago, which is too old", self.path.display(), elapsed.as_secs());
        }
        for process in file.processes {
            let configs = u64::from(process.snapshot.has_pending_config());
            let Err(reason) = restore_process(state, users, elapsed, &process) else {
                counts.processes += 1;
                counts.configs += configs;
                continue;
            };
            if reason == NotRestored::Ended {
                state.registry().remember_ended(state.uptime(), elapsed, &process.snapshot);
            }
            state.count_removed(RemovedCounts { processes: 1, configs });
            if configs > 0 {
                counts.lost_configs += configs;
                let pid = process.snapshot.host_pid;
                state.log.limited(
                    "handover config",
                    format_args!("pid {pid}"),
                    format_args!("its config is lost: {}", reason.describe()),
                );
            }
        }
        Ok(counts)
    }

    fn read(&self) -> anyhow::Result<Option<HandoverFile>> {
        let (file, meta) = match fsat::open_regular(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        ensure!(meta.uid() == rustix::process::geteuid().as_raw(), "owned by uid {}", meta.uid());
        let mode = Mode::of(meta.mode());
        ensure!(mode.0 & 0o077 == 0, "mode {mode} is open to others");
        let file: HandoverFile = serde_json::from_slice(&fsat::read_bounded(file, MAX_BYTES)?)?;
        ensure!(file.version == VERSION, "version {} is not supported", file.version);
        ensure!(file.host == self.host, "written on the host {}", file.host);
        ensure!(file.boot_id == self.boot_id, "written before the last boot");
        let mut seen = HashSet::new();
        for HandedProcess { snapshot, .. } in &file.processes {
            let ProcessSnapshot { job_id, pid, host_pid, .. } = snapshot;
            ensure!(
                seen.insert((job_id, host_pid, pid)),
                "pid {host_pid} of job {job_id} stands in it twice"
            );
        }
        Ok(Some(file))
    }

    /// Writes what there is now, or waits until another task has.
    pub(crate) async fn save(self: &Arc<Self>, state: &Arc<DaemonState>) {
        let request = self.requested.fetch_add(1, Ordering::SeqCst) + 1;
        let _turn = self.writer.lock().await;
        if self.written.load(Ordering::SeqCst) >= request {
            return;
        }
        let covered = self.requested.load(Ordering::SeqCst);
        state.handover_changed.store(false, Ordering::SeqCst);
        let (handover, lent) = (self.clone(), state.clone());
        let _ = tokio::task::spawn_blocking(move || handover.write(&lent)).await;
        self.written.store(covered, Ordering::SeqCst);
    }

    /// Writes what there is now.
    pub(crate) fn write(&self, state: &DaemonState) {
        let result = self.try_write(state);
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        *error = result.err().map(|e| format!("{}: {e}", self.path.display()));
        if let Some(reason) = error.as_ref() {
            state.log.limited("handover", "state directory", format_args!("cannot be written: {reason}"));
        }
    }

    fn try_write(&self, state: &DaemonState) -> anyhow::Result<()> {
        let snapshots = state.registry().take_snapshot(state.uptime());
        let written_ns = boottime_ns();
        let identify = |snapshot: ProcessSnapshot| {
            let (_, started) = state.procfs.read_identity(snapshot.host_pid).ok()?;
            Some(HandedProcess { started, snapshot })
        };
        let file = HandoverFile {
            version: VERSION,
            host: self.host.clone(),
            boot_id: self.boot_id.clone(),
            written_ns,
            processes: snapshots.into_iter().filter_map(identify).collect(),
        };
        let text = serde_json::to_vec(&file)?;
        ensure!(text.len() as u64 <= MAX_BYTES, "it would have {} bytes", text.len());
        Ok(fsat::write(&self.path, Mode(0o600), &text)?)
    }

    /// Returns why the file could not be written last, if so.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes the file again soon after configs were fetched or removed, until the daemon stops.
    pub(crate) async fn follow_changes(
        self: Arc<Self>,
        state: Arc<DaemonState>,
        mut shutdown: ShutdownWatch,
    ) {
        loop {
            tokio::select! {
                () = shutdown.reached(DaemonPhase::Draining) => return,
                () = sleep(WRITE_INTERVAL) => {}
            }
            if state.handover_changed.load(Ordering::SeqCst) {
                self.save(&state).await;
            }
        }
    }
}

impl NotRestored {
    fn describe(self) -> &'static str {
        match self {
            Self::Ended => "the process ended while no daemon ran",
            Self::UserNotServed => "its user is no longer served",
            Self::NoRoom => "there is no room for the process (--max-processes)",
        }
    }
}

/// Registers a process again, if it is the same one as then and its user is served.
fn restore_process(
    state: &DaemonState,
    users: &AllowedUsers,
    elapsed: Duration,
    process: &HandedProcess,
) -> Result<(), NotRestored> {
    let snapshot = &process.snapshot;
    let host_pid = snapshot.host_pid;
    let pidfd = state.watch.open_pidfd(host_pid).map_err(|e| match e.raw_os_error() {
        Some(error) if error == rustix::io::Errno::MFILE.raw_os_error() => NotRestored::NoRoom,
        _ => NotRestored::Ended,
    })?;
    let pidfd = Arc::new(pidfd);
    let identity = state.procfs.read_identity(host_pid).map_err(|_| NotRestored::Ended)?;
    // While the descriptor says that it lives, what was read is about the same process.
    if identity != (snapshot.uid, process.started) || has_ended(&pidfd) {
        return Err(NotRestored::Ended);
    }
    if !users.may_contain(snapshot.uid) {
        return Err(NotRestored::UserNotServed);
    }
    let account = state.accounts().account_of(snapshot.uid);
    state.watch.check_room(account).map_err(|_| NotRestored::NoRoom)?;
    let mut registry = state.registry();
    let restored = registry.restore_process(state.uptime(), elapsed, account, snapshot);
    restored.map_err(|_| NotRestored::NoRoom)?;
    drop(registry);
    // One process may be registered under several jobs.
    if !state.watch.contains(host_pid) {
        let sender = SenderId { uid: snapshot.uid, account, host_pid };
        state.watch.insert(state.uptime(), sender, Some(pidfd), None);
    }
    Ok(())
}

fn boottime_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}
