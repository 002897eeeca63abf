//! Decodes the JSON of a metric (msMonitor b942bf5: one datagram for each kind and device in each report interval).

use std::collections::BTreeMap;
use std::sync::Arc;

use common::record::profd::Metric;
use serde::Deserialize;
use serde_json::Number;
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::core::registry::SenderId;
use crate::core::registry::process_facts::ProcessFacts;

/// Maximum length of a metric in bytes: the maximum payload of msMonitor's daemon.
const MAX_BYTES: usize = 4096;
/// Maximum length of the name of a kind in bytes.
const MAX_KIND_BYTES: usize = 64;
/// The device id of the host, if it is written as an unsigned number of 32 or 64 bits: msMonitor writes -1 for host-side
/// kinds and 4294967295 for host markers.
const UNSIGNED_HOST: [u64; 2] = [u32::MAX as u64, u64::MAX];

/// A metric as received.
#[derive(Debug)]
pub(crate) struct ReceivedMetric {
    received: OffsetDateTime,
    pub(crate) sender: SenderId,
    /// Job id and reported pid of the sender, if it is registered under one job.
    process: Option<(i64, i32)>,
    /// The facts about the sender, if they have been read.
    pub(super) facts: Option<Arc<ProcessFacts>>,
    json: Vec<u8>,
}

impl ReceivedMetric {
    /// Makes a metric that is received now.
    pub(crate) fn new(
        sender: SenderId,
        process: Option<(i64, i32)>,
        facts: Option<Arc<ProcessFacts>>,
        json: Vec<u8>,
    ) -> Self {
        Self { received: OffsetDateTime::now_utc(), sender, process, facts, json }
    }
}

/// A metric, decoded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DecodedMetric {
    pub(crate) record: Metric,
    /// Nanoseconds since 1970.
    pub(crate) received_ns: i64,
    /// The account whose share of tables and queues it uses.
    pub(crate) account: u32,
    /// The labels of its process, for its record.
    pub(crate) labels: Option<Arc<ProcessLabels>>,
}

/// The labels of a metric's process besides its pid: names and values, in a fixed order of names. One object for each
/// process, which its metrics and series share.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessLabels(pub(crate) Vec<(LabelName, String)>);

/// The name of a label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LabelName {
    /// One that the daemon knows.
    Known(&'static str),
    /// One of the mappings file.
    Mapped(Arc<str>),
}

impl LabelName {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Known(name) => name,
            Self::Mapped(name) => name,
        }
    }
}

/// Why a datagram is not a metric. Its text is not quoted: it is text of the sender.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum MetricError {
    #[error("{0} bytes are more than the maximum of {MAX_BYTES}")]
    TooLong(usize),
    #[error("not the JSON of a metric (line {0}, column {1})")]
    NotMetric(usize, usize),
    #[error("kind is not a name of letters, digits and underscores")]
    Kind,
    #[error("{0} is not a whole number in its range")]
    Number(&'static str),
}

/// The JSON of a metric. Unknown fields are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetricJson {
    kind: String,
    device_id: Number,
    duration: Number,
    timestamp: Number,
    domain: Option<String>,
    name: Option<String>,
}

/// Decodes a metric. Every kind is accepted, also those that msMonitor's daemon drops: Communication, AclAPI, NodeAPI and
/// RuntimeAPI.
pub(crate) fn decode_metric(metric: &ReceivedMetric) -> Result<DecodedMetric, MetricError> {
    if metric.json.len() > MAX_BYTES {
        return Err(MetricError::TooLong(metric.json.len()));
    }
    // serde accepts an array for a struct, too.
    if metric.json.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Err(MetricError::NotMetric(1, 0));
    }
    let wire: MetricJson =
        serde_json::from_slice(&metric.json).map_err(|e| MetricError::NotMetric(e.line(), e.column()))?;
    let is_name = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    if wire.kind.is_empty() || wire.kind.len() > MAX_KIND_BYTES || !wire.kind.bytes().all(is_name) {
        return Err(MetricError::Kind);
    }
    let record = Metric {
        received: metric.received.format(&Rfc3339).unwrap_or_default(),
        kind: wire.kind,
        device_id: decode_device(&wire.device_id)?,
        dur_ns: wire.duration.as_u64().ok_or(MetricError::Number("duration"))?,
        timestamp_ns: wire.timestamp.as_u64().ok_or(MetricError::Number("timestamp"))?,
        domain: wire.domain,
        name: wire.name,
        host_pid: metric.sender.host_pid,
        uid: Some(metric.sender.uid),
        pid: metric.process.map(|(_, pid)| pid),
        job_id: metric.process.map(|(job, _)| job),
        rank: None,
        local_rank: None,
        slurm_job_id: None,
        slurm_account: None,
        slurm_partition: None,
        pod: None,
        namespace: None,
        attributes: BTreeMap::new(),
    };
    let received_ns = i64::try_from(metric.received.unix_timestamp_nanos()).unwrap_or_default();
    Ok(DecodedMetric { record, received_ns, account: metric.sender.account, labels: None })
}

fn decode_device(id: &Number) -> Result<i64, MetricError> {
    match (id.as_i64(), id.as_u64()) {
        (Some(-1), _) => Ok(-1),
        (_, Some(id)) if UNSIGNED_HOST.contains(&id) => Ok(-1),
        (Some(id), _) if (0..i64::from(u32::MAX)).contains(&id) => Ok(id),
        _ => Err(MetricError::Number("deviceId")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Metric, MetricError> {
        let decoded = decode_metric(&ReceivedMetric::new(
            SenderId { uid: 1000, account: 1000, host_pid: 7 },
            Some((3, 1)),
            None,
            json.as_bytes().to_vec(),
        ));
        decoded.map(|metric| metric.record)
    }

    #[test]
    fn fault_07_the_host_is_device_minus_one_in_every_spelling() {
        for id in ["-1", "4294967295", "18446744073709551615"] {
            let json = format!(r#"{{"kind":"API","deviceId":{id},"duration":5,"timestamp":6}}"#);
            assert_eq!(read(&json).unwrap().device_id, -1, "{id}");
        }
        let json = r#"{"kind":"Kernel","deviceId":3,"duration":5,"timestamp":1772366400249000000}"#;
        let metric = read(json).unwrap();
        assert_eq!((metric.device_id, metric.dur_ns, metric.timestamp_ns), (3, 5, 1_772_366_400_249_000_000));
        assert_eq!((metric.host_pid, metric.pid, metric.job_id), (7, Some(1), Some(3)));
    }

    #[test]
    fn fault_07_every_kind_is_accepted() {
        let kinds = "Marker Kernel API AclAPI NodeAPI RuntimeAPI Hccl Communication Memory MemSet MemCpy";
        for kind in kinds.split(' ') {
            let json = format!(
                r#"{{"kind":"{kind}","deviceId":0,"duration":5,"timestamp":6,"domain":"d","name":"n"}}"#
            );
            let metric = read(&json).unwrap();
            assert_eq!((metric.kind.as_str(), metric.domain.as_deref()), (kind, Some("d")));
        }
    }

    #[test]
    fn invalid_metrics_are_rejected_without_quoting_them() {
        let e = |json: &str| read(json).unwrap_err().to_string();
        assert_eq!(e("{"), "not the JSON of a metric (line 1, column 1)");
        assert_eq!(e("[]"), "not the JSON of a metric (line 1, column 0)");
        assert_eq!(
            e(r#"{"kind":"a b","deviceId":0,"duration":5,"timestamp":6}"#),
            "kind is not a name of letters, digits and underscores"
        );
        let device = r#"{"kind":"API","deviceId":-2,"duration":5,"timestamp":6}"#;
        assert_eq!(e(device), "deviceId is not a whole number in its range");
        let duration = r#"{"kind":"API","deviceId":0,"duration":-5,"timestamp":6}"#;
        assert_eq!(e(duration), "duration is not a whole number in its range");
        let deep = format!(r#"{{"kind":"API","x":{}"#, "[".repeat(3000));
        assert!(e(&deep).starts_with("not the JSON of a metric"));
        assert_eq!(e(&" ".repeat(4097)), "4097 bytes are more than the maximum of 4096");
    }
}
