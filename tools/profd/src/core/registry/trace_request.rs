//! `setKinetOnDemandRequest`: which processes match, which of them get the config, and why the others do not.

use std::collections::{BTreeMap, BTreeSet};

use common::rpc::message::{
    Busy, CommandStatus, JobCount, OnDemand, OnDemandDetail, OnDemandReply, Triggered,
};

use super::process::{PendingConfig, ProcessKey, RegisteredProcess, Uptime};
use super::profiler_state::command_status;
use super::table::Registry;

/// Maximum number of job ids in a detailed reply.
const MAX_LISTED_JOBS: usize = 1024;

/// A process claims that a pid is that of one of its ancestors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AncestryClaim {
    pub(crate) host_pid: i32,
    pub(crate) ancestor: i32,
}

/// A request for a trace or for monitoring, with its config checked and the claims of ancestry confirmed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceCommand<'a> {
    pub(crate) request: &'a OnDemand,
    /// The text of the checked config.
    pub(crate) config: &'a str,
    pub(crate) is_monitor: bool,
    /// Those of [`Registry::ancestry_claims`] that are true.
    pub(crate) confirmed: &'a BTreeSet<AncestryClaim>,
}

/// The result of a trace command, from which the reply is made.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TraceOutcome {
    /// Reported pids of the matching processes.
    pub(crate) matched: Vec<i32>,
    pub(crate) triggered: Vec<Triggered>,
    pub(crate) busy: Vec<Busy>,
    pub(crate) beyond_limit: Vec<i32>,
    pub(crate) unknown_pids: Vec<i32>,
    /// Matching processes in which the command cannot take effect, by the status that they reported.
    pub(crate) blocked: Vec<(i32, CommandStatus)>,
    /// The status for all; `None` when it rests on a process that never reported one.
    pub(crate) command_status: Option<CommandStatus>,
    /// Number of live processes of all jobs.
    registered: u64,
    jobs: Vec<JobCount>,
}

impl Registry {
    /// Makes the config pending for the processes that match. `next_trace_id` gives each its trace id.
    pub(crate) fn trigger_processes(
        &mut self,
        now: Uptime,
        command: &TraceCommand<'_>,
        next_trace_id: &mut dyn FnMut() -> u64,
    ) -> TraceOutcome {
        let TraceCommand { request, config, is_monitor, confirmed } = *command;
        let mut outcome = self.survey_processes(now, request, confirmed);
        let mut statuses = Vec::new();
        for key in self.matching_processes(now, request, confirmed) {
            let expiry = self.limits.config_expiry;
            let Some(process) = self.processes.get_mut(&key) else { continue };
            outcome.matched.push(process.pid);
            let status = command_status(process.trace, process.monitor, is_monitor);
            statuses.push(status);
            // The order decides what a process is counted as: the hardware first, then an unfetched config, then the
            // limit of the request.
            if let Some(status) = status.filter(|s| *s != CommandStatus::Effective) {
                outcome.blocked.push((process.pid, status));
            } else if let Some(pending) = process.unexpired_config(now, expiry) {
                let since_ms =
                    u64::try_from(now.saturating_sub(pending.since).as_millis()).unwrap_or(u64::MAX);
                outcome.busy.push(Busy { pid: process.pid, since_ms });
            } else if outcome.triggered.len() >= request.process_limit as usize {
                outcome.beyond_limit.push(process.pid);
            } else {
                let trace_id = next_trace_id();
                // An expired config that was not removed yet is replaced, and counts as expired.
                self.unreported.configs += u64::from(process.pending.is_some());
                process.pending = Some(PendingConfig::new(config, trace_id, now));
                outcome.triggered.push(Triggered { pid: process.pid, trace_id: trace_id.to_string() });
            }
        }
        outcome.command_status = combine_statuses(&statuses);
        outcome
    }

    /// Returns the claims of ancestry that a request depends on: for each process of the job, those requested pids that
    /// it claims as ancestors.
    pub(crate) fn ancestry_claims(&self, now: Uptime, request: &OnDemand) -> Vec<AncestryClaim> {
        if request.all_pids() {
            return Vec::new();
        }
        let mut claims = Vec::new();
        for (key, process) in self.live_processes(now).filter(|(k, _)| k.job_id == request.job_id) {
            let claimed = request.pids.iter().filter(|pid| process.claimed_ancestors.contains(pid));
            claims.extend(claimed.map(|pid| AncestryClaim { host_pid: key.host_pid, ancestor: *pid }));
        }
        claims
    }

    fn matching_processes(
        &self,
        now: Uptime,
        request: &OnDemand,
        confirmed: &BTreeSet<AncestryClaim>,
    ) -> Vec<ProcessKey> {
        let has_pid = |key: &ProcessKey, process: &RegisteredProcess, pid: i32| {
            // Its own pid, in its namespace or in the daemon's, or that of a confirmed ancestor.
            let claim = AncestryClaim { host_pid: key.host_pid, ancestor: pid };
            pid == process.pid || pid == key.host_pid || confirmed.contains(&claim)
        };
        let matches = |key: &ProcessKey, process: &RegisteredProcess| {
            key.job_id == request.job_id
                && (request.all_pids() || request.pids.iter().any(|pid| has_pid(key, process, *pid)))
        };
        self.live_processes(now).filter(|(key, p)| matches(key, p)).map(|(key, _)| *key).collect()
    }

    /// Counts the registered processes by job, and finds the requested pids that none of them has.
    fn survey_processes(
        &self,
        now: Uptime,
        request: &OnDemand,
        confirmed: &BTreeSet<AncestryClaim>,
    ) -> TraceOutcome {
        let mut jobs: BTreeMap<i64, u64> = BTreeMap::new();
        let mut known: BTreeSet<i32> = confirmed.iter().map(|claim| claim.ancestor).collect();
        for (key, process) in self.live_processes(now) {
            *jobs.entry(key.job_id).or_default() += 1;
            if key.job_id == request.job_id {
                known.extend([process.pid, key.host_pid]);
            }
        }
        let requested = if request.all_pids() { &[] } else { request.pids.as_slice() };
        let to_count = |(job_id, processes)| JobCount { job_id, processes };
        TraceOutcome {
            registered: jobs.values().sum(),
            unknown_pids: requested.iter().filter(|pid| !known.contains(pid)).copied().collect(),
            jobs: jobs.into_iter().take(MAX_LISTED_JOBS).map(to_count).collect(),
            ..TraceOutcome::default()
        }
    }
}

/// Combines the statuses of the matching processes: the command is effective if it is in any of them.
fn combine_statuses(statuses: &[Option<CommandStatus>]) -> Option<CommandStatus> {
    let any = |status| statuses.contains(&Some(status));
    match statuses {
        [] => Some(CommandStatus::Ineffective),
        _ if any(CommandStatus::Effective) => Some(CommandStatus::Effective),
        // A process that reports no status gets the config; the statuses of the others do not apply to it.
        _ if statuses.contains(&None) => None,
        _ if any(CommandStatus::Unknown) => Some(CommandStatus::Unknown),
        _ => Some(CommandStatus::Ineffective),
    }
}

impl TraceOutcome {
    /// Makes the reply to a client.
    ///
    /// Existing msMonitor clients (b942bf5) take the presence of the lists for success, so the lists are left out when
    /// processes matched and the command is not effective. When no process matched, both kinds of clients report that
    /// from the empty lists.
    pub(crate) fn into_reply(self, is_monitor: bool, extended: bool) -> OnDemandReply {
        let is_declined = self.command_status.is_some_and(|s| s != CommandStatus::Effective);
        let has_lists = extended || !is_declined || self.matched.is_empty();
        let list = |pids: Vec<i64>| has_lists.then_some(pids);
        OnDemandReply {
            processes_matched: list(self.matched.iter().map(|p| i64::from(*p)).collect()),
            event_profilers_triggered: list(Vec::new()),
            activity_profilers_triggered: list(self.triggered.iter().map(|t| t.pid.into()).collect()),
            event_profilers_busy: has_lists.then_some(0),
            activity_profilers_busy: has_lists.then_some(i64::try_from(self.busy.len()).unwrap_or(i64::MAX)),
            command_status: self.command_status,
            detail: extended.then(|| self.into_detail(is_monitor)),
        }
    }

    fn into_detail(self, is_monitor: bool) -> OnDemandDetail {
        let reason = self.explain_exclusions(is_monitor);
        OnDemandDetail {
            registered: self.registered,
            jobs: self.jobs,
            unknown_pids: self.unknown_pids,
            beyond_limit: self.beyond_limit,
            busy: self.busy,
            triggered: self.triggered,
            reason,
        }
    }

    /// Explains why no process matched, or why some matching processes did not get the config.
    fn explain_exclusions(&self, is_monitor: bool) -> Option<String> {
        if self.matched.is_empty() {
            let reason = if self.registered == 0 { "no process is registered" } else { "no process matches" };
            return Some(reason.to_owned());
        }
        let first = self.blocked.first()?.1;
        let reason = match (is_monitor, first) {
            (true, CommandStatus::Ineffective) => "nputrace is running or npumonitor is not initialized",
            (false, CommandStatus::Ineffective) => "npumonitor is running or nputrace is not initialized",
            (true, _) => "the state of nputrace is unknown",
            (false, _) => "the state of npumonitor is unknown",
        };
        let (blocked, matched) = (self.blocked.len(), self.matched.len());
        Some(format!("in {blocked} of {matched} matching processes {reason}"))
    }
}
