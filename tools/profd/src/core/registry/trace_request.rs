//! `setKinetOnDemandRequest`: which processes match, which of them get the config, and why the others do not.

use std::collections::BTreeMap;

use common::rpc::config::Config;
use common::rpc::message::{
    Busy, CommandStatus, JobCount, OnDemand, OnDemandDetail, OnDemandReply, RejectedSenders, Triggered,
};
use common::rpc::progress::ConfigProgress;

use super::last_request::MonitorConfig;
use super::pid_match::{MatchedProcesses, PidFacts};
use super::process::{PendingConfig, Uptime};
use super::profiler_state::command_status;
use super::table::Registry;
use super::trace_output::{ProcessConfig, TraceOutputs};
use crate::core::accounts::Accounts;
use crate::core::audit::{AuditedProcess, ProcessResult};
use crate::core::process_scope::ProcessScope;

/// The longest time between two polls of a process: libkineto (PyTorch 2.15) polls every 5 s. A daemon that has just started
/// knows no process before.
pub(crate) const RETURN_TIME: Uptime = Uptime::from_secs(5);

/// Maximum number of job ids in a detailed reply.
const MAX_LISTED_JOBS: usize = 1024;

/// A request for a trace or for monitoring, with its config checked and the claims of ancestry confirmed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceCommand<'a> {
    pub(crate) request: &'a OnDemand,
    /// The checked config.
    pub(crate) config: &'a Config,
    /// The name of the host.
    pub(crate) host_name: &'a str,
    pub(crate) is_monitor: bool,
    /// The processes that the client may trace.
    pub(crate) scope: &'a ProcessScope,
    pub(crate) facts: &'a PidFacts,
    pub(crate) accounts: &'a Accounts,
    /// Time since the daemon started, if processes may not have come back to it yet.
    pub(crate) started: Option<Uptime>,
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
    /// Requested pids that processes have in pid namespaces of their own, but that do not count there.
    pub(crate) ambiguous_pids: Vec<i32>,
    /// The request has conditions beyond job, user and pids.
    selected: bool,
    unknown_ranks: Vec<i64>,
    without_rank: u64,
    /// Matching processes in which the command cannot take effect, by the status that they reported.
    pub(crate) blocked: Vec<(i32, CommandStatus)>,
    /// Each matching process with what became of it, for the audit trail.
    pub(crate) audited: Vec<AuditedProcess>,
    /// The status for all; `None` when it rests on a process that never reported one.
    pub(crate) command_status: Option<CommandStatus>,
    /// Number of live processes of all jobs.
    registered: u64,
    jobs: Vec<JobCount>,
    rejected: Vec<RejectedSenders>,
    started: Option<Uptime>,
}

impl Registry {
    /// Makes the config pending for the processes that match. `next_trace_id` gives each its trace id.
    pub(crate) fn trigger_processes(
        &mut self,
        now: Uptime,
        command: &TraceCommand<'_>,
        next_trace_id: &mut dyn FnMut() -> u64,
    ) -> TraceOutcome {
        let TraceCommand { request, config, is_monitor, accounts, .. } = *command;
        let found = self.match_processes(now, request, command.scope, command.facts);
        let mut outcome = self.survey_processes(now, command, &found);
        let mut statuses = Vec::new();
        let monitor = MonitorConfig::of_config(config);
        let host_name = request.expand.then_some(command.host_name);
        let mut outputs = TraceOutputs::new(config, host_name, || self.list_trace_files(now));
        for key in found.keys {
            let expiry = self.limits.config_expiry;
            let Some(process) = self.processes.get_mut(&key) else { continue };
            outcome.matched.push(process.pid);
            let status = command_status(process.trace, process.monitor_report(now), is_monitor);
            statuses.push(status);
            let user = accounts.name_of(key.uid).map(str::to_owned);
            // The order decides what a process is counted as: the hardware first, then an unfetched config, then the
            // limit of the request.
            let mut given = None;
            let result = if let Some(status) = status.filter(|s| *s != CommandStatus::Effective) {
                outcome.blocked.push((process.pid, status));
                ProcessResult::Blocked(status)
            } else if let Some(pending) = process.unexpired_config(now, expiry) {
                let since_ms =
                    u64::try_from(now.saturating_sub(pending.since).as_millis()).unwrap_or(u64::MAX);
                outcome.busy.push(Busy { pid: process.pid, since_ms, uid: Some(key.uid) });
                ProcessResult::Busy
            } else if outcome.triggered.len() >= request.process_limit as usize {
                outcome.beyond_limit.push(process.pid);
                ProcessResult::BeyondLimit
            } else {
                let trace_id = next_trace_id();
                given = Some(trace_id);
                // An expired config that was not removed yet is replaced, and counts as expired.
                self.unreported.configs += u64::from(process.pending.is_some());
                let rank = command.facts.rank_of(key.host_pid);
                let ProcessConfig { text, log_file, file } = outputs.config_for(key, process.pid, rank);
                process.set_pending(now, PendingConfig::new(&text, trace_id, now, monitor));
                process.trace_file = file;
                self.history.note(process.last_trace_id, ConfigProgress::Expired, now);
                process.last_trace_id = Some(trace_id);
                self.history.add(trace_id, key, now);
                outcome.triggered.push(Triggered {
                    pid: process.pid,
                    trace_id: trace_id.to_string(),
                    host_pid: (process.pid != key.host_pid).then_some(key.host_pid),
                    uid: Some(key.uid),
                    user: user.clone(),
                    rank,
                    log_file,
                });
                ProcessResult::Triggered
            };
            outcome.audited.push(AuditedProcess {
                pid: process.pid,
                host_pid: key.host_pid,
                uid: key.uid,
                user,
                result,
                trace_id: given,
            });
        }
        outcome.command_status = combine_statuses(&statuses);
        outcome
    }

    /// Counts the registered processes by job and user, and finds the requested pids that none of them has.
    fn survey_processes(
        &self,
        now: Uptime,
        command: &TraceCommand<'_>,
        found: &MatchedProcesses,
    ) -> TraceOutcome {
        let TraceCommand { request, scope, accounts, .. } = *command;
        let mut jobs: BTreeMap<(i64, u32), u64> = BTreeMap::new();
        for (key, _) in self.live_processes(now).filter(|(key, _)| scope.contains(key.job_id, key.uid)) {
            *jobs.entry((key.job_id, key.uid)).or_default() += 1;
        }
        let requested = if request.all_pids() { &[] } else { request.pids.as_slice() };
        let to_count = |((job_id, uid), processes)| JobCount {
            job_id,
            processes,
            uid: Some(uid),
            user: accounts.name_of(uid).map(str::to_owned),
        };
        TraceOutcome {
            registered: jobs.values().sum(),
            unknown_pids: requested.iter().filter(|pid| !found.known.contains(pid)).copied().collect(),
            ambiguous_pids: found.ambiguous.iter().copied().collect(),
            selected: request.selection.is_some(),
            unknown_ranks: found.unknown_ranks.clone(),
            without_rank: found.without_rank,
            jobs: jobs.into_iter().take(MAX_LISTED_JOBS).map(to_count).collect(),
            rejected: self.list_rejections(now, accounts, scope),
            started: command.started,
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
            ambiguous_pids: self.ambiguous_pids,
            selected: self.selected,
            unknown_ranks: self.unknown_ranks,
            without_rank: self.without_rank,
            beyond_limit: self.beyond_limit,
            busy: self.busy,
            triggered: self.triggered,
            rejected: self.rejected,
            started_ms: self.started.map(|up| u64::try_from(up.as_millis()).unwrap_or(u64::MAX)),
            reason,
        }
    }

    /// Explains why no process matched, or why some matching processes did not get the config.
    pub(crate) fn explain_exclusions(&self, is_monitor: bool) -> Option<String> {
        if let Some(pid) = self.ambiguous_pids.first() {
            return Some(format!(
                "pid {pid} is that of another user's process on the host, or of processes of several users in pid \
                 namespaces of their own: name a process by its host pid"
            ));
        }
        if self.matched.is_empty() {
            let reason = if self.registered == 0 { "no process is registered" } else { "no process matches" };
            let return_s = RETURN_TIME.as_secs();
            return Some(match self.started {
                Some(up) => format!(
                    "{reason} yet: the daemon is up {} s, processes come back within {return_s} s",
                    up.as_secs()
                ),
                None => reason.to_owned(),
            });
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
