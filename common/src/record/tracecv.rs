//! Records of `tracecv`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, entry, summary};

/// All of them.
pub const ENTRIES: &[Entry] = &[
    entry::<TraceDescription>(),
    entry::<WrittenTrace>(),
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
    /// What the format could not hold, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_held: BTreeMap<String, u64>,
}

impl Record for WrittenTrace {
    const TYPE: &'static str = "tracecv.output";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracecv.output","v":1,"path":"a.folded","format":"folded","traces":1,"events":84,"not_held":{"flows":12}}"#;
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
    /// Collectives that it shares with the first trace.
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
    /// Those of them that could not be read to their end.
    incomplete: u64,
    /// Files that were written.
    outputs: u64,
});
