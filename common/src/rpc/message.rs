//! Requests and replies: what a frame's JSON means.
//!
//! Existing clients break on reply fields that they do not know, so everything that we add to a reply is
//! sent only to a client that asked with `"extended": true`; existing daemons ignore that field.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::progress::MAX_TRACE_IDS;
use super::selection::{NO_PROCESS, ProcessSelection};

/// Most pids that one request may list.
pub const MAX_PIDS: usize = 4096;
/// How many processes a request triggers when it does not say.
pub const DEFAULT_PROCESS_LIMIT: u32 = 1000;
/// How long `dcgmProfPause` pauses when it does not say, seconds.
pub const DEFAULT_PAUSE_S: u32 = 300;

/// How many processes one page of `listProcesses` has, if the request does not say.
pub const DEFAULT_PAGE: u32 = 1000;

/// A request to a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `getStatus`.
    Status {
        /// The client understands [`StatusDetail`].
        extended: bool,
    },
    /// `getVersion`.
    Version,
    /// `setKinetOnDemandRequest`.
    OnDemand(OnDemand),
    /// `getConfigStates`: what became of the configs of these ids.
    ConfigStates {
        /// The ids of the requests, one for each process.
        trace_ids: Vec<u64>,
    },
    /// `getClock`.
    Clock,
    /// `dcgmProfPause`, or `dcgmPause` from older clients.
    DcgmPause {
        /// Seconds.
        duration_s: u32,
    },
    /// `dcgmProfResume`, or `dcgmResume` from older clients.
    DcgmResume,
    /// `listProcesses`, which only daemons of ours have.
    Processes(ProcessPage),
    /// `getHealth`, which only daemons of ours have.
    Health,
}

/// A page of the registered processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessPage {
    /// The processes before it.
    pub offset: u64,
    /// The maximum number of processes in it; a daemon may send fewer.
    pub limit: u64,
}

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

/// Why a frame's content is not a request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Not UTF-8 or not JSON. Where, never what: the text is the peer's.
    #[error("request is not valid JSON (line {line}, column {column})")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Not an object.
    #[error("request is not a JSON object")]
    NotObject,
    /// No `fn`, or not a string.
    #[error("request has no function name `fn`")]
    NoFunction,
    /// A function that this daemon does not have.
    #[error("request names an unknown function")]
    UnknownFunction,
    /// A required field is absent.
    #[error("request field `{0}` is missing")]
    Missing(&'static str),
    /// A field has the wrong type, or a number is out of range.
    #[error("request field `{field}` is not {expected}")]
    BadField {
        /// Its name.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

impl Request {
    /// Reads a frame's body.
    ///
    /// # Errors
    /// See [`RequestError`]. Numbers are never narrowed in silence.
    pub fn decode(body: &[u8]) -> Result<Self, RequestError> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|e| RequestError::NotJson { line: e.line(), column: e.column() })?;
        let fields = Fields(value.as_object().ok_or(RequestError::NotObject)?);
        match fields.0.get("fn").and_then(Value::as_str).ok_or(RequestError::NoFunction)? {
            "getStatus" => Ok(Self::Status { extended: fields.flag("extended")? }),
            "getVersion" => Ok(Self::Version),
            "setKinetOnDemandRequest" => fields.on_demand().map(Self::OnDemand),
            "getConfigStates" => Ok(Self::ConfigStates { trace_ids: fields.trace_ids()? }),
            "getClock" => Ok(Self::Clock),
            "dcgmProfPause" | "dcgmPause" => {
                let duration_s = fields.count("duration_s", DEFAULT_PAUSE_S)?;
                Ok(Self::DcgmPause { duration_s })
            }
            "dcgmProfResume" | "dcgmResume" => Ok(Self::DcgmResume),
            "listProcesses" => Ok(Self::Processes(ProcessPage {
                offset: fields.count("offset", 0)?.into(),
                limit: fields.count("limit", DEFAULT_PAGE)?.into(),
            })),
            "getHealth" => Ok(Self::Health),
            _ => Err(RequestError::UnknownFunction),
        }
    }

    /// Writes a frame's body. The field `extended` is sent wherever it has a meaning.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let value = match self {
            Self::Status { extended: true } => json!({"fn": "getStatus", "extended": true}),
            Self::Status { extended: false } => json!({"fn": "getStatus"}),
            Self::Version => json!({"fn": "getVersion"}),
            Self::OnDemand(r) => r.encode(),
            Self::ConfigStates { trace_ids } => {
                let ids: Vec<String> = trace_ids.iter().map(ToString::to_string).collect();
                json!({"fn": "getConfigStates", "trace_ids": ids})
            }
            Self::Clock => json!({"fn": "getClock"}),
            Self::DcgmPause { duration_s } => json!({"fn": "dcgmProfPause", "duration_s": duration_s}),
            Self::DcgmResume => json!({"fn": "dcgmProfResume"}),
            Self::Processes(page) => {
                json!({"fn": "listProcesses", "offset": page.offset, "limit": page.limit})
            }
            Self::Health => json!({"fn": "getHealth"}),
        };
        value.to_string().into_bytes()
    }

    /// The function's name on the wire; what logs call the request.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status { .. } => "getStatus",
            Self::Version => "getVersion",
            Self::OnDemand(_) => "setKinetOnDemandRequest",
            Self::ConfigStates { .. } => "getConfigStates",
            Self::Clock => "getClock",
            Self::DcgmPause { .. } => "dcgmProfPause",
            Self::DcgmResume => "dcgmProfResume",
            Self::Processes(_) => "listProcesses",
            Self::Health => "getHealth",
        }
    }
}

impl OnDemand {
    fn encode(&self) -> Value {
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

/// Typed access to a request's fields.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn on_demand(&self) -> Result<OnDemand, RequestError> {
        let config = self.0.get("config").ok_or(RequestError::Missing("config"))?;
        let config =
            config.as_str().ok_or(RequestError::BadField { field: "config", expected: "a string" })?;
        let bad = RequestError::BadField {
            field: "select",
            expected: "an object of at most 4096 pids, 4096 ranks and 64 names",
        };
        let selection = self.0.get("select").map(|v| ProcessSelection::decode(v).ok_or(bad)).transpose()?;
        let pids = self.pids()?;
        Ok(OnDemand {
            config: config.to_owned(),
            job_id: self.integer("job_id", 0, "a 64-bit integer")?,
            pids: selection.as_ref().map_or(pids, |selection| selection.pids.clone()),
            selection,
            process_limit: self.count("process_limit", DEFAULT_PROCESS_LIMIT)?,
            user: self.text("user")?,
            expand: self.flag("expand")?,
            extended: self.flag("extended")?,
        })
    }

    fn pids(&self) -> Result<Vec<i32>, RequestError> {
        let bad = RequestError::BadField { field: "pids", expected: "an array of at most 4096 process ids" };
        let pids = self.0.get("pids").ok_or(RequestError::Missing("pids"))?;
        let pids = pids.as_array().filter(|a| a.len() <= MAX_PIDS).ok_or_else(|| bad.clone())?;
        let pid = |v: &Value| v.as_i64().and_then(|n| i32::try_from(n).ok()).filter(|n| *n >= 0);
        pids.iter().map(pid).collect::<Option<_>>().ok_or(bad)
    }

    fn trace_ids(&self) -> Result<Vec<u64>, RequestError> {
        let bad = RequestError::BadField { field: "trace_ids", expected: "an array of at most 4096 ids" };
        let ids = self.0.get("trace_ids").ok_or(RequestError::Missing("trace_ids"))?;
        let ids = ids.as_array().filter(|a| a.len() <= MAX_TRACE_IDS).ok_or_else(|| bad.clone())?;
        ids.iter().map(|v| v.as_str().and_then(|id| id.parse().ok())).collect::<Option<_>>().ok_or(bad)
    }

    fn count(&self, field: &'static str, default: u32) -> Result<u32, RequestError> {
        let n = self.integer(field, default.into(), "a non-negative 32-bit integer")?;
        u32::try_from(n)
            .map_err(|_| RequestError::BadField { field, expected: "a non-negative 32-bit integer" })
    }

    fn integer(
        &self,
        field: &'static str,
        default: i64,
        expected: &'static str,
    ) -> Result<i64, RequestError> {
        match self.0.get(field) {
            None => Ok(default),
            Some(v) => v.as_i64().ok_or(RequestError::BadField { field, expected }),
        }
    }

    fn text(&self, field: &'static str) -> Result<Option<String>, RequestError> {
        let text = |v: &Value| v.as_str().map(str::to_owned);
        let bad = RequestError::BadField { field, expected: "a string" };
        self.0.get(field).map(|v| text(v).ok_or(bad)).transpose()
    }

    fn flag(&self, field: &'static str) -> Result<bool, RequestError> {
        match self.0.get(field) {
            None => Ok(false),
            Some(v) => v.as_bool().ok_or(RequestError::BadField { field, expected: "true or false" }),
        }
    }
}

/// A failure, as existing daemons word it, with our reason beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `failed`, or from existing daemons `failed with exception = …`.
    pub status: String,
    /// Why, from daemons of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<FailureReason>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FailureReason {
    /// With a code.
    Coded {
        /// See [`ErrorCode`]; a newer daemon may have others.
        code: String,
        /// For people.
        message: String,
    },
    /// From older daemons of ours.
    Text(String),
}

impl FailureReason {
    /// The reason in words.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Coded { message, .. } | Self::Text(message) => message,
        }
    }
}

/// Stable words for what made a request fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// A limit on connections or work is reached; the same request may succeed later.
    Busy,
    /// The client has used up its rate of requests.
    Rate,
    /// The client may not do this.
    Forbidden,
    /// The certificate of the client is no longer valid.
    Certificate,
    /// The config is malformed.
    Config,
    /// The config names a path that processes must not write to.
    OutputPath,
    /// The request is malformed.
    Request,
    /// The frame is malformed.
    Frame,
    /// The daemon is stopping.
    Stopping,
    /// The audit trail cannot be written, so nothing is carried out.
    Audit,
    /// The connection is closed because of its age.
    Age,
}

impl ErrorCode {
    /// The word on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Rate => "rate",
            Self::Forbidden => "forbidden",
            Self::Certificate => "certificate",
            Self::Config => "config",
            Self::OutputPath => "output_path",
            Self::Request => "request",
            Self::Frame => "frame",
            Self::Stopping => "stopping",
            Self::Audit => "audit",
            Self::Age => "age",
        }
    }
}

impl Failure {
    /// Wraps a reason.
    #[must_use]
    pub fn new(code: ErrorCode, reason: impl std::fmt::Display) -> Self {
        let error = FailureReason::Coded { code: code.name().to_owned(), message: reason.to_string() };
        Self { status: "failed".to_owned(), error: Some(error) }
    }
}

/// Reply to `getVersion`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionReply {
    /// Free text.
    pub version: String,
}

/// Reply to the dcgm functions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DcgmReply {
    /// Whether it was done.
    pub status: bool,
}

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
    /// What is behind the aggregate, for a client that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<StatusDetail>,
}

/// What `getStatus` says to a client that asked for more.
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
    /// What is not as it should be.
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
    /// What it is.
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
    /// What keeps clients out now, or the daemon from noticing changes; a CRL that has expired, for example.
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
    /// What is behind it, for a client that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<OnDemandDetail>,
}

/// What `setKinetOnDemandRequest` says to a client that asked for more: enough to say why nothing matched.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn err(body: &str) -> String {
        Request::decode(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn existing_clients_requests_are_understood() {
        let body = b"\n{\n \"fn\": \"setKinetOnDemandRequest\",\n \"config\": \"A=1\\nB=2\",\n \"job_id\": 0,\n \"pids\": [0],\n \"process_limit\": 3\n}";
        let Request::OnDemand(r) = Request::decode(body).unwrap() else { panic!() };
        assert_eq!(r.config, "A=1\nB=2");
        assert!(r.all_pids() && !r.extended);
        assert_eq!(r.process_limit, 3);
        assert_eq!(Request::decode(b"{\"fn\":\"dcgmPause\"}"), Ok(Request::DcgmPause { duration_s: 300 }));
    }

    #[test]
    fn requests_survive_the_round_trip() {
        let on_demand = OnDemand {
            config: "LOG=/a\"b\\c".into(),
            job_id: 7,
            pids: vec![1, 2],
            process_limit: 3,
            user: Some("ann".into()),
            selection: None,
            expand: true,
            extended: true,
        };
        for r in [
            Request::Status { extended: true },
            Request::Status { extended: false },
            Request::Version,
            Request::Clock,
            Request::ConfigStates { trace_ids: vec![1, u64::MAX] },
            Request::OnDemand(on_demand),
            Request::DcgmPause { duration_s: 9 },
            Request::DcgmResume,
            Request::Processes(ProcessPage { offset: 4096, limit: 7 }),
            Request::Health,
        ] {
            assert_eq!(Request::decode(&r.encode()), Ok(r));
        }
    }

    #[test]
    fn errors_name_the_field_and_never_quote_the_peer() {
        assert_eq!(err("{"), "request is not valid JSON (line 1, column 1)");
        assert_eq!(err("[]"), "request is not a JSON object");
        assert_eq!(err("{}"), "request has no function name `fn`");
        assert_eq!(err(r#"{"fn":"evil\nline"}"#), "request names an unknown function");
        assert_eq!(err(r#"{"fn":"setKinetOnDemandRequest"}"#), "request field `config` is missing");
        assert_eq!(err(r#"{"fn":"setKinetOnDemandRequest","config":""}"#), "request field `pids` is missing");
        let pids = r#"{"fn":"setKinetOnDemandRequest","config":"","pids":[99999999999]}"#;
        assert_eq!(err(pids), "request field `pids` is not an array of at most 4096 process ids");
        let limit = r#"{"fn":"setKinetOnDemandRequest","config":"","pids":[],"process_limit":-1}"#;
        assert_eq!(err(limit), "request field `process_limit` is not a non-negative 32-bit integer");
    }

    #[test]
    fn deep_nesting_is_an_error_not_a_stack_overflow() {
        assert!(err(&"[".repeat(60_000)).contains("not valid JSON"));
    }

    #[test]
    fn replies_of_every_daemon_are_read() {
        let upstream: StatusReply = serde_json::from_str(r#"{"status":1,"new":{}}"#).unwrap();
        assert_eq!(upstream.status, Some(1));
        let ms: StatusReply = serde_json::from_str(
            r#"{"nputrace":"Ready","npumonitor":"unknown","current_step":4,"start_step":5,"stop_step":7}"#,
        )
        .unwrap();
        assert_eq!((ms.nputrace, ms.stop_step), (Some(FunctionState::Ready), Some(7)));
        let newer: StatusReply =
            serde_json::from_str(r#"{"nputrace":"Paused","npumonitor":"Idle"}"#).unwrap();
        assert_eq!(newer.nputrace, Some(FunctionState::Unknown));
        assert_eq!(serde_json::to_string(&FunctionState::Unknown).unwrap(), r#""unknown""#);
        let refused: OnDemandReply = serde_json::from_str(r#"{"commandStatus":"ineffective"}"#).unwrap();
        assert_eq!(refused.command_status, Some(CommandStatus::Ineffective));
        assert_eq!(refused.processes_matched, None);
    }
}
