//! What the answer to a command means: done or not, for which processes, and, when for none, why.
//!
//! 'No processes were matched' is what users of this protocol complain about most, so every cause that can be
//! told apart is told apart: from profd's detail where there is one, else from what existing daemons say.

use std::time::Duration;

use common::record::profctl::{self as record, Job};
use common::rpc::message::{CommandStatus, OnDemandDetail, OnDemandReply};

use crate::demand::Selection;
use crate::failure::seconds;
use crate::reply::Refusal;

/// An answer, judged.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) matched: Vec<i64>,
    /// Pid and, where the daemon told it, the id that its trace will carry.
    pub(crate) triggered: Vec<(i64, Option<String>)>,
    pub(crate) busy: Option<u64>,
    pub(crate) command_status: Option<&'static str>,
    pub(crate) detail: Option<OnDemandDetail>,
    /// Why the answer is no, when it is.
    pub(crate) refusal: Option<Refusal>,
    /// What the user should know although the answer is yes.
    pub(crate) remarks: Vec<String>,
}

impl Verdict {
    /// Judges a reply to a command for `selection`. `function` is the subcommand.
    pub(crate) fn of(reply: OnDemandReply, selection: &Selection, function: &str) -> Self {
        let detail = reply.detail;
        let trace_id = |pid: i64| {
            let known = detail.as_ref()?.triggered.iter().find(|t| i64::from(t.pid) == pid)?;
            Some(known.trace_id.clone())
        };
        let pids = reply.activity_profilers_triggered.unwrap_or_default();
        // An msMonitor daemon leaves the lists out when the command cannot take effect; empty ones mean that
        // nothing matched, whatever the verdict.
        let none_matched = reply.processes_matched.as_ref().is_some_and(Vec::is_empty);
        let mut verdict = Self {
            matched: reply.processes_matched.unwrap_or_default(),
            triggered: pids.into_iter().map(|pid| (pid, trace_id(pid))).collect(),
            busy: reply.activity_profilers_busy.map(|n| u64::try_from(n).unwrap_or(0)),
            command_status: reply.command_status.map(word),
            ..Self::default()
        };
        verdict.detail = detail;
        if verdict.triggered.is_empty() {
            let status = reply.command_status.filter(|s| *s != CommandStatus::Effective && !none_matched);
            verdict.refusal = Some(verdict.why_not(status, selection, function));
        } else {
            verdict.remarks = verdict.remarks();
        }
        verdict
    }

    /// Why no process was triggered. `status` is there when it is the reason.
    fn why_not(&self, status: Option<CommandStatus>, selection: &Selection, function: &str) -> Refusal {
        if let Some(status) = status {
            return self.not_effective(status, function);
        }
        if self.matched.is_empty() {
            return self.no_match(selection);
        }
        if let Some(busy) = self.busy.filter(|n| *n > 0) {
            return self.all_busy(busy);
        }
        if let Some(reason) = self.detail.as_ref().and_then(|d| d.reason.clone()) {
            return Refusal::declined(reason);
        }
        let mut refusal = Refusal::declined(format!(
            "{} matched, and the process limit of {} triggered none",
            processes(self.matched.len() as u64),
            selection.process_limit
        ));
        refusal.hints.push("raise --process-limit".to_owned());
        refusal
    }

    /// msMonitor's verdict that the command cannot take effect.
    fn not_effective(&self, status: CommandStatus, function: &str) -> Refusal {
        let told = self.detail.as_ref().and_then(|d| d.reason.clone());
        let monitor = function == "npu-monitor";
        let reason = told.unwrap_or_else(|| match (status, monitor) {
            (CommandStatus::Unknown, _) => {
                "no process has reported a state in which the command could take effect".to_owned()
            }
            (_, true) => {
                "the command is ineffective: nputrace is running, or no process offers npu-monitor".to_owned()
            }
            (_, false) => {
                "the command is ineffective: npu-monitor is running, or no process offers nputrace".to_owned()
            }
        });
        let mut refusal = Refusal::declined(reason);
        refusal.hints.push("see what runs with `profctl status`".to_owned());
        refusal.hints.push(match monitor {
            true => "a process must have been started with MSMONITOR_USE_DAEMON=1; wait for a running trace to end",
            false => {
                "a process must have been started with MSMONITOR_USE_DAEMON=1; stop a running monitor with \
                 `profctl npu-monitor --npu-monitor-stop`"
            }
        }
        .to_owned());
        refusal
    }

    fn no_match(&self, selection: &Selection) -> Refusal {
        let Some(detail) = &self.detail else { return no_match_blind(selection) };
        if detail.registered == 0 {
            let mut refusal = Refusal::declined("no process is registered with the daemon");
            refusal.hints.extend(usual_causes());
            return refusal;
        }
        let here = detail.jobs.iter().find(|j| j.job_id == selection.job_id).map_or(0, |j| j.processes);
        if here == 0 {
            let jobs: Vec<_> = detail
                .jobs
                .iter()
                .take(8)
                .map(|j| format!("job {} has {}", j.job_id, processes(j.processes)))
                .collect();
            let more = if detail.jobs.len() > 8 { ", and others have some" } else { "" };
            let mut refusal = Refusal::declined(format!(
                "no process of job {} is registered; {}{more}",
                selection.job_id,
                jobs.join(", ")
            ));
            refusal.hints.push(
                "--job-id is the SLURM_JOB_ID of the process, and 0 outside Slurm and for msMonitor's processes"
                    .to_owned(),
            );
            return refusal;
        }
        if matches!(selection.pids.as_slice(), [] | [0]) {
            return Refusal::declined(
                detail.reason.clone().unwrap_or_else(|| "no process matched".to_owned()),
            );
        }
        let mut refusal = Refusal::declined(format!(
            "none of the pids {} belongs to the {} of job {}",
            list(&selection.pids),
            processes(here),
            selection.job_id
        ));
        refusal.hints.push(
            "see the pids with `profctl status`; a process in a container is known by the pid that it has there"
                .to_owned(),
        );
        refusal
    }

    fn all_busy(&self, busy: u64) -> Refusal {
        let since = self.detail.iter().flat_map(|d| &d.busy).map(|b| b.since_ms).max();
        let since = since.map(|ms| format!(", the longest since {}", seconds(Duration::from_millis(ms))));
        let mut refusal = Refusal::declined(format!(
            "busy: {} still {} an earlier request to fetch{}",
            processes(busy),
            if busy == 1 { "has" } else { "have" },
            since.unwrap_or_default()
        ));
        refusal.hints.push(
            "processes ask every second or every 5 seconds: try again; one that does not ask any more has ended or hangs"
                .to_owned(),
        );
        refusal
    }

    /// What is worth saying about processes that were not triggered while others were.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(busy) = self.busy.filter(|n| *n > 0) {
            remarks.push(format!("{} busy with an earlier request", processes(busy)));
        }
        let limited = match &self.detail {
            Some(detail) => detail.beyond_limit.len(),
            None => {
                let busy = usize::try_from(self.busy.unwrap_or(0)).unwrap_or(usize::MAX);
                self.matched.len().saturating_sub(self.triggered.len()).saturating_sub(busy)
            }
        };
        if limited > 0 {
            remarks.push(format!("{} left out by --process-limit", processes(limited as u64)));
        }
        remarks.extend(self.detail.as_ref().and_then(|d| d.reason.clone()));
        if let Some(detail) = self.detail.as_ref().filter(|d| !d.unknown_pids.is_empty()) {
            remarks.push(format!("unknown pids: {}", list(&detail.unknown_pids)));
        }
        remarks
    }

    /// The registered processes by job, where the daemon told them.
    pub(crate) fn jobs(&self) -> Option<Vec<Job>> {
        let job = |j: &common::rpc::message::JobCount| Job { job_id: j.job_id, processes: j.processes };
        self.detail.as_ref().map(|d| d.jobs.iter().map(job).collect())
    }

    /// Writes the refusal, if any, into an answer.
    pub(crate) fn apply(&self, answer: &mut record::Answer) {
        if let Some(refusal) = self.refusal.clone() {
            refusal.apply(answer);
        }
    }
}

fn word(status: CommandStatus) -> &'static str {
    match status {
        CommandStatus::Effective => "effective",
        CommandStatus::Ineffective => "ineffective",
        CommandStatus::Unknown => "unknown",
    }
}

/// An existing daemon says only that nothing matched.
fn no_match_blind(selection: &Selection) -> Refusal {
    let of = match selection.pids.as_slice() {
        [] | [0] => String::new(),
        pids => format!(" with the pids {}", list(pids)),
    };
    let mut refusal = Refusal::declined(format!(
        "no process of job {}{of} matched, and this daemon does not say which processes it knows",
        selection.job_id
    ));
    refusal.hints.extend(usual_causes());
    refusal.hints.push("--job-id is the SLURM_JOB_ID of the process, and 0 outside Slurm".to_owned());
    refusal
}

/// Why a process is not registered, most frequent first.
fn usual_causes() -> [String; 3] {
    [
        "PyTorch processes register when started with KINETO_USE_DAEMON=1, those on Ascend devices with \
         MSMONITOR_USE_DAEMON=1, within seconds of their start"
            .to_owned(),
        "the daemon must have been running with --enable-ipc-monitor when the process looked for it, on the same \
         machine, not outside its container"
            .to_owned(),
        "profd and msMonitor's daemon serve only processes of their own user".to_owned(),
    ]
}

fn processes(n: u64) -> String {
    format!("{n} process{}", if n == 1 { "" } else { "es" })
}

/// At most eight pids.
fn list(pids: &[i32]) -> String {
    let shown: Vec<_> = pids.iter().take(8).map(ToString::to_string).collect();
    let more = if pids.len() > 8 { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(json: &str, job_id: i64, pids: &[i32]) -> Verdict {
        let reply = crate::reply::decode(json.as_bytes()).unwrap();
        Verdict::of(reply, &Selection { job_id, pids: pids.to_vec(), process_limit: 3 }, "gputrace")
    }

    fn reason(json: &str, job_id: i64, pids: &[i32]) -> String {
        judge(json, job_id, pids).refusal.expect("declined").reason
    }

    const NOTHING: &str =
        r#""processesMatched":[],"activityProfilersTriggered":[],"activityProfilersBusy":0"#;

    fn with_detail(detail: &str) -> String {
        format!("{{{NOTHING},\"detail\":{{{detail}}}}}")
    }

    #[test]
    fn triggered_processes_carry_their_trace_ids() {
        let v = judge(
            r#"{"processesMatched":[5,6,7],"activityProfilersTriggered":[5],"activityProfilersBusy":1,
                "detail":{"registered":3,"jobs":[{"job_id":0,"processes":3}],"unknown_pids":[9],
                "beyond_limit":[7],"triggered":[{"pid":5,"trace_id":"77"}],"later":{}}}"#,
            0,
            &[5, 6, 7, 9],
        );
        assert!(v.refusal.is_none());
        assert_eq!(v.triggered, [(5, Some("77".to_owned()))]);
        assert_eq!(
            v.remarks,
            [
                "1 process busy with an earlier request",
                "1 process left out by --process-limit",
                "unknown pids: 9"
            ]
        );
    }

    /// profd's verdict is ineffective, too, when nothing matched; that is not the reason.
    #[test]
    fn nothing_matched_is_not_blamed_on_the_verdict() {
        let json = r#"{"processesMatched":[],"activityProfilersTriggered":[],"commandStatus":"ineffective","detail":
            {"registered":1,"jobs":[{"job_id":0,"processes":1}],"unknown_pids":[9],"reason":"no process matches"}}"#;
        assert_eq!(reason(json, 0, &[9]), "none of the pids 9 belongs to the 1 process of job 0");
        assert_eq!(reason(json, 7, &[0]), "no process of job 7 is registered; job 0 has 1 process");
        assert_eq!(reason(json, 0, &[0]), "no process matches");
    }

    #[test]
    fn blocked_processes_are_not_blamed_on_the_limit() {
        let json = r#"{"processesMatched":[5,6],"activityProfilersTriggered":[6],"detail":{"registered":2,"jobs":[],
            "triggered":[{"pid":6,"trace_id":"1"}],"reason":"in 1 of 2 matching processes npumonitor is running"}}"#;
        assert_eq!(judge(json, 0, &[0]).remarks, ["in 1 of 2 matching processes npumonitor is running"]);
        let none = json.replace("\"activityProfilersTriggered\":[6]", "\"activityProfilersTriggered\":[]");
        assert_eq!(reason(&none, 0, &[0]), "in 1 of 2 matching processes npumonitor is running");
    }

    #[test]
    fn nothing_registered_at_all() {
        let v = judge(&with_detail(r#""registered":0,"jobs":[]"#), 0, &[0]);
        let refusal = v.refusal.unwrap();
        assert_eq!(refusal.reason, "no process is registered with the daemon");
        assert!(refusal.hints[0].contains("KINETO_USE_DAEMON=1"));
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
    fn busy_says_since_when() {
        let json = r#"{"processesMatched":[5],"activityProfilersTriggered":[],"activityProfilersBusy":1,
            "detail":{"registered":1,"jobs":[{"job_id":0,"processes":1}],"busy":[{"pid":5,"since_ms":12000}]}}"#;
        assert_eq!(
            reason(json, 0, &[0]),
            "busy: 1 process still has an earlier request to fetch, the longest since 12 s"
        );
    }

    #[test]
    fn a_limit_of_none_is_said() {
        let json = r#"{"processesMatched":[5,6],"activityProfilersTriggered":[],"activityProfilersBusy":0}"#;
        assert_eq!(reason(json, 0, &[0]), "2 processes matched, and the process limit of 3 triggered none");
    }

    #[test]
    fn existing_daemons_are_explained_too() {
        let upstream = format!("{{{NOTHING},\"eventProfilersTriggered\":[],\"eventProfilersBusy\":0}}");
        assert_eq!(
            reason(&upstream, 7, &[1, 2]),
            "no process of job 7 with the pids 1, 2 matched, and this daemon does not say which processes it knows"
        );
        let v = judge(r#"{"commandStatus":"ineffective"}"#, 0, &[0]);
        assert_eq!(v.command_status, Some("ineffective"));
        assert!(v.refusal.unwrap().reason.contains("npu-monitor is running"));
        assert!(reason(r#"{"commandStatus":"unknown"}"#, 0, &[0]).contains("no process has reported"));
        assert!(reason("{}", 0, &[0]).starts_with("no process of job 0 matched"));
    }

    #[test]
    fn a_daemon_that_counts_nonsense_harms_nobody() {
        let v = judge(
            r#"{"processesMatched":[-5,9223372036854775807],"activityProfilersTriggered":[-5],
                "activityProfilersBusy":-9}"#,
            0,
            &[0],
        );
        assert_eq!(v.busy, Some(0));
        assert!(v.refusal.is_none());
    }
}
