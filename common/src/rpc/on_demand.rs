//! `setKinetOnDemandRequest`, and its reply.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::selection::{NO_PROCESS, ProcessSelection};

/// `setKinetOnDemandRequest`: hand a config to the processes of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnDemand {
    /// The config text, not yet parsed: an unparsable one still deserves an answer that says why.
    pub config: String,
    /// Job id; 0 for processes outside a batch system.
    pub job_id: i64,
    /// Pids to trigger. Empty, or exactly 0, means every process of the job.
    pub pids: Vec<i32>,
    /// The maximum number of processes to trigger.
    pub process_limit: u32,
    /// The user whose processes are meant, by name or uid; all users if missing. Existing daemons ignore it.
    pub user: Option<String>,
    /// Conditions beyond job, pids and user. With one, `pids` are those of the selection.
    pub selection: Option<ProcessSelection>,
    /// The path in the config has placeholders for the daemon to expand. Existing daemons ignore it.
    pub expand: bool,
    /// The client understands [`OnDemandDetail`].
    pub extended: bool,
}

impl OnDemand {
    pub(super) fn encode(&self) -> Value {
        let mut value = json!({
            "fn": "setKinetOnDemandRequest",
            "config": self.config,
            "job_id": self.job_id,
            "pids": self.pids,
            "process_limit": self.process_limit,
        });
        if let Some(selection) = &self.selection {
            value["pids"] = json!([NO_PROCESS]);
            value["select"] = selection.encode();
        }
        if let Some(user) = &self.user {
            value["user"] = user.as_str().into();
        }
        if self.expand {
            value["expand"] = true.into();
        }
        if self.extended {
            value["extended"] = true.into();
        }
        value
    }

    /// Whether every process of the job is meant.
    #[must_use]
    pub fn all_pids(&self) -> bool {
        matches!(self.pids.as_slice(), [] | [0])
    }
}

/// msMonitor's verdict on whether a command can take effect: its two functions share hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandStatus {
    /// It can.
    Effective,
    /// It cannot; the other function runs, or no process has this one.
    Ineffective,
    /// No process has reported one; also any word of a newer daemon.
    #[serde(other)]
    Unknown,
}

/// Reply to `setKinetOnDemandRequest`, fields named as on the wire. An msMonitor daemon leaves all but
/// `commandStatus` out when that is not `effective`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnDemandReply {
    /// Leaf pids of the processes that match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes_matched: Option<Vec<i64>>,
    /// Always empty; of a profiler that no longer exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_profilers_triggered: Option<Vec<i64>>,
    /// Leaf pids of the processes that will get the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity_profilers_triggered: Option<Vec<i64>>,
    /// Always 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_profilers_busy: Option<i64>,
    /// Matching processes that still have an undelivered config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity_profilers_busy: Option<i64>,
    /// From msMonitor daemons, and from ours for processes that report status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_status: Option<CommandStatus>,
    /// Its details, for a client that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<OnDemandDetail>,
}

/// The details of `setKinetOnDemandRequest`, for a client that asked for more: enough to say why nothing matched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnDemandDetail {
    /// Registered processes of all jobs.
    pub registered: u64,
    /// Every job id present, with its number of processes.
    pub jobs: Vec<JobCount>,
    /// Requested pids that no process of the job reported.
    #[serde(default)]
    pub unknown_pids: Vec<i32>,
    /// Requested pids that processes have in pid namespaces of their own, but that do not count there: on the host the pid
    /// is that of another user's process, or processes of several users have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ambiguous_pids: Vec<i32>,
    /// The daemon has applied the selection of the request; a daemon that does not know selections has selected nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub selected: bool,
    /// Requested ranks that no process of the job has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_ranks: Vec<i64>,
    /// Processes of the job whose rank is not known, if ranks were requested.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub without_rank: u64,
    /// Matching pids left out because of the process limit.
    #[serde(default)]
    pub beyond_limit: Vec<i32>,
    /// Matching processes that still wait for an earlier config.
    #[serde(default)]
    pub busy: Vec<Busy>,
    /// The request's id for each triggered process; its trace carries it as `trace_id`.
    #[serde(default)]
    pub triggered: Vec<Triggered>,
    /// Processes whose messages the daemon did not take lately.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<RejectedSenders>,
    /// Milliseconds since the daemon started, if that is so recent that processes may not have come back to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<u64>,
    /// Why the command is ineffective, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Processes of one user whose messages the daemon did not take lately, by cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedSenders {
    /// The user.
    pub uid: u32,
    /// The name of the user, if the daemon's host knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A stable word for the cause, such as `user`, `pid` or `processes_full`.
    pub cause: String,
    /// The cause in words, with the option that changes it.
    pub reason: String,
    /// Messages.
    pub count: u64,
    /// The host pid of the last one's sender.
    pub last_pid: i32,
    /// Milliseconds since the last one.
    pub last_ms: u64,
}

/// Processes of one job and user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCount {
    /// Job id.
    pub job_id: i64,
    /// Registered processes.
    pub processes: u64,
    /// The user whose processes they are; missing from older daemons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The name of that user, if the daemon's host knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A process that has not fetched its last config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Busy {
    /// Leaf pid.
    pub pid: i32,
    /// How long the config has been waiting, milliseconds.
    pub since_ms: u64,
    /// The user that the process runs as; missing from older daemons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
}

/// A triggered process and the id that its trace will carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triggered {
    /// Leaf pid.
    pub pid: i32,
    /// Decimal 64-bit id.
    pub trace_id: String,
    /// Pid in the daemon's namespace, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_pid: Option<i32>,
    /// The user that the process runs as; missing from older daemons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The name of that user, if the daemon's host knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The rank of the process in its job, if its environment names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// The log file in the config of the process, if it differs from that of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_file: Option<String>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}
