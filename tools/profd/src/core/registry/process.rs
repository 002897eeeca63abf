//! One registered process, and the config that is pending for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::rpc::config::TRACE_ID;

use super::last_request::{LastConfig, MonitorConfig, RequestOutcome};
use super::profiler_state::FunctionReport;
pub(crate) use super::uptime::Uptime;

/// The sender of a message, as the kernel reports it (unix(7), `SCM_CREDENTIALS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SenderId {
    pub(crate) uid: u32,
    /// The account that the user is counted for in tables: its own, or that of the owner of a subordinate uid.
    pub(crate) account: u32,
    /// The pid in the daemon's pid namespace.
    pub(crate) host_pid: i32,
}

/// Identifies a process within a job. Jobs belong to users: two users may name the same job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessKey {
    pub(crate) job_id: i64,
    pub(crate) uid: u32,
    /// The pid in the daemon's pid namespace.
    pub(crate) host_pid: i32,
}

impl ProcessKey {
    pub(crate) fn new(job_id: i64, sender: SenderId) -> Self {
        Self { job_id, uid: sender.uid, host_pid: sender.host_pid }
    }
}

/// A process that has sent at least one message.
#[derive(Debug)]
pub(super) struct RegisteredProcess {
    /// The pid that the process reports: in a container, its pid there; elsewhere the same as the host pid.
    pub(super) pid: i32,
    /// The account that it is counted for.
    pub(super) account: u32,
    /// The ancestors that its last poll claimed. A request relies on one only after it was confirmed.
    pub(super) claimed_ancestors: Arc<[i32]>,
    pub(super) devices: BTreeSet<i32>,
    pub(super) last_message: Uptime,
    pub(super) last_poll: Option<Uptime>,
    pub(super) pending: Option<PendingConfig>,
    /// The id of the last config that was made pending.
    pub(super) last_trace_id: Option<u64>,
    /// Whether the last poll asked for trace requests. libkineto asks for none while its profiler runs (pytorch/kineto
    /// 0062cff, `libkineto/src/ConfigLoader.cpp`, `readOnDemandConfigFromDaemon`).
    pub(super) accepts_traces: bool,
    /// The last `npuTraceStatus`.
    pub(super) trace: Option<FunctionReport>,
    /// The last `npuMonitorStatus`.
    pub(super) monitor: Option<FunctionReport>,
    /// When a monitor that was started for some time has ended, whatever it reported last.
    pub(super) monitor_ends: Option<Uptime>,
    /// The last config, and what became of it.
    pub(super) last_request: Option<LastConfig>,
    /// The file that the last config makes it write, if that is known. No other process gets the same one.
    pub(super) trace_file: Option<String>,
}

/// A config that its process has not fetched yet.
#[derive(Debug)]
pub(super) struct PendingConfig {
    pub(super) text: Vec<u8>,
    pub(super) trace_id: u64,
    pub(super) since: Uptime,
    /// The action of a monitor that it asks for; `None` for a trace.
    pub(super) monitor: Option<MonitorConfig>,
}

impl RegisteredProcess {
    pub(super) fn new(pid: i32, account: u32, now: Uptime) -> Self {
        Self {
            pid,
            account,
            claimed_ancestors: Arc::default(),
            devices: BTreeSet::new(),
            last_message: now,
            last_poll: None,
            pending: None,
            last_trace_id: None,
            accepts_traces: true,
            trace: None,
            monitor: None,
            monitor_ends: None,
            last_request: None,
            trace_file: None,
        }
    }

    /// Makes a config pending.
    pub(super) fn set_pending(&mut self, now: Uptime, config: PendingConfig) {
        self.last_request = Some(LastConfig {
            trace_id: config.trace_id,
            is_monitor: config.monitor.is_some(),
            outcome: RequestOutcome::Pending,
            since: now,
        });
        self.pending = Some(config);
    }

    /// Removes the pending config, and notes what became of it.
    pub(super) fn clear_pending(&mut self, now: Uptime, outcome: RequestOutcome) {
        let Some(config) = self.pending.take() else { return };
        if outcome == RequestOutcome::Expired {
            self.trace_file = None;
        }
        if outcome == RequestOutcome::Delivered {
            if let Some(command) = config.monitor {
                self.monitor_ends = command.end_of_monitor(now, self.monitor_ends);
            }
        }
        if let Some(record) = self.last_request.as_mut().filter(|r| r.trace_id == config.trace_id) {
            record.change(now, outcome);
        }
    }

    /// Returns the report about monitoring. A monitor that was started for some time and reports nothing at its end (msMonitor
    /// b942bf5) is idle then.
    pub(super) fn monitor_report(&self, now: Uptime) -> Option<FunctionReport> {
        let report = self.monitor?;
        let has_ended = self.monitor_ends.is_some_and(|end| end <= now && report.at < end);
        Some(if has_ended { report.ended() } else { report })
    }

    /// Returns whether the last message is younger than `keep_alive`.
    pub(super) fn is_live(&self, now: Uptime, keep_alive: Duration) -> bool {
        now.saturating_sub(self.last_message) < keep_alive
    }

    /// Returns the pending config unless it is older than `expiry`.
    pub(super) fn unexpired_config(&self, now: Uptime, expiry: Duration) -> Option<&PendingConfig> {
        self.pending.as_ref().filter(|p| now.saturating_sub(p.since) < expiry)
    }
}

impl PendingConfig {
    /// Makes the text that is sent to a process: the config and the line with the trace id, each ended by a newline.
    ///
    /// It is never four bytes long: msMonitor's process side (b942bf5) takes a reply of four bytes for the reply to a
    /// registration.
    pub(super) fn new(config: &str, trace_id: u64, since: Uptime, monitor: Option<MonitorConfig>) -> Self {
        let text = format!("{config}\n{TRACE_ID}={trace_id}\n").into_bytes();
        Self { text, trace_id, since, monitor }
    }
}
