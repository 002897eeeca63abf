//! The daemon's side of the processes that ask drivers: each has a thread that asks in intervals and waits until a deadline.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use device::{SourceKind, SourceReading, close_descriptors_on_exec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::DeviceBoard;
use super::worker::{WorkerReply, WorkerTask};
use crate::plan::devices::{DevicePlan, PlannedSource};
use crate::state::DaemonState;

/// Maximum length of a reply: thousands of processors, or of processes on devices.
const MAX_REPLY: usize = 8 << 20;

/// A process that asks a driver, or why there is none.
#[derive(Debug)]
pub(crate) struct DeviceWorker {
    kind: SourceKind,
    child: std::io::Result<Child>,
}

/// Starts a process for each source.
pub(crate) fn start_workers(plan: &DevicePlan, sandbox: bool) -> Vec<DeviceWorker> {
    if !plan.sources.is_empty() {
        // Those that the daemon itself was started with; its own have this mark already.
        close_descriptors_on_exec();
    }
    plan.sources.iter().map(|source| DeviceWorker::start(source, sandbox)).collect()
}

impl DeviceWorker {
    fn start(source: &PlannedSource, sandbox: bool) -> Self {
        let task = WorkerTask { address: source.address.clone(), is_auto: source.is_auto, sandbox };
        Self { kind: source.address.kind, child: start_process(&task) }
    }
}

fn start_process(task: &WorkerTask) -> std::io::Result<Child> {
    // This program itself, whatever has become of its file. Without an environment the loader of the system searches in its own
    // directories only.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("profd").args(["--certs-dir=NO_CERTS", "--device-worker"]).env_clear().current_dir("/");
    // Keys typed on a terminal are for the daemon, which ends it.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let mut line = serde_json::to_vec(task)?;
    line.push(b'\n');
    if let Some(stdin) = &mut child.stdin {
        stdin.write_all(&line)?;
    }
    Ok(child)
}

/// The threads that ask. When this is dropped, the processes end.
#[derive(Debug, Default)]
pub(crate) struct DeviceMonitors {
    children: Vec<Arc<Mutex<Child>>>,
    /// Nothing is sent; they end the threads when they are dropped.
    stop: Vec<Sender<()>>,
}

impl Drop for DeviceMonitors {
    fn drop(&mut self) {
        for child in &self.children {
            let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
            // One that hangs in a driver cannot end before the driver lets it: the daemon does not wait for that.
            let _ = child.kill().and_then(|()| child.try_wait());
        }
    }
}

impl DeviceMonitors {
    /// Starts the threads.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(crate) fn start(
        workers: Vec<DeviceWorker>,
        plan: &DevicePlan,
        board: &Arc<DeviceBoard>,
        state: &Arc<DaemonState>,
    ) -> anyhow::Result<Self> {
        let mut monitors = Self::default();
        for DeviceWorker { kind, child } in workers {
            board.add_source(kind);
            let mut child = match child {
                Ok(child) => child,
                Err(e) => {
                    state.log.error(kind.name(), format_args!("cannot start a process for it: {e}"));
                    continue;
                }
            };
            let (Some(requests), Some(replies)) = (child.stdin.take(), child.stdout.take()) else { continue };
            let child = Arc::new(Mutex::new(child));
            let (sender, stop) = channel();
            let monitor = DeviceMonitor {
                kind,
                requests,
                replies: ReplyReader { pipe: replies, buffer: Vec::new() },
                child: child.clone(),
                plan: plan.clone(),
                board: board.clone(),
                state: state.clone(),
                last_failure: None,
                is_announced: false,
            };
            let name = format!("profd-{}", kind.name());
            std::thread::Builder::new()
                .name(name)
                .spawn(move || monitor.run(&stop))
                .context("a thread for devices")?;
            monitors.children.push(child);
            monitors.stop.push(sender);
        }
        Ok(monitors)
    }
}

/// One thread.
struct DeviceMonitor {
    kind: SourceKind,
    requests: ChildStdin,
    replies: ReplyReader,
    child: Arc<Mutex<Child>>,
    plan: DevicePlan,
    board: Arc<DeviceBoard>,
    state: Arc<DaemonState>,
    /// The failure that was logged last, so that it is logged once.
    last_failure: Option<String>,
    is_announced: bool,
}

/// Why a thread ends.
enum MonitorEnd {
    /// The daemon stops.
    Stopped,
    /// The process has ended.
    Ended,
    /// The library is not there.
    Absent(String),
}

impl DeviceMonitor {
    fn run(mut self, stop: &Receiver<()>) {
        let end = loop {
            let begun = Instant::now();
            if let Err(end) = self.sample(stop) {
                break end;
            }
            // Not earlier because a sample has taken long.
            let rest = self.plan.interval.saturating_sub(begun.elapsed());
            if stop.recv_timeout(rest) == Err(RecvTimeoutError::Disconnected) {
                break MonitorEnd::Stopped;
            }
        };
        let (name, log) = (self.kind.name(), &self.state.log);
        match end {
            MonitorEnd::Stopped => {}
            MonitorEnd::Absent(reason) => {
                self.board.remove(self.kind);
                log.notice(name, format_args!("not used: {reason}"));
            }
            MonitorEnd::Ended if self.state.is_stopping() => {}
            MonitorEnd::Ended => {
                self.board.clear(self.kind);
                self.state.counters.device_failures.increment();
                let status = self.find_status();
                let text = format!(
                    "the process that asked its driver has ended ({status}): no metrics until a restart"
                );
                log.error(name, text);
            }
        }
    }

    /// Says how the process has ended. One that has only closed its pipe is ended.
    fn find_status(&self) -> String {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..20 {
            match child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Err(e) => return e.to_string(),
            }
        }
        let _ = child.kill();
        "it said nothing any more".to_owned()
    }

    /// Asks once, and waits for the reply, however long it takes: a second request would find no one who listens.
    fn sample(&mut self, stop: &Receiver<()>) -> Result<(), MonitorEnd> {
        let begun = Instant::now();
        self.requests.write_all(b"\n").map_err(|_| MonitorEnd::Ended)?;
        let mut deadline = Some(begun + self.plan.timeout);
        let line = loop {
            match self.replies.read_line(deadline.unwrap_or_else(|| Instant::now() + self.plan.timeout)) {
                ReplyState::Line(line) => break line,
                ReplyState::Ended => return Err(MonitorEnd::Ended),
                ReplyState::Late => {
                    if deadline.take().is_some() {
                        self.note_timeout();
                    }
                    // A dropped sender means that the daemon stops.
                    if stop.recv_timeout(Duration::ZERO) == Err(RecvTimeoutError::Disconnected) {
                        return Err(MonitorEnd::Stopped);
                    }
                }
            }
        };
        if deadline.is_none() {
            let seconds = begun.elapsed().as_secs();
            self.state.log.notice(self.kind.name(), format_args!("answers again, after {seconds} s"));
        }
        match serde_json::from_slice(&line) {
            Ok(WorkerReply::Reading(reading)) => self.take_reading(reading),
            Ok(WorkerReply::Failed(reason)) => self.note_failure(reason),
            Ok(WorkerReply::Absent(reason)) => return Err(MonitorEnd::Absent(reason)),
            Err(e) => self.note_failure(format!("invalid reply of its process: {e}")),
        }
        Ok(())
    }

    fn note_timeout(&self) {
        self.board.clear(self.kind);
        self.state.counters.device_timeouts.increment();
        let timeout = self.plan.timeout.as_secs_f64();
        let text = format!(
            "no answer within {timeout} s (--device-timeout): its metrics are left out until it answers"
        );
        self.state.log.warning(self.kind.name(), text);
    }

    fn note_failure(&mut self, reason: String) {
        self.board.clear(self.kind);
        self.state.counters.device_failures.increment();
        self.is_announced = false;
        if self.last_failure.as_ref() != Some(&reason) {
            self.state.log.error(self.kind.name(), &reason);
            self.last_failure = Some(reason);
        }
    }

    fn take_reading(&mut self, reading: SourceReading) {
        let counters = &self.state.counters;
        counters.device_samples.increment();
        if !self.is_announced {
            let driver =
                reading.driver.as_ref().map(|driver| format!("driver {driver}, ")).unwrap_or_default();
            let (count, what) = match (reading.devices.len(), self.kind) {
                (1, SourceKind::Pmu) => (1, "processor"),
                (n, SourceKind::Pmu) => (n, "processors"),
                (1, _) => (1, "device"),
                (n, _) => (n, "devices"),
            };
            self.state.log.notice(self.kind.name(), format_args!("{driver}{count} {what}"));
            self.is_announced = true;
        }
        counters.device_failed_calls.add(reading.devices.iter().map(|device| device.failed_calls).sum());
        // The first one only, until it is another.
        let failure = reading.devices.iter().find_map(|device| device.first_failure.clone());
        if let Some(failure) = failure.clone().filter(|_| failure != self.last_failure) {
            self.state.log.warning(self.kind.name(), failure);
        }
        self.last_failure = failure;
        self.board.put(self.kind, reading, Instant::now());
    }
}

/// Reads lines with a deadline.
struct ReplyReader {
    pipe: ChildStdout,
    /// The bytes of the next line so far.
    buffer: Vec<u8>,
}

enum ReplyState {
    Line(Vec<u8>),
    Late,
    Ended,
}

impl ReplyReader {
    fn read_line(&mut self, deadline: Instant) -> ReplyState {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                return ReplyState::Line(std::mem::replace(&mut self.buffer, rest));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(left) = Timespec::try_from(left) else { return ReplyState::Ended };
            let mut fds = [PollFd::new(&self.pipe, PollFlags::IN)];
            match rustix::io::retry_on_intr(|| poll(&mut fds, Some(&left))) {
                Ok(0) => return ReplyState::Late,
                Ok(_) => {}
                Err(_) => return ReplyState::Ended,
            }
            let mut bytes = [0; 65536];
            match self.pipe.read(&mut bytes) {
                Ok(0) | Err(_) => return ReplyState::Ended,
                Ok(_) if self.buffer.len() > MAX_REPLY => return ReplyState::Ended,
                Ok(n) => self.buffer.extend_from_slice(&bytes[..n]),
            }
        }
    }
}
