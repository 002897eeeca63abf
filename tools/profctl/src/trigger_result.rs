//! The result of an on-demand request: which processes are triggered, and when none is, why.
//!
//! "No processes were matched" is the most frequent complaint about this protocol, so each cause that can be recognized
//! has its own message: from profd's detail, or else from the fields that existing daemons send.

use std::time::Duration;

use common::record::profctl::Job;
use common::rpc::message::{CommandStatus, JobCount, OnDemandDetail, OnDemandReply};

use crate::duration_text::format_duration;
use crate::function::RequestedFunction;
use crate::process_filter::ProcessFilter;
use crate::rejected::describe_rejected;
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
    /// What the user should know about processes that are not triggered although others are.
    pub(crate) remarks: Vec<String>,
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
        if result.triggered.is_empty() {
            let status = reply.command_status.filter(|s| *s != CommandStatus::Effective && !none_matched);
            result.failure = Some(result.explain_no_trigger(status, filter, function));
        } else {
            result.remarks = result.collect_remarks();
            // Existing daemons ignore the user: they have triggered processes of all users.
            if let Some(user) =
                filter.user.as_ref().filter(|_| result.triggered.iter().all(|t| t.uid.is_none()))
            {
                result.remarks.push(format!("this daemon does not know users: --user {user} had no effect"));
            }
        }
        result
    }

    /// Explains why no process is triggered. `status` is given when it is the reason.
    fn explain_no_trigger(
        &self,
        status: Option<CommandStatus>,
        filter: &ProcessFilter,
        function: RequestedFunction,
    ) -> RequestFailure {
        if let Some(status) = status {
            return self.explain_ineffective(status, function);
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
    /// share the profiling hardware and exclude each other.
    fn explain_ineffective(&self, status: CommandStatus, function: RequestedFunction) -> RequestFailure {
        let is_monitor = function == RequestedFunction::NpuMonitor;
        let own_reason = self.detail.as_ref().and_then(|d| d.reason.clone());
        let reason = own_reason.unwrap_or_else(|| match (status, is_monitor) {
            (CommandStatus::Unknown, _) => {
                "no process has reported a state in which the command can take effect".to_owned()
            }
            (_, true) => {
                "the command is ineffective: nputrace is running, or no process supports npu-monitor"
                    .to_owned()
            }
            (_, false) => {
                "the command is ineffective: npu-monitor is running, or no process supports nputrace"
                    .to_owned()
            }
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

    fn explain_no_match(&self, filter: &ProcessFilter) -> RequestFailure {
        let Some(detail) = &self.detail else { return explain_no_match_without_detail(filter) };
        if let Some(pid) = detail.ambiguous_pids.first() {
            let reason = detail.reason.clone().unwrap_or_else(|| format!("pid {pid} is ambiguous"));
            let mut failure = RequestFailure::from_decline(reason);
            failure.hints.push("`profctl status` lists the host pid and the user of each process".to_owned());
            return failure;
        }
        if detail.registered == 0 {
            let mut failure = RequestFailure::from_decline(match detail.rejected.first() {
                Some(rejected) => format!(
                    "no process is registered with the daemon; it did not take messages of {}",
                    describe_rejected(rejected)
                ),
                // A daemon that has just started says so.
                None => detail
                    .reason
                    .clone()
                    .filter(|_| detail.started_ms.is_some())
                    .unwrap_or_else(|| "no process is registered with the daemon".to_owned()),
            });
            failure.hints.extend(list_common_causes());
            return failure;
        }
        let in_job: u64 = detail.jobs.iter().filter(|j| j.job_id == filter.job_id).map(|j| j.processes).sum();
        if in_job == 0 {
            return explain_other_jobs(&detail.jobs, filter);
        }
        if filter.selects_all_pids() {
            let reason = detail.reason.clone().unwrap_or_else(|| "no process matched".to_owned());
            return RequestFailure::from_decline(reason);
        }
        let mut failure = RequestFailure::from_decline(format!(
            "none of the pids {} belongs to the {} of job {}",
            format_pids(&filter.pids),
            format_process_count(in_job),
            filter.job_id
        ));
        failure.hints.push(
            "list the pids with `profctl status`; a process in a container has the pid of its own pid namespace"
                .to_owned(),
        );
        failure
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

    /// Collects what the user should know about processes that are not triggered although others are.
    fn collect_remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(busy) = self.busy.filter(|n| *n > 0) {
            remarks.push(format!("{} busy with an earlier request", format_process_count(busy)));
        }
        let limited = match &self.detail {
            Some(detail) => detail.beyond_limit.len(),
            None => {
                let busy = usize::try_from(self.busy.unwrap_or(0)).unwrap_or(usize::MAX);
                self.matched.len().saturating_sub(self.triggered.len()).saturating_sub(busy)
            }
        };
        if limited > 0 {
            remarks.push(format!("{} excluded by --process-limit", format_process_count(limited as u64)));
        }
        remarks.extend(self.detail.as_ref().and_then(|d| d.reason.clone()));
        if let Some(detail) = self.detail.as_ref().filter(|d| !d.unknown_pids.is_empty()) {
            remarks.push(format!("unknown pids: {}", format_pids(&detail.unknown_pids)));
        }
        remarks
    }

    /// Returns the number of registered processes of each job, if the daemon sent it.
    pub(crate) fn registered_jobs(&self) -> Option<Vec<Job>> {
        let job =
            |j: &JobCount| Job { job_id: j.job_id, processes: j.processes, uid: j.uid, user: j.user.clone() };
        self.detail.as_ref().map(|d| d.jobs.iter().map(job).collect())
    }
}

/// Returns a command status as it is spelled on the wire.
pub(crate) fn command_status_name(status: CommandStatus) -> &'static str {
    match status {
        CommandStatus::Effective => "effective",
        CommandStatus::Ineffective => "ineffective",
        CommandStatus::Unknown => "unknown",
    }
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
        n => format!(", and {n} more jobs"),
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
        false => format!(" with the pids {}", format_pids(&filter.pids)),
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

fn format_process_count(n: u64) -> String {
    format!("{n} process{}", if n == 1 { "" } else { "es" })
}

fn format_pids(pids: &[i32]) -> String {
    let shown: Vec<_> = pids.iter().take(MAX_LISTED).map(ToString::to_string).collect();
    let more = if pids.len() > MAX_LISTED { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result_of(json: &str, job_id: i64, pids: &[i32]) -> TriggerResult {
        let reply = crate::reply::decode_reply(json.as_bytes()).unwrap();
        let filter = ProcessFilter { job_id, pids: pids.to_vec(), user: None, process_limit: 3 };
        TriggerResult::from_reply(reply, &filter, RequestedFunction::GpuTrace)
    }

    fn reason(json: &str, job_id: i64, pids: &[i32]) -> String {
        result_of(json, job_id, pids).failure.expect("declined").reason
    }

    const NOTHING: &str =
        r#""processesMatched":[],"activityProfilersTriggered":[],"activityProfilersBusy":0"#;

    fn with_detail(detail: &str) -> String {
        format!("{{{NOTHING},\"detail\":{{{detail}}}}}")
    }

    #[test]
    fn processes_of_the_same_namespace_pid_keep_their_own_ids() {
        let v = result_of(
            r#"{"processesMatched":[1,1],"activityProfilersTriggered":[1,1],"activityProfilersBusy":0,
                "detail":{"registered":2,"jobs":[{"job_id":0,"processes":1,"uid":7,"user":"ann"},
                {"job_id":0,"processes":1,"uid":8}],"triggered":[{"pid":1,"trace_id":"77","host_pid":90,"uid":7,
                "user":"ann"},{"pid":1,"trace_id":"78","host_pid":91,"uid":8}]}}"#,
            0,
            &[],
        );
        let ids: Vec<_> = v.triggered.iter().map(|t| (t.trace_id.as_deref(), t.host_pid)).collect();
        assert_eq!(ids, [(Some("77"), Some(90)), (Some("78"), Some(91))]);
        assert_eq!(
            (v.triggered[0].describe(), v.triggered[1].describe()),
            ("pid 1 of ann".into(), "pid 1 of uid 8".into())
        );
    }

    #[test]
    fn users_who_are_not_served_and_pids_that_are_not_unique_are_explained() {
        let rejected = r#""registered":0,"jobs":[],"rejected":[{"uid":1001,"user":"bob","cause":"user",
            "reason":"the daemon does not serve this user (--allow-uid 1001)","count":9,"last_pid":77,"last_ms":800}]"#;
        let text = reason(&with_detail(rejected), 0, &[]);
        assert!(text.contains("bob (uid 1001)") && text.contains("--allow-uid 1001"), "{text}");
        let ambiguous =
            r#""registered":1,"jobs":[{"job_id":0,"processes":1}],"ambiguous_pids":[7],"reason":"pid 7 is"#;
        let text = reason(&with_detail(&format!("{ambiguous} of two\"")), 0, &[7]);
        assert_eq!(text, "pid 7 is of two");
    }

    #[test]
    fn triggered_processes_carry_their_trace_ids() {
        let v = result_of(
            r#"{"processesMatched":[5,6,7],"activityProfilersTriggered":[5],"activityProfilersBusy":1,
                "detail":{"registered":3,"jobs":[{"job_id":0,"processes":3}],"unknown_pids":[9],
                "beyond_limit":[7],"triggered":[{"pid":5,"trace_id":"77"}],"later":{}}}"#,
            0,
            &[5, 6, 7, 9],
        );
        assert!(v.failure.is_none());
        assert_eq!((v.triggered[0].pid, v.triggered[0].trace_id.as_deref()), (5, Some("77")));
        assert_eq!(
            v.remarks,
            [
                "1 process busy with an earlier request",
                "1 process excluded by --process-limit",
                "unknown pids: 9"
            ]
        );
    }

    /// profd's command status is `ineffective` also when nothing matched; that is not the reason.
    #[test]
    fn nothing_matched_is_not_attributed_to_the_command_status() {
        let json = r#"{"processesMatched":[],"activityProfilersTriggered":[],"commandStatus":"ineffective","detail":
            {"registered":1,"jobs":[{"job_id":0,"processes":1}],"unknown_pids":[9],"reason":"no process matches"}}"#;
        assert_eq!(reason(json, 0, &[9]), "none of the pids 9 belongs to the 1 process of job 0");
        assert_eq!(reason(json, 7, &[0]), "no process of job 7 is registered; job 0 has 1 process");
        assert_eq!(reason(json, 0, &[0]), "no process matches");
    }

    #[test]
    fn blocked_processes_are_not_attributed_to_the_limit() {
        let json = r#"{"processesMatched":[5,6],"activityProfilersTriggered":[6],"detail":{"registered":2,"jobs":[],
            "triggered":[{"pid":6,"trace_id":"1"}],"reason":"in 1 of 2 matching processes npumonitor is running"}}"#;
        assert_eq!(result_of(json, 0, &[0]).remarks, ["in 1 of 2 matching processes npumonitor is running"]);
        let none = json.replace("\"activityProfilersTriggered\":[6]", "\"activityProfilersTriggered\":[]");
        assert_eq!(reason(&none, 0, &[0]), "in 1 of 2 matching processes npumonitor is running");
    }

    #[test]
    fn nothing_registered_at_all() {
        let v = result_of(&with_detail(r#""registered":0,"jobs":[]"#), 0, &[0]);
        let failure = v.failure.unwrap();
        assert_eq!(failure.reason, "no process is registered with the daemon");
        let early = with_detail(
            r#""registered":0,"jobs":[],"started_ms":2000,"reason":"no process is registered yet""#,
        );
        assert_eq!(reason(&early, 0, &[0]), "no process is registered yet");
        assert!(failure.hints[0].contains("KINETO_USE_DAEMON=1"));
    }

    #[test]
    fn other_jobs_are_named() {
        let json =
            with_detail(r#""registered":3,"jobs":[{"job_id":12,"processes":1},{"job_id":13,"processes":2}]"#);
        assert_eq!(
            reason(&json, 7, &[0]),
            "no process of job 7 is registered; job 12 has 1 process, job 13 has 2 processes"
        );
    }

    #[test]
    fn unknown_pids_are_named() {
        let json = with_detail(r#""registered":2,"jobs":[{"job_id":0,"processes":2}],"unknown_pids":[8,9]"#);
        assert_eq!(reason(&json, 0, &[8, 9]), "none of the pids 8, 9 belongs to the 2 processes of job 0");
    }

    #[test]
    fn busy_reports_the_age_of_the_request() {
        let json = r#"{"processesMatched":[5],"activityProfilersTriggered":[],"activityProfilersBusy":1,
            "detail":{"registered":1,"jobs":[{"job_id":0,"processes":1}],"busy":[{"pid":5,"since_ms":12000}]}}"#;
        assert_eq!(
            reason(json, 0, &[0]),
            "busy: 1 process still has to fetch an earlier request, the oldest of 12 s ago"
        );
    }

    #[test]
    fn a_limit_that_excludes_all_is_reported() {
        let json = r#"{"processesMatched":[5,6],"activityProfilersTriggered":[],"activityProfilersBusy":0}"#;
        assert_eq!(
            reason(json, 0, &[0]),
            "2 processes matched, but none was triggered: the process limit is 3"
        );
    }

    #[test]
    fn existing_daemons_are_explained_too() {
        let upstream = format!("{{{NOTHING},\"eventProfilersTriggered\":[],\"eventProfilersBusy\":0}}");
        assert_eq!(
            reason(&upstream, 7, &[1, 2]),
            "no process of job 7 with the pids 1, 2 matched; this daemon does not report which processes are registered"
        );
        let v = result_of(r#"{"commandStatus":"ineffective"}"#, 0, &[0]);
        assert_eq!(v.command_status, Some(CommandStatus::Ineffective));
        assert!(v.failure.unwrap().reason.contains("npu-monitor is running"));
        assert!(reason(r#"{"commandStatus":"unknown"}"#, 0, &[0]).contains("no process has reported"));
        assert!(reason("{}", 0, &[0]).starts_with("no process of job 0 matched"));
    }

    #[test]
    fn negative_counts_and_pids_are_tolerated() {
        let v = result_of(
            r#"{"processesMatched":[-5,9223372036854775807],"activityProfilersTriggered":[-5],
                "activityProfilersBusy":-9}"#,
            0,
            &[0],
        );
        assert_eq!(v.busy, Some(0));
        assert!(v.failure.is_none());
    }
}
