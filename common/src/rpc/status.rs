//! Replies about the state of a daemon and of its processes: `getStatus`, `listProcesses` and `getHealth`.

use serde::{Deserialize, Serialize};

use super::on_demand::RejectedSenders;

/// State of a profiling function in a process, as words on the RPC side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FunctionState {
    /// No process has it.
    Uninitialized,
    /// Ready to be asked.
    Idle,
    /// Recording now.
    Running,
    /// Asked, waiting for its start step. npumonitor is never Ready.
    Ready,
    /// Not known, or processes disagree in a way that has no word; also any word of a newer daemon.
    #[serde(rename = "unknown", other)]
    Unknown,
}

/// Reply to `getStatus`. An upstream daemon sends only `status`, an msMonitor one only the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReply {
    /// 1 from an upstream daemon that is alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i64>,
    /// State of nputrace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nputrace: Option<FunctionState>,
    /// State of npumonitor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub npumonitor: Option<FunctionState>,
    /// Current training step; -1 until known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_step: Option<i64>,
    /// First step of a trace that is Running or Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_step: Option<i64>,
    /// The step before which that trace stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_step: Option<i64>,
    /// The details behind the aggregate, for a client that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<StatusDetail>,
}

/// The details of `getStatus`, for a client that asked for more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusDetail {
    /// Every registered process.
    pub processes: Vec<ProcessStatus>,
    /// Processes beyond those listed.
    #[serde(default)]
    pub processes_omitted: u64,
    /// Named counters since the daemon started, such as `ipc.rejected.credentials`.
    #[serde(default)]
    pub counters: std::collections::BTreeMap<String, u64>,
    /// Seconds since the daemon started.
    #[serde(default)]
    pub uptime_s: u64,
    /// Processes whose messages the daemon did not take lately.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<RejectedSenders>,
    /// The certificates in use, of a daemon that serves TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<CertificateStatus>,
    /// The health of the daemon; missing from older daemons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthReply>,
}

/// Reply to `getHealth`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReply {
    /// `ok`, `degraded` (something is missing) or `not_ready` (requests are not carried out).
    pub status: String,
    /// Whether requests are carried out.
    pub ready: bool,
    /// Problems of the daemon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<HealthProblem>,
    /// The version of the daemon.
    #[serde(default)]
    pub version: String,
    /// Seconds since the daemon started.
    #[serde(default)]
    pub uptime_s: u64,
}

/// Something that is not as it should be in a daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthProblem {
    /// A stable word, such as `ipc_socket` or `certificates`.
    pub code: String,
    /// Its description.
    pub message: String,
    /// Whether requests are not carried out because of it.
    #[serde(default)]
    pub blocks: bool,
}

/// Reply to `listProcesses`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessListReply {
    /// One page of them.
    pub processes: Vec<ProcessStatus>,
    /// The processes before this page.
    pub offset: u64,
    /// The processes of all pages.
    pub total: u64,
    /// Seconds since the daemon started.
    #[serde(default)]
    pub uptime_s: u64,
}

/// The last config that a process was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRequest {
    /// Decimal 64-bit id.
    pub trace_id: String,
    /// `trace` or `monitor`.
    pub function: String,
    /// `pending` (not fetched), `delivered`, `running` and `finished` (as the process reports), or `expired` (not fetched in
    /// time).
    pub outcome: String,
    /// Milliseconds since that is so.
    pub since_ms: u64,
}

/// The certificates that a daemon serves with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// When the directory was last loaded as a whole; RFC 3339, UTC.
    pub loaded_at: String,
    /// The CRLs in use; none where the directory has none.
    #[serde(default)]
    pub crls: Vec<CrlStatus>,
    /// The certificate that the daemon presents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<CertificateSummary>,
    /// The trust anchors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<CertificateSummary>,
    /// Problems that keep clients out now, or the daemon from noticing changes; a CRL that has expired, for example.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// CRLs of the directory that are not in use, each with the reason; a few of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declined_crls: Vec<String>,
    /// Why the directory as it is now is not in use, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload_failure: Option<ReloadFailure>,
}

/// A certificate that a daemon uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateSummary {
    /// Its subject.
    pub subject: String,
    /// Its serial number in hex.
    pub serial: String,
    /// When it expires; RFC 3339, UTC.
    pub not_after: String,
    /// SHA-256 of it, in hex.
    pub sha256: String,
}

/// One CRL that a daemon uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrlStatus {
    /// The name of the CA.
    pub issuer: String,
    /// The identifier of the key that signed it (authorityKeyIdentifier), in hex: several CAs may have one name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_key_id: Option<String>,
    /// The CRL's number in hex, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// When it was made; RFC 3339, UTC.
    pub this_update: String,
    /// When the next one is due, after which every client of this CA is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_update: Option<String>,
    /// Seconds since its thisUpdate, by the daemon's clock. `certck` sets thisUpdate five minutes back.
    pub age_s: i64,
    /// Seconds since this daemon has it in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_use_s: Option<u64>,
    /// Revoked certificates.
    pub revoked: u64,
}

/// A reload that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadFailure {
    /// When it was last tried; RFC 3339, UTC.
    pub at: String,
    /// The first thing that is wrong.
    pub reason: String,
}

/// One registered process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// Leaf pid, as the process knows itself.
    pub pid: i32,
    /// Pid in the daemon's namespace, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_pid: Option<i32>,
    /// The user that it runs as; missing from older daemons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The name of that user, if the daemon's host knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Job id.
    pub job_id: i64,
    /// Device index, where the process registered with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<i32>,
    /// The program, and for Python its script or module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// `launcher` (it starts the processes that train) or `helper` (such as a data loader), if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Its rank, by its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// Its rank on this host, by its environment.
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
    /// The account that pays for that job.
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
    /// Milliseconds since its last message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_ms: Option<u64>,
    /// Milliseconds since it last asked for a config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_poll_ms: Option<u64>,
    /// Milliseconds that a config has been waiting for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_ms: Option<u64>,
    /// State of nputrace in it, if it reported one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nputrace: Option<FunctionState>,
    /// State of npumonitor in it, if it reported one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub npumonitor: Option<FunctionState>,
    /// Its current step, if it reported one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_step: Option<i64>,
    /// First step of its trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_step: Option<i64>,
    /// The step before which its trace stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_step: Option<i64>,
    /// The last config that it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_request: Option<LastRequest>,
}
