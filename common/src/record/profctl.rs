//! Records of `profctl`: one per daemon asked, one per trace waited for, and a summary.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, entry, summary};

mod daemon;
mod traces;

pub use daemon::{
    CertificateInUse, Certificates, CrlInUse, DaemonHealth, Health, HealthProblem, HostSample, MetricTotal,
    Metrics,
};
pub use traces::{StartSkew, SynchronizedStart, TraceFile, TraceMissing};

/// All of them.
pub const ENTRIES: &[Entry] = &[
    entry::<Status>(),
    entry::<Processes>(),
    entry::<Health>(),
    entry::<Metrics>(),
    entry::<Version>(),
    entry::<Request>(),
    entry::<ScheduledRun>(),
    entry::<SynchronizedStart>(),
    entry::<TraceFile>(),
    entry::<TraceMissing>(),
    entry::<StartSkew>(),
    entry::<AuditSummary>(),
    entry::<Summary>(),
];

/// The outcome of one request to one daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestOutcome {
    /// The daemon did what was asked.
    Done,
    /// The daemon replied that it cannot do it now: the same request may be done later.
    Declined,
    /// The daemon replied that a rule or a limit forbids it: the same request will be rejected again.
    Rejected,
    /// No usable reply: unreachable, not trusted, not understood.
    Failed,
}

/// The daemon that a request went to, and its outcome; part of every record about one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReplySummary {
    /// The host, as it was given.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The address that replied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The outcome.
    pub outcome: RequestOutcome,
    /// Why it was declined or rejected, or failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The code of the daemon's error, as in its audit trail: `forbidden`, `output_path`, `busy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Hints: what to do about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// From the request to the complete reply, in milliseconds.
    pub elapsed_ms: u64,
}

/// `profctl.status`: the state of one daemon and of the processes it knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The daemon, and the outcome.
    #[serde(flatten)]
    pub answer: ReplySummary,
    /// State of nputrace over all processes: Uninitialized, Idle, Running, Ready or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nputrace: Option<String>,
    /// State of npumonitor over all processes: Uninitialized, Idle, Running or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub npumonitor: Option<String>,
    /// Current training step; missing until known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_step: Option<i64>,
    /// First step of a trace that is Running or Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_step: Option<i64>,
    /// The step before which that trace stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_step: Option<i64>,
    /// Since the daemon started, seconds; from profd only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_s: Option<u64>,
    /// Every registered process; from profd only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<Vec<Process>>,
    /// Processes beyond those listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes_omitted: Option<u64>,
    /// Processes whose messages the daemon did not take lately, by user and cause; from profd only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
    /// The daemon's counters since it started; from profd only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, u64>,
    /// The certificates that the daemon serves with; from profd with TLS only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Certificates>,
    /// The health of the daemon; from profd only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<DaemonHealth>,
}

/// `profctl.processes`: the registered processes of one daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Processes {
    /// The daemon, and the outcome.
    #[serde(flatten)]
    pub answer: ReplySummary,
    /// How many are registered.
    pub total: u64,
    /// As many of them as the daemon sends at once.
    pub processes: Vec<Process>,
}

impl Record for Processes {
    const TYPE: &'static str = "profctl.processes";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profctl.processes","v":1,"host":"node1","port":1778,"address":"192.0.2.1:1778","outcome":"done","elapsed_ms":3,"total":1,"processes":[{"pid":4242,"uid":1000,"user":"alice","job_id":4711,"device":0,"command":"python3 train.py","rank":5,"local_rank":1,"world_size":8,"slurm_job_id":"4711","slurm_account":"lab","slurm_partition":"gpu","last_seen_ms":850,"last_poll_ms":850,"nputrace":"Idle","current_step":120,"last_request":{"trace_id":"7331","function":"trace","outcome":"finished","since_ms":42000}}]}"#;
}

impl Record for Status {
    const TYPE: &'static str = "profctl.status";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profctl.status","v":1,"host":"node1","port":1778,"address":"192.0.2.1:1778","outcome":"done","elapsed_ms":3,"nputrace":"Idle","npumonitor":"Uninitialized","current_step":120,"uptime_s":3600,"processes":[{"pid":4242,"uid":1000,"user":"alice","job_id":0,"device":0,"last_poll_ms":850,"nputrace":"Idle","current_step":120}],"processes_omitted":0,"counters":{"ipc.polls":720},"certificates":{"loaded_at":"2026-11-23T10:00:00Z","crls":[{"issuer":"CN=profguard CA","authority_key_id":"5e3a81c6","number":"02","this_update":"2026-11-23T09:00:00Z","next_update":"2027-02-21T09:00:00Z","age_s":3600,"in_use_s":3300,"revoked":1}],"leaf":{"subject":"CN=node1","serial":"4f12","not_after":"2027-02-21T09:00:00Z","sha256":"9f86d081"},"roots":[{"subject":"CN=profguard CA","serial":"4f11","not_after":"2036-11-20T09:00:00Z","sha256":"2c26b46b"}],"problems":["CRL 02 by CN=profguard CA expired at 2026-11-23T09:30:00Z: its clients are rejected"],"reload_failed_at":"2026-11-23T10:00:05Z","reload_error":"server.key.bak: another private key [stray-key]"}}"#;
}

/// One registered process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Process {
    /// Leaf pid, as the process knows itself.
    pub pid: i32,
    /// Pid in the daemon's namespace, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_pid: Option<i32>,
    /// The user that it runs as; from profd only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The name of that user on the daemon's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Job id.
    pub job_id: i64,
    /// Device index, where the process registered with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<i32>,
    /// The program, and for Python its script or module; from profd only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// launcher (it starts the processes that train) or helper (such as a data loader), if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Its rank, by its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// Its rank on the host, by its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_rank: Option<i64>,
    /// The number of ranks, by its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world_size: Option<i64>,
    /// Its Slurm job, by its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slurm_job_id: Option<String>,
    /// The name of that job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slurm_job_name: Option<String>,
    /// The account of that job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slurm_account: Option<String>,
    /// The partition of that job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slurm_partition: Option<String>,
    /// Its Kubernetes pod, by its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The namespace of that pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Since its last message, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_ms: Option<u64>,
    /// Since it last asked for a config, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_poll_ms: Option<u64>,
    /// How long a config has been waiting for it, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_ms: Option<u64>,
    /// State of nputrace in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nputrace: Option<String>,
    /// State of npumonitor in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub npumonitor: Option<String>,
    /// Its current step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_step: Option<i64>,
    /// First step of its trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_step: Option<i64>,
    /// The step before which its trace stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_step: Option<i64>,
    /// The last request that it was given; from profd only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_request: Option<LastRequest>,
}

/// The last request that a process was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastRequest {
    /// The request's id, which its trace carries.
    pub trace_id: String,
    /// trace or monitor.
    pub function: String,
    /// pending (not fetched), delivered, running or finished (as the process reports), or expired (not fetched in time).
    pub outcome: String,
    /// Since that is so, milliseconds.
    pub since_ms: u64,
}

/// `profctl.version`: the version of one daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// The daemon, and the outcome.
    #[serde(flatten)]
    pub answer: ReplySummary,
    /// The daemon's own text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Record for Version {
    const TYPE: &'static str = "profctl.version";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profctl.version","v":1,"host":"node1","port":1778,"address":"192.0.2.1:1778","outcome":"done","elapsed_ms":2,"version":"0.1.0"}"#;
}

/// `profctl.request`: what one daemon made of one command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// The daemon, and the outcome.
    #[serde(flatten)]
    pub answer: ReplySummary,
    /// The subcommand: gputrace, nputrace, npu-monitor, dcgm-pause or dcgm-resume.
    pub function: String,
    /// The job asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<i64>,
    /// Leaf pids of the processes that match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matched_pids: Vec<i64>,
    /// The processes that get the command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggered: Vec<Triggered>,
    /// Matching processes that still have an earlier command to fetch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<u64>,
    /// The daemon's verdict: effective, ineffective or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_status: Option<String>,
    /// Requested pids that the daemon does not know; from profd only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_pids: Vec<i32>,
    /// Requested pids that several processes have in pid namespaces of their own, so that none of them is meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ambiguous_pids: Vec<i32>,
    /// Processes whose messages the daemon did not take lately, by user and cause; from profd only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
    /// Requested ranks that no process there has; from profd only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_ranks: Vec<i64>,
    /// Matching pids left out because of the process limit; from profd only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beyond_limit: Vec<i32>,
    /// Matching processes left out because of the default limit, although no limit was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<u64>,
    /// Processes registered with the daemon, by job id; from profd only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Vec<Job>>,
}

impl Record for Request {
    const TYPE: &'static str = "profctl.request";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profctl.request","v":1,"host":"node1","port":1778,"address":"192.0.2.1:1778","outcome":"done","elapsed_ms":4,"function":"gputrace","job_id":0,"matched_pids":[4242],"triggered":[{"pid":4242,"trace_id":"7331","path":"/tmp/trace_4242.json"}],"busy":0,"jobs":[{"job_id":0,"processes":1}]}"#;
}

/// A process that gets the command, and where its trace will appear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Triggered {
    /// Leaf pid.
    pub pid: i64,
    /// Pid in the daemon's namespace, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_pid: Option<i32>,
    /// The user that the process runs as; from profd only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The name of that user on the daemon's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its rank in the job, if the daemon knows it; from profd only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// The request's id, which the trace carries; from profd only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Where the trace will appear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Where the trace will appear, with `*` for what is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_pattern: Option<String>,
}

/// Processes of one user whose messages a daemon did not take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    /// The user.
    pub uid: u32,
    /// The name of the user on the daemon's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A stable word: user, pid, senders_full, sender_share, processes_full, process_share or jobs_per_process.
    pub cause: String,
    /// The cause in words, with the option that changes it.
    pub reason: String,
    /// Messages.
    pub count: u64,
    /// The host pid of the last one's sender.
    pub last_pid: i32,
    /// Since the last one, milliseconds.
    pub last_ms: u64,
}

/// Registered processes of one job and user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// Job id.
    pub job_id: i64,
    /// How many.
    pub processes: u64,
    /// The user whose processes they are; from profd only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The name of that user on the daemon's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// `profctl.scheduled_run`: a run of `profctl schedule` begins; the records of its request follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduledRun {
    /// From 1.
    pub run: u64,
    /// When it began.
    pub at: String,
    /// Why it began then.
    pub reason: String,
}

impl Record for ScheduledRun {
    const TYPE: &'static str = "profctl.scheduled_run";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profctl.scheduled_run","v":1,"run":2,"at":"2026-11-29T10:30:00Z","reason":"step 120 takes 2.4 times the median"}"#;
}

summary!(AuditSummary, "profctl.audit_summary", r#"{"type":"profctl.audit_summary","v":1,"lines":12,"matched":2,"errors":0}"#, {
    /// Lines of the audit trail that were read.
    lines: u64,
    /// Those that match the options.
    matched: u64,
});

summary!(Summary, "profctl.summary", r#"{"type":"profctl.summary","v":1,"hosts":2,"done":1,"declined":1,"rejected":0,"failed":0,"triggered":1,"limited":0,"partial":0,"traces_complete":1,"traces_missing":0,"degraded":0,"errors":0}"#, {
    /// Daemons asked.
    hosts: u64,
    /// Daemons that did what was asked.
    done: u64,
    /// Daemons that could not do it now.
    declined: u64,
    /// Daemons that rejected the request by a rule or a limit.
    rejected: u64,
    /// Daemons without a usable answer.
    failed: u64,
    /// Processes triggered.
    triggered: u64,
    /// Daemons on which the default process limit has left processes out.
    limited: u64,
    /// Daemons on which some matching processes were busy, or could not take the request, although others were triggered.
    partial: u64,
    /// Traces waited for that are complete.
    traces_complete: u64,
    /// Traces waited for in vain.
    traces_missing: u64,
    /// Daemons that answered and whose certificates need attention (`profctl status`).
    degraded: u64,
});
