//! Traces that were waited for, and how far apart those of a synchronized start begin.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{Record, RecordPath};

/// `profctl.synchronized_start`: the moment at which all hosts start, and how far their clocks differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SynchronizedStart {
    /// The start by the clock of this machine, milliseconds since the Unix epoch.
    pub start_unix_ms: u64,
    /// Hosts whose clocks were measured.
    pub hosts: u64,
    /// The least of the offsets of their clocks from that of this machine, microseconds.
    pub least_offset_us: i64,
    /// The greatest of them.
    pub greatest_offset_us: i64,
    /// How far an offset may be from the true one, microseconds.
    pub uncertainty_us: i64,
}

impl Record for SynchronizedStart {
    const TYPE: &'static str = "profctl.synchronized_start";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profctl.synchronized_start","v":1,"start_unix_ms":1795000000000,"hosts":2,"least_offset_us":-120,"greatest_offset_us":1830,"uncertainty_us":95}"#;
}

/// `profctl.start_skew`: how far apart the traces of a synchronized start have begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartSkew {
    /// Traces whose begin is known.
    pub traces: u64,
    /// From the first begin to the last, with the offsets of the clocks taken out, microseconds.
    pub skew_us: i64,
    /// From the planned start to the first begin; negative if that was earlier.
    pub first_after_us: i64,
    /// How far the offsets of the clocks may be from the true ones, microseconds.
    pub uncertainty_us: i64,
}

impl Record for StartSkew {
    const TYPE: &'static str = "profctl.start_skew";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profctl.start_skew","v":1,"traces":16,"skew_us":1450,"first_after_us":210,"uncertainty_us":95}"#;
}

/// `profctl.trace_file`: a trace that was waited for, and is complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceFile {
    /// The host whose process wrote it, as it was given.
    pub host: String,
    /// The process.
    pub pid: i64,
    /// Its rank in the job, if the daemon knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// The file, or the directory for nputrace.
    #[serde(flatten)]
    pub path: RecordPath,
    /// The id in the file; it is the request's where the daemon sent that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Size of the file; missing for a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// SHA-256 of what was copied, in hex: of the file, or of the names and digests of the files of a directory. With
    /// --collect only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where the process has written it, if it was copied from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Always true; an incomplete trace is a `profctl.trace_missing`.
    pub complete: bool,
    /// From the request to the complete trace, milliseconds.
    pub waited_ms: u64,
}

impl Record for TraceFile {
    const TYPE: &'static str = "profctl.trace_file";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profctl.trace_file","v":1,"host":"node1","pid":4242,"rank":0,"path":"traces/node1_trace_4242.json","trace_id":"7331","size_bytes":1048576,"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","source":"/tmp/trace_4242.json","complete":true,"waited_ms":6120}"#;
}

/// `profctl.trace_missing`: a trace that was waited for in vain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceMissing {
    /// The host whose process should have written it, as it was given.
    pub host: String,
    /// The process.
    pub pid: i64,
    /// Its rank in the job, if the daemon knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// Where it was expected, or what there is of it.
    #[serde(flatten)]
    pub path: RecordPath,
    /// The state of the trace when the wait ended.
    pub reason: String,
    /// From the request to the end of the wait, milliseconds.
    pub waited_ms: u64,
}

impl Record for TraceMissing {
    const TYPE: &'static str = "profctl.trace_missing";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"profctl.trace_missing","v":1,"host":"node1","pid":4243,"path":"/tmp/trace_4243.json","reason":"no such file","waited_ms":60500}"#;
}
