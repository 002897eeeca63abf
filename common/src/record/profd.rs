//! Records of `profd`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, entry, summary};

/// All of them.
pub const ENTRIES: &[Entry] = &[entry::<Ready>(), entry::<Metric>(), entry::<Summary>()];

/// `profd.ready`: the daemon listens. With `--port 0`, this is where the port is told.
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
}

impl Record for Ready {
    const TYPE: &'static str = "profd.ready";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profd.ready","v":1,"version":"0.1.0","pid":812,"addresses":["127.0.0.1:1778","[::1]:1778"],"tls":true,"sockets":["@dynolog","@dynolog_data","/home/ai/dynolog.sock","/home/ai/dynolog_data.sock"],"metric_log_dir":"/var/log/profd"}"#;
}

/// `profd.metric`: one aggregated measurement that a process sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// When it was received, RFC 3339 in UTC.
    pub received: String,
    /// What was measured: Kernel, API, Communication, Marker and others.
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
    /// The sender's pid in the daemon's name space.
    pub host_pid: i32,
    /// The sender's pid as it registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The job that the sender registered under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<i64>,
}

impl Record for Metric {
    const TYPE: &'static str = "profd.metric";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profd.metric","v":1,"received":"2026-03-01T12:00:00.25Z","kind":"Communication","device_id":0,"dur_ns":81230450,"timestamp_ns":1772366400249000000,"host_pid":4242,"pid":4242,"job_id":0}"#;
}

summary!(Summary, "profd.summary", r#"{"type":"profd.summary","v":1,"requests":12,"configs_delivered":2,"metrics_recorded":340,"metrics_dropped":0,"errors":0}"#, {
    /// RPC requests answered.
    requests: u64,
    /// Configs that reached their process.
    configs_delivered: u64,
    /// Metrics recorded.
    metrics_recorded: u64,
    /// Metrics that were not recorded, for whatever cause.
    metrics_dropped: u64,
});
