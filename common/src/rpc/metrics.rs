//! `getMetrics`, which only daemons of ours have: what processes have sent lately, and the last samples of the host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Reply to `getMetrics`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricListReply {
    /// One page of the totals of processes.
    pub series: Vec<MetricSeries>,
    /// The totals before this page.
    pub offset: u64,
    /// The totals of all pages.
    pub total: u64,
    /// The last samples of the host and of its devices; on the first page only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<HostSample>,
    /// Seconds since the daemon started.
    #[serde(default)]
    pub uptime_s: u64,
}

/// The metrics that a process has sent of one kind, device and domain since the daemon has known it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricSeries {
    /// Kernel, API, Marker and others.
    pub kind: String,
    /// The device; -1 for the host.
    pub device_id: i64,
    /// The sender's pid in the daemon's namespace.
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
    /// Facts of its environment: rank, Slurm job, pod and others, by the names of the labels for Prometheus.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Sum of the durations, nanoseconds.
    pub dur_ns: u64,
    /// Number of metrics.
    pub reports: u64,
    /// Milliseconds since the last one.
    pub last_ms: u64,
}

/// A sample of the host, or of one of its devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostSample {
    /// The device; missing for the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// When it was taken, RFC 3339 in UTC.
    pub time: String,
    /// More facts about the device.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The values by the names of dynolog.
    pub values: BTreeMap<String, f64>,
}
