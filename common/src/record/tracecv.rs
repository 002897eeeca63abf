//! Records of `tracecv`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, RecordPath, entry, summary};

/// All of them.
pub const ENTRIES: &[Entry] = &[
    entry::<TraceDescription>(),
    entry::<WrittenTrace>(),
    entry::<PartRecord>(),
    entry::<PartTraceRecord>(),
    entry::<PartTableRecord>(),
    entry::<RankClockRecord>(),
    entry::<ConversionSummary>(),
];

/// `tracecv.trace`: what a trace says about itself, behind its events in JSON lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TraceDescription {
    /// The file.
    pub path: String,
    /// Nanoseconds to add to its times to come to the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_ns: Option<i64>,
    /// Rank of the process in its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// Number of ranks in the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world_size: Option<i64>,
    /// Backend of the collectives, such as `nccl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Id of the request that the trace answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The path that the profiler wrote to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_name: Option<String>,
    /// Name of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Names of devices by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub devices: BTreeMap<String, String>,
    /// Hints at the producer and its version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub producer: Vec<String>,
}

impl Record for TraceDescription {
    const TYPE: &'static str = "tracecv.trace";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracecv.trace","v":1,"path":"log_4242.json","base_ns":1722470400000000000,"rank":3,"world_size":8,"backend":"nccl","devices":{"0":"NVIDIA H100"},"producer":["schema 1"]}"#;
}

/// `tracecv.output`: a file that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WrittenTrace {
    /// The file.
    pub path: String,
    /// Its format.
    pub format: String,
    /// Traces in it.
    pub traces: u64,
    /// Events of those traces.
    pub events: u64,
    /// The content that the format could not hold, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_held: BTreeMap<String, u64>,
}

impl Record for WrittenTrace {
    const TYPE: &'static str = "tracecv.output";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracecv.output","v":1,"path":"a.folded","format":"folded","traces":1,"events":84,"not_held":{"flows":12}}"#;
}

/// `tracecv.part`: which part of which list of traces a part of a data set is. First in the part's manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartRecord {
    /// Number of the part, from 1.
    pub part: u32,
    /// Number of parts of the run.
    pub parts: u32,
    /// Number of traces of the run, in all parts.
    pub traces: u64,
    /// SHA-256, in hex, of the paths of these traces in their order, each with a NUL behind it. The same for all parts.
    pub list_sha256: String,
}

impl Record for PartRecord {
    const TYPE: &'static str = "tracecv.part";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracecv.part","v":1,"part":2,"parts":8,"traces":64,"list_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}"#;
}

/// `tracecv.part_trace`: a trace that a part of a data set is of, whether it could be read or not. In the part's manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartTraceRecord {
    /// The file.
    #[serde(flatten)]
    pub path: RecordPath,
    /// Its place in the list of the run, from 1: `trace_number` of the tables.
    #[serde(default)]
    pub trace_number: u64,
    /// `complete`, `incomplete` if the trace ends early or is damaged, `unreadable` if no event of it is in the data set.
    pub status: String,
    /// Why it is not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Rank of the process in its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// Size of the file, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Events that were read.
    pub events: u64,
    /// Faults that were repaired in reading.
    pub repairs: u64,
    /// Faults by which something was lost in reading.
    pub losses: u64,
}

impl Record for PartTraceRecord {
    const TYPE: &'static str = "tracecv.part_trace";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracecv.part_trace","v":1,"path":"rank3.json","trace_number":4,"status":"incomplete","error":"the file ends inside a text (byte 40960)","rank":3,"size_bytes":40960,"events":310,"repairs":0,"losses":1}"#;
}

/// `tracecv.part_table`: a file of a part of a data set. In the part's manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartTableRecord {
    /// The file, from the directory of the run.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub size_bytes: u64,
    /// SHA-256 of it, in hex.
    pub sha256: String,
}

impl Record for PartTableRecord {
    const TYPE: &'static str = "tracecv.part_table";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracecv.part_table","v":1,"path":"table=ranks/part-00001-of-00008.parquet","rows":1,"size_bytes":3120,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}"#;
}

/// `tracecv.clock`: the clock of a rank against that of the first trace of a merge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RankClockRecord {
    /// The file.
    pub path: String,
    /// Rank of the process in its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// Nanoseconds that were added to its times at the first matching collective.
    pub offset_ns: i64,
    /// Nanoseconds that were added for each second after that.
    pub drift_ppb: i64,
    /// Collectives that it shares with the trace by which it was placed.
    pub matched: u64,
    /// Median distance of their ends after that.
    pub residual_ns: i64,
    /// Length of the shortest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortest_ns: Option<i64>,
}

impl Record for RankClockRecord {
    const TYPE: &'static str = "tracecv.clock";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracecv.clock","v":1,"path":"rank1.json","rank":1,"offset_ns":-1250000,"drift_ppb":41000,"matched":96,"residual_ns":310,"shortest_ns":18000}"#;
}

summary!(ConversionSummary, "tracecv.summary", r#"{"type":"tracecv.summary","v":1,"files":2,"incomplete":1,"outputs":2,"errors":1}"#, {
    /// Traces that were read, wholly or in part.
    files: u64,
    /// Traces that could not be read to their end.
    incomplete: u64,
    /// Files that were written.
    outputs: u64,
});
