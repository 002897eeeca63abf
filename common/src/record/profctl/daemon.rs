//! The state of a daemon itself: its health, its certificates, and the metrics that it has been sent.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ReplySummary;
use crate::record::Record;

/// The health of a daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DaemonHealth {
    /// ok, degraded (something is missing) or not_ready (requests are not carried out).
    pub status: String,
    /// Whether requests are carried out.
    pub ready: bool,
    /// Problems of the daemon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<HealthProblem>,
    /// The version of the daemon.
    pub version: String,
    /// Since the daemon started, seconds.
    pub uptime_s: u64,
}

/// Something that is not as it should be in a daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthProblem {
    /// A stable word: stopping, ipc_stalled, audit, ipc_disabled, ipc_socket, certificates or state_dir.
    pub code: String,
    /// Its description.
    pub message: String,
    /// Whether requests are not carried out because of it.
    pub blocks: bool,
}

/// `profctl.health`: the health of one daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// The daemon, and the outcome.
    #[serde(flatten)]
    pub answer: ReplySummary,
    /// Its health, if it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<DaemonHealth>,
}

impl Record for Health {
    const TYPE: &'static str = "profctl.health";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profctl.health","v":1,"host":"node1","port":1778,"address":"192.0.2.1:1778","outcome":"done","elapsed_ms":2,"health":{"status":"degraded","ready":true,"problems":[{"code":"ipc_socket","message":"/home/ai/dynolog.sock: permission denied","blocks":false}],"version":"0.1.0","uptime_s":3600}}"#;
}

/// `profctl.metrics`: what processes have sent to one daemon, and the last samples of its host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metrics {
    /// The daemon, and the outcome.
    #[serde(flatten)]
    pub answer: ReplySummary,
    /// How many totals the daemon has.
    pub total: u64,
    /// The totals; none with `--host`.
    pub series: Vec<MetricTotal>,
    /// The last samples of the host and of its devices.
    pub samples: Vec<HostSample>,
}

/// The metrics that a process has sent of one kind, device and domain since the daemon has known it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetricTotal {
    /// Kernel, API, Marker and others.
    pub kind: String,
    /// The device; -1 for the host.
    pub device_id: i64,
    /// The sender's pid on the host.
    pub host_pid: i32,
    /// The user that it runs as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The job that it registered under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<i64>,
    /// The marker's domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Facts of its environment: rank, local_rank, slurm_job_id, slurm_account, slurm_partition, pod, namespace, and those that a
    /// mappings file names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Sum of the durations, nanoseconds.
    pub dur_ns: u64,
    /// Number of metrics.
    pub reports: u64,
    /// Milliseconds since the last one.
    pub last_ms: u64,
}

/// A sample of a host, or of one of its devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostSample {
    /// The device; missing for the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// When it was taken, RFC 3339 in UTC.
    pub time: String,
    /// More facts about the device.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The values by the names of dynolog; see profd.sample.
    pub values: BTreeMap<String, f64>,
}

impl Record for Metrics {
    const TYPE: &'static str = "profctl.metrics";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profctl.metrics","v":1,"host":"node1","port":1778,"address":"192.0.2.1:1778","outcome":"done","elapsed_ms":3,"total":1,"series":[{"kind":"Kernel","device_id":0,"host_pid":4242,"uid":1000,"job_id":0,"labels":{"rank":"5","slurm_job_id":"4711"},"dur_ns":81230450,"reports":12,"last_ms":850}],"samples":[{"time":"2026-03-01T12:00:00.25Z","values":{"cpu_util":12.5,"uptime":86400.0}}]}"#;
}

/// The certificates that a daemon serves with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Certificates {
    /// When its directory was last loaded as a whole.
    pub loaded_at: String,
    /// The CRLs in use. A newer one is in use as soon as it is there, even if the reload fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crls: Vec<CrlInUse>,
    /// The certificate that the daemon presents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<CertificateInUse>,
    /// The trust anchors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<CertificateInUse>,
    /// Problems that keep clients out now, or the daemon from noticing changes; a CRL that has expired, for example.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// CRLs of the directory that are not in use, each with the reason; a few of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declined_crls: Vec<String>,
    /// When the last reload was tried, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload_failed_at: Option<String>,
    /// Why it failed: the directory as it is now is not in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload_error: Option<String>,
}

/// A certificate that a daemon uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateInUse {
    /// Its subject.
    pub subject: String,
    /// Its serial number, in hex.
    pub serial: String,
    /// When it expires.
    pub not_after: String,
    /// SHA-256 of it, in hex.
    pub sha256: String,
}

/// One CRL that a daemon uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CrlInUse {
    /// The name of the CA.
    pub issuer: String,
    /// The identifier of the key that signed it (authorityKeyIdentifier), in hex: several CAs may have one name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_key_id: Option<String>,
    /// The CRL's number, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// When it was made.
    pub this_update: String,
    /// When the next one is due; after that, clients under this CA are rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_update: Option<String>,
    /// Since its thisUpdate by the daemon's clock, seconds. `certck` sets thisUpdate five minutes back.
    pub age_s: i64,
    /// Since this daemon has it in use, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_use_s: Option<u64>,
    /// Revoked certificates.
    pub revoked: u64,
}
