//! The result of an on-demand request: which processes are triggered, and when none is, why.
//!
//! "No processes were matched" is the most frequent complaint about this protocol, so each cause that can be recognized
//! has its own message: from profd's detail, or else from the fields that existing daemons send.

mod no_trigger;

use common::record::profctl::Job;
use common::rpc::message::{CommandStatus, JobCount, OnDemandDetail, OnDemandReply};
use common::text::count_noun;

use crate::function::RequestedFunction;
use crate::process_filter::ProcessFilter;
use crate::reply::RequestFailure;

/// Maximum number of jobs or pids that a message lists.
const MAX_LISTED: usize = 8;

/// The result of an on-demand request to one daemon.
#[derive(Debug, Default)]
pub(crate) struct TriggerResult {
    pub(crate) matched: Vec<i64>,
    pub(crate) triggered: Vec<TriggeredProcess>,
    pub(crate) busy: Option<u64>,
    pub(crate) command_status: Option<CommandStatus>,
    pub(crate) detail: Option<OnDemandDetail>,
    /// Why no process is triggered, if none is.
    pub(crate) failure: Option<RequestFailure>,
    /// Remarks about processes that are not triggered although others are.
    pub(crate) remarks: Vec<String>,
    /// Matching processes that a limit has left out that the user has not given.
    pub(crate) limited: u64,
    /// Matching processes that are busy or cannot take the request, although others are triggered.
    pub(crate) held_back: u64,
}

/// A triggered process, as far as the daemon describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TriggeredProcess {
    pub(crate) pid: i64,
    /// The id that its trace will carry.
    pub(crate) trace_id: Option<String>,
    pub(crate) host_pid: Option<i32>,
    pub(crate) uid: Option<u32>,
    pub(crate) user: Option<String>,
    /// Its rank in the job.
    pub(crate) rank: Option<i64>,
    /// The log file that the daemon has told it, if it is not the requested one.
    pub(crate) log_file: Option<String>,
}

impl TriggeredProcess {
    /// Formats the pid, and the user if the daemon sent it.
    pub(crate) fn describe(&self) -> String {
        match (&self.user, self.uid) {
            (Some(user), _) => format!("pid {} of {user}", self.pid),
            (None, Some(uid)) => format!("pid {} of uid {uid}", self.pid),
            (None, None) => format!("pid {}", self.pid),
        }
    }
}

/// Joins the pids of a reply with what the detail says about them. Processes in pid namespaces of their own can have the
/// same pid, so the two are joined by position.
fn describe_triggered(pids: Vec<i64>, detail: Option<&OnDemandDetail>) -> Vec<TriggeredProcess> {
    let known = detail.map(|d| d.triggered.as_slice()).unwrap_or_default();
    let describe = |(n, pid): (usize, i64)| match known.get(n).filter(|t| i64::from(t.pid) == pid) {
        Some(t) => TriggeredProcess {
            pid,
            trace_id: Some(t.trace_id.clone()),
            host_pid: t.host_pid,
            uid: t.uid,
            user: t.user.clone(),
            rank: t.rank,
            log_file: t.log_file.clone(),
        },
        None => TriggeredProcess { pid, ..TriggeredProcess::default() },
    };
    pids.into_iter().enumerate().map(describe).collect()
}

impl TriggerResult {
    /// Interprets the reply to a request of `function` for the processes of `filter`.
    pub(crate) fn from_reply(
        reply: OnDemandReply,
        filter: &ProcessFilter,
        function: RequestedFunction,
    ) -> Self {
        let detail = reply.detail;
        let pids = reply.activity_profilers_triggered.unwrap_or_default();
        // msMonitor's daemon (b942bf5) omits the lists when the command cannot take effect. An empty list means that
        // nothing matched, whatever the command status.
        let none_matched = reply.processes_matched.as_ref().is_some_and(Vec::is_empty);
        let mut result = Self {
            matched: reply.processes_matched.unwrap_or_default(),
            triggered: describe_triggered(pids, detail.as_ref()),
            busy: reply.activity_profilers_busy.map(|n| u64::try_from(n).unwrap_or(0)),
            command_status: reply.command_status,
            ..Self::default()
        };
        result.detail = detail;
        result.limited = result.count_limited();
        if filter.selection.is_some() && !result.detail.as_ref().is_some_and(|d| d.selected) {
            result.failure = Some(explain_old_daemon(filter));
        } else if result.triggered.is_empty() {
            let status = reply.command_status.filter(|s| *s != CommandStatus::Effective && !none_matched);
            result.failure = Some(result.explain_no_trigger(status, filter, function));
        } else {
            result.remarks = result.collect_remarks(filter);
            let untriggered = result.matched.len().saturating_sub(result.triggered.len()) as u64;
            result.held_back = untriggered.saturating_sub(result.limited);
        }
        if filter.has_limit {
            result.limited = 0;
        }
        result
    }

    /// Collects what the user should know about processes that are not triggered although others are.
    fn collect_remarks(&self, filter: &ProcessFilter) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(busy) = self.busy.filter(|n| *n > 0) {
            remarks.push(format!("{} busy with an earlier request", format_process_count(busy)));
        }
        if self.limited > 0 {
            let left_out = format_process_count(self.limited);
            remarks.push(match filter.has_limit {
                true => format!("{left_out} excluded by --process-limit"),
                false => {
                    let limit = filter.process_limit;
                    format!("{left_out} left out: without --process-limit at most {limit} are triggered")
                }
            });
        }
        let Some(detail) = &self.detail else { return remarks };
        remarks.extend(detail.reason.clone());
        if !detail.unknown_pids.is_empty() {
            remarks.push(format!("unknown pids: {}", format_pids(&detail.unknown_pids)));
        }
        if !detail.unknown_ranks.is_empty() {
            remarks.push(format!("no process here has rank {}", format_pids(&detail.unknown_ranks)));
        }
        remarks
    }

    /// Counts the matching processes that the limit has left out.
    fn count_limited(&self) -> u64 {
        let limited = match &self.detail {
            Some(detail) => detail.beyond_limit.len(),
            None => {
                let busy = usize::try_from(self.busy.unwrap_or(0)).unwrap_or(usize::MAX);
                self.matched.len().saturating_sub(self.triggered.len()).saturating_sub(busy)
            }
        };
        limited as u64
    }

    /// Returns the number of registered processes of each job, if the daemon sent it.
    pub(crate) fn registered_jobs(&self) -> Option<Vec<Job>> {
        let job =
            |j: &JobCount| Job { job_id: j.job_id, processes: j.processes, uid: j.uid, user: j.user.clone() };
        self.detail.as_ref().map(|d| d.jobs.iter().map(job).collect())
    }
}

/// Explains that a daemon does not know selections. It was asked for a pid that no process has.
fn explain_old_daemon(filter: &ProcessFilter) -> RequestFailure {
    let options = filter.describe_selection();
    let mut failure = RequestFailure::from_decline(format!(
        "this daemon is too old for {options}, so it was asked for no process"
    ));
    failure.hints.push("update profd on that host, or select with --job-id and --pids".to_owned());
    failure
}

/// Returns a command status as it is spelled on the wire.
pub(crate) fn command_status_name(status: CommandStatus) -> &'static str {
    match status {
        CommandStatus::Effective => "effective",
        CommandStatus::Ineffective => "ineffective",
        CommandStatus::Unknown => "unknown",
    }
}

fn format_process_count(n: u64) -> String {
    count_noun(n, "process")
}

fn format_pids<T: std::fmt::Display>(pids: &[T]) -> String {
    let shown: Vec<_> = pids.iter().take(MAX_LISTED).map(ToString::to_string).collect();
    let more = if pids.len() > MAX_LISTED { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests;
