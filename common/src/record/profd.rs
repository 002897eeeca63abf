//! Records of `profd`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, entry, summary};

/// All of them.
pub const ENTRIES: &[Entry] = &[
    entry::<Ready>(),
    entry::<Metric>(),
    entry::<Sample>(),
    entry::<Audit>(),
    entry::<Log>(),
    entry::<Summary>(),
];

/// `profd.ready`: the daemon listens. With `--port 0`, it holds the port that was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ready {
    /// Version of the daemon.
    pub version: String,
    /// Process id of the daemon.
    pub pid: i32,
    /// RPC addresses, `address:port`.
    pub addresses: Vec<String>,
    /// Whether they speak mutual TLS.
    pub tls: bool,
    /// Sockets of the process side: paths, or `@name` for abstract ones.
    pub sockets: Vec<String>,
    /// Where metrics are recorded, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_log_dir: Option<String>,
    /// HTTP addresses for Prometheus and health checks, if there are some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http_addresses: Vec<String>,
}

impl Record for Ready {
    const TYPE: &'static str = "profd.ready";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profd.ready","v":1,"version":"0.1.0","pid":812,"addresses":["127.0.0.1:1778","[::1]:1778"],"tls":true,"sockets":["@dynolog","@dynolog_data","/home/ai/dynolog.sock","/home/ai/dynolog_data.sock"],"metric_log_dir":"/var/log/profd"}"#;
}

/// `profd.metric`: one aggregated measurement that a process sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// When it was received, RFC 3339 in UTC.
    pub received: String,
    /// The kind of activity: Kernel, API, Communication, Marker and others.
    pub kind: String,
    /// The device; -1 for the host, however the sender wrote that.
    pub device_id: i64,
    /// Sum of the durations in the interval, nanoseconds.
    pub dur_ns: u64,
    /// When the sender aggregated it, nanoseconds since 1970 by its wall clock.
    pub timestamp_ns: u64,
    /// The marker's domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The marker's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The sender's pid in the daemon's namespace.
    pub host_pid: i32,
    /// The user that the sender runs as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The sender's pid as it registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The job that the sender registered under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<i64>,
    /// The sender's rank, by its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// Its rank on this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_rank: Option<i64>,
    /// Its Slurm job, by its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slurm_job_id: Option<String>,
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
    /// More of its environment that a mappings file asks for, by the names given there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

impl Record for Metric {
    const TYPE: &'static str = "profd.metric";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profd.metric","v":1,"received":"2026-03-01T12:00:00.25Z","kind":"Communication","device_id":0,"dur_ns":81230450,"timestamp_ns":1772366400249000000,"host_pid":4242,"pid":4242,"job_id":0}"#;
}

/// `profd.sample`: one sample of the host, or of one of its devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// When it was taken, RFC 3339 in UTC.
    pub time: String,
    /// The name of the host.
    pub host: String,
    /// The device that the values are of; missing for the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// More facts about the device.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The values by the names of dynolog: cpu_util (percent), cpu_u_ms (ms since the last sample), rx_bytes.eth0 (bytes
    /// since the last sample) and others. The first sample has the uptime (s) only.
    pub values: BTreeMap<String, f64>,
}

impl Record for Sample {
    const TYPE: &'static str = "profd.sample";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profd.sample","v":1,"time":"2026-03-01T12:00:00.25Z","host":"node1","values":{"cpu_util":12.5,"rx_bytes.eth0":81230.0,"uptime":86400.0}}"#;
}

/// `profd.audit`: one request to the daemon and the answer to it, or a client that was rejected; a line of the audit trail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Audit {
    /// When the answer was decided, RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// Identifies the request: random for each run of the daemon, then counted.
    pub request_id: String,
    /// Address and port of the client. With a count: the address without a port, of IPv6 the /64, or `several`.
    pub address: String,
    /// The subject of the client certificate by RFC 4514, also of one that was rejected; missing with plain TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The SHA-256 of that certificate in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The name of the rule of the rules file that applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The function as on the wire, `http` over HTTP; `handshake` or `connection` for a client that was rejected before its
    /// request, or whose connection was closed.
    pub function: String,
    /// The job that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<i64>,
    /// The pids that were asked for, at most 64; none for every process of the job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pids: Vec<i32>,
    /// Pids beyond those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids_omitted: Option<u64>,
    /// The user that was asked for, as the client named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The output path in the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The processes that matched, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<AuditedProcess>,
    /// Processes beyond those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes_omitted: Option<u64>,
    /// done, declined (no process was triggered) or rejected (by a rule, a limit, or because it was malformed).
    pub answer: String,
    /// A stable word for why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it was declined or rejected, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many handshakes the line stands for, of the address or of several: those of a minute beyond the first; or how many
    /// requests that changed nothing, while the trail could not be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// A process that matched an audited request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditedProcess {
    /// The pid as the process knows itself.
    pub pid: i32,
    /// The pid on the host, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_pid: Option<i32>,
    /// The user that it runs as.
    pub uid: u32,
    /// The name of that user, if the host knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// triggered, busy, beyond_limit, ineffective or state_unknown.
    pub result: String,
    /// The id that its trace carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

impl Record for Audit {
    const TYPE: &'static str = "profd.audit";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profd.audit","v":1,"time":"2026-03-01T12:00:00.250Z","request_id":"9f86d081-12","address":"192.0.2.7:40112","subject":"CN=alice,O=Research","fingerprint":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","rule":"research","function":"setKinetOnDemandRequest","job_id":4711,"output":"/data/prof/t.json","processes":[{"pid":4242,"uid":1000,"user":"alice","result":"triggered","trace_id":"7331"}],"answer":"done"}"#;
}

/// `profd.log`: a line of the log, on standard error, with `--log-format json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Log {
    /// When it happened.
    pub time: String,
    /// error, warning, notice, info or debug.
    pub level: String,
    /// The subject: a peer, a socket, a file or a part of the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The event.
    pub message: String,
}

impl Record for Log {
    const TYPE: &'static str = "profd.log";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profd.log","v":1,"time":"2026-11-23T10:00:00.125Z","level":"notice","subject":"127.0.0.1:1778","message":"listening, mutual TLS"}"#;
}

summary!(Summary, "profd.summary", r#"{"type":"profd.summary","v":1,"requests":12,"configs_delivered":2,"metrics_recorded":340,"metrics_dropped":0,"errors":0}"#, {
    /// RPC requests answered.
    requests: u64,
    /// Configs that reached their process.
    configs_delivered: u64,
    /// Metrics recorded; each sink counts.
    metrics_recorded: u64,
    /// Metrics that were not recorded, for whatever cause; each sink counts.
    metrics_dropped: u64,
});
