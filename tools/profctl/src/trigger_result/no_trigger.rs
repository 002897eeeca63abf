//! Why no process is triggered: from profd's detail, or else from the fields that existing daemons send.

use std::time::Duration;

use common::rpc::message::{CommandStatus, FunctionState, JobCount, OnDemandDetail, StatusReply};
use common::text::count_noun;

use super::{MAX_LISTED, TriggerResult, format_pids, format_process_count};
use crate::duration_text::format_duration;
use crate::function::RequestedFunction;
use crate::process_filter::ProcessFilter;
use crate::rejected::describe_rejected;
use crate::reply::RequestFailure;

impl TriggerResult {
    /// Explains why no process is triggered. `status` is given when it is the reason.
    pub(super) fn explain_no_trigger(
        &self,
        status: Option<CommandStatus>,
        filter: &ProcessFilter,
        function: RequestedFunction,
    ) -> RequestFailure {
        if let Some(status) = status {
            return self.explain_ineffective(status, filter, function);
        }
        if self.matched.is_empty() {
            return self.explain_no_match(filter);
        }
        if let Some(busy) = self.busy.filter(|n| *n > 0) {
            return self.explain_all_busy(busy);
        }
        if let Some(reason) = self.detail.as_ref().and_then(|d| d.reason.clone()) {
            return RequestFailure::from_decline(reason);
        }
        let mut failure = RequestFailure::from_decline(format!(
            "{} matched, but none was triggered: the process limit is {}",
            format_process_count(self.matched.len() as u64),
            filter.process_limit
        ));
        failure.hints.push("increase --process-limit".to_owned());
        failure
    }

    /// Explains a command status other than `effective`. msMonitor's daemon sends it because nputrace and npu-monitor
    /// share the profiling hardware and exclude each other, and also where nothing matches.
    fn explain_ineffective(
        &self,
        status: CommandStatus,
        filter: &ProcessFilter,
        function: RequestedFunction,
    ) -> RequestFailure {
        let is_monitor = function == RequestedFunction::NpuMonitor;
        let own_reason = self.detail.as_ref().and_then(|d| d.reason.clone());
        let nothing_matches = describe_wanted(filter);
        let reason = own_reason.unwrap_or_else(|| match (status, is_monitor) {
            (CommandStatus::Unknown, _) => {
                "no process has reported a state in which the command can take effect".to_owned()
            }
            (_, true) => format!(
                "the command is ineffective: nputrace is running, no process supports npu-monitor, or {nothing_matches}"
            ),
            (_, false) => format!(
                "the command is ineffective: npu-monitor is running, no process supports nputrace, or {nothing_matches}"
            ),
        });
        let mut failure = RequestFailure::from_decline(reason);
        failure.hints.push("see what is running with `profctl status`".to_owned());
        failure.hints.push(match is_monitor {
            true => "processes must be started with MSMONITOR_USE_DAEMON=1; wait until a running trace has ended",
            false => {
                "processes must be started with MSMONITOR_USE_DAEMON=1; stop a running monitor with \
                 `profctl npu-monitor --npu-monitor-stop`"
            }
        }
        .to_owned());
        failure
    }

    /// Whether only the status of the daemon says why the command is ineffective: msMonitor's daemon sends no reason.
    pub(crate) fn needs_status(&self) -> bool {
        self.failure.is_some()
            && self.detail.is_none()
            && self.command_status.is_some_and(|s| s != CommandStatus::Effective)
    }

    /// Replaces the reason by the one that the status of the daemon shows, by the rules of msMonitor (b942bf5).
    pub(crate) fn explain_by_status(
        &mut self,
        status: &StatusReply,
        filter: &ProcessFilter,
        function: RequestedFunction,
    ) {
        use FunctionState::{Running, Uninitialized};
        let is_monitor = function == RequestedFunction::NpuMonitor;
        let (own, own_state, other, other_state) = match is_monitor {
            true => ("npu-monitor", status.npumonitor, "nputrace", status.nputrace),
            false => ("nputrace", status.nputrace, "npu-monitor", status.npumonitor),
        };
        let reason = match (own_state, other_state) {
            (_, Some(Running)) => {
                format!("{other} is running, and {own} shares the profiling hardware with it")
            }
            (Some(Uninitialized), _) => format!("no process there supports {own}: none has initialized it"),
            (Some(_), Some(_)) => {
                let job = match filter.job_id {
                    0 => String::new(),
                    _ => "; processes of msMonitor have job id 0".to_owned(),
                };
                format!("{}{job}", describe_wanted(filter))
            }
            _ => return,
        };
        if let Some(failure) = &mut self.failure {
            failure.reason = reason;
        }
    }

    fn explain_no_match(&self, filter: &ProcessFilter) -> RequestFailure {
        let Some(detail) = &self.detail else { return explain_no_match_without_detail(filter) };
        let mut failure = self.explain_no_match_with(detail, filter);
        if let Some(ms) = detail.started_ms.filter(|_| detail.registered > 0) {
            let age = format_duration(Duration::from_millis(ms));
            failure.hints.push(format!("the daemon started {age} ago: processes register again within 5 s"));
        }
        failure
    }

    fn explain_no_match_with(&self, detail: &OnDemandDetail, filter: &ProcessFilter) -> RequestFailure {
        if let Some(pid) = detail.ambiguous_pids.first() {
            let reason = detail.reason.clone().unwrap_or_else(|| format!("pid {pid} is ambiguous"));
            let mut failure = RequestFailure::from_decline(reason);
            failure.hints.push("`profctl status` lists the host pid and the user of each process".to_owned());
            return failure;
        }
        let age = detail.started_ms.map(Duration::from_millis);
        if let Some(age) = age.filter(|_| detail.registered == 0 && detail.rejected.is_empty()) {
            return explain_new_daemon(age, filter);
        }
        if let Some(user) = filter.user.as_ref().filter(|_| detail.registered == 0) {
            let mut failure = RequestFailure::from_decline(match detail.rejected.first() {
                Some(rejected) => format!(
                    "no process of user {user} is registered; the daemon did not take messages of {}",
                    describe_rejected(rejected)
                ),
                None => format!("no process of user {user} is registered"),
            });
            failure.hints.push("`profctl status` lists the processes and their users".to_owned());
            return failure;
        }
        if detail.registered == 0 {
            let mut failure = RequestFailure::from_decline(match detail.rejected.first() {
                Some(rejected) => format!(
                    "no process is registered with the daemon; it did not take messages of {}",
                    describe_rejected(rejected)
                ),
                None => "no process is registered with the daemon".to_owned(),
            });
            failure.hints.extend(list_common_causes());
            return failure;
        }
        let in_job: u64 = detail.jobs.iter().filter(|j| j.job_id == filter.job_id).map(|j| j.processes).sum();
        if in_job == 0 {
            let mut failure = explain_other_jobs(&detail.jobs, filter);
            if let Some(rejected) = detail.rejected.first() {
                failure.reason.push_str("; the daemon did not take messages of ");
                failure.reason.push_str(&describe_rejected(rejected));
            }
            return failure;
        }
        if let Some(failure) = self.explain_selection(in_job, filter) {
            return failure;
        }
        if filter.selects_all_pids() {
            let reason = detail.reason.clone().unwrap_or_else(|| "no process matched".to_owned());
            return RequestFailure::from_decline(reason);
        }
        let mut failure = RequestFailure::from_decline(format!(
            "none of the pids {} belongs to the {} of job {}",
            format_pids(filter.wanted_pids()),
            format_process_count(in_job),
            filter.job_id
        ));
        failure.hints.push(
            "list the pids with `profctl status`; a process in a container has the pid of its own pid namespace"
                .to_owned(),
        );
        failure
    }

    /// Explains that no process has the ranks or names that are asked for.
    fn explain_selection(&self, in_job: u64, filter: &ProcessFilter) -> Option<RequestFailure> {
        let (detail, selection) = (self.detail.as_ref()?, filter.selection.as_ref()?);
        let of_job = match in_job {
            1 => format!("the only process of job {}", filter.job_id),
            n => format!("none of the {} of job {}", format_process_count(n), filter.job_id),
        };
        let negation = if in_job == 1 { "not " } else { "" };
        if !selection.ranks.is_empty() {
            let mut failure = RequestFailure::from_decline(format!(
                "{of_job} is {negation}known to have rank {}",
                format_pids(&selection.ranks)
            ));
            if detail.without_rank > 0 {
                failure.hints.push(format!(
                    "the rank of {} is not known: it must be in the environment with which the process was started (RANK), \
                     and the daemon must be of the same user or root",
                    format_process_count(detail.without_rank)
                ));
            }
            return Some(failure);
        }
        if !selection.names.is_empty() {
            let names = selection.names.join(", ");
            let runs = if in_job == 1 { "does not run" } else { "runs" };
            let mut failure = RequestFailure::from_decline(format!("{of_job} {runs} {names}"));
            failure
                .hints
                .push("a name is that of the script, or of the program, without its directory".to_owned());
            return Some(failure);
        }
        None
    }

    fn explain_all_busy(&self, busy: u64) -> RequestFailure {
        let longest = self.detail.iter().flat_map(|d| &d.busy).map(|b| b.since_ms).max();
        let longest =
            longest.map(|ms| format!(", the oldest of {} ago", format_duration(Duration::from_millis(ms))));
        let mut failure = RequestFailure::from_decline(format!(
            "busy: {} still {} to fetch an earlier request{}",
            format_process_count(busy),
            if busy == 1 { "has" } else { "have" },
            longest.unwrap_or_default()
        ));
        // libkineto (PyTorch 2.15) polls every 5 s, msMonitor's process side (b942bf5) about once a second.
        failure.hints.push(
            "processes poll every 1 to 5 seconds: try again; a process that has stopped polling has ended or hangs"
                .to_owned(),
        );
        failure
    }
}

/// Explains that a daemon has just started, so that processes may not have registered again.
fn explain_new_daemon(age: Duration, filter: &ProcessFilter) -> RequestFailure {
    let age = format_duration(age);
    let mut failure = RequestFailure::from_decline(match &filter.user {
        Some(user) => {
            format!("the daemon started {age} ago, and no process of user {user} is registered yet")
        }
        None => format!("the daemon started {age} ago, and no process is registered yet"),
    });
    failure
        .hints
        .push("processes register again within 5 s after a start of the daemon: try again then".to_owned());
    failure
}

/// Says which processes are asked for and not there.
fn describe_wanted(filter: &ProcessFilter) -> String {
    let with_pids = match filter.selects_all_pids() {
        true => String::new(),
        false => format!(" with the pids {}", format_pids(filter.wanted_pids())),
    };
    format!("no process of job {}{with_pids} is registered there", filter.job_id)
}

/// Explains that all registered processes belong to other jobs.
fn explain_other_jobs(jobs: &[JobCount], filter: &ProcessFilter) -> RequestFailure {
    let listed: Vec<_> = jobs
        .iter()
        .take(MAX_LISTED)
        .map(|j| {
            let of_user = j.user.as_ref().map_or_else(String::new, |user| format!(" of {user}"));
            format!("job {}{of_user} has {}", j.job_id, format_process_count(j.processes))
        })
        .collect();
    let more = match jobs.len().saturating_sub(MAX_LISTED) {
        0 => String::new(),
        n => format!(", and {}", count_noun(n as u64, "more job")),
    };
    let mut failure = RequestFailure::from_decline(format!(
        "no process of job {} is registered; {}{more}",
        filter.job_id,
        listed.join(", ")
    ));
    failure.hints.push(
        "--job-id is the SLURM_JOB_ID of the process; it is 0 outside Slurm and for processes of msMonitor"
            .to_owned(),
    );
    failure
}

/// Explains an empty match of a daemon that sends no detail.
fn explain_no_match_without_detail(filter: &ProcessFilter) -> RequestFailure {
    let with_pids = match filter.selects_all_pids() {
        true => String::new(),
        false => format!(" with the pids {}", format_pids(filter.wanted_pids())),
    };
    let mut failure = RequestFailure::from_decline(format!(
        "no process of job {}{with_pids} matched; this daemon does not report which processes are registered",
        filter.job_id
    ));
    failure.hints.extend(list_common_causes());
    failure.hints.push("--job-id is the SLURM_JOB_ID of the process; it is 0 outside Slurm".to_owned());
    failure
}

/// Lists why a process is not registered, the most frequent cause first.
fn list_common_causes() -> [String; 3] {
    [
        "PyTorch processes register within seconds of their start if KINETO_USE_DAEMON=1 is set, processes on \
         Ascend devices if MSMONITOR_USE_DAEMON=1 is set"
            .to_owned(),
        "the daemon must run with --enable-ipc-monitor before the process starts, on the same machine and, for a \
         process in a container, in the same container"
            .to_owned(),
        "profd and msMonitor's daemon serve only processes of their own user".to_owned(),
    ]
}
