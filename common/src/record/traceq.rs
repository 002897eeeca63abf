//! Records of `traceq`.
//!
//! All times are integer nanoseconds. `start_ns` and `end_ns` are of the trace's own clock; where the trace says
//! how that relates to the Unix epoch, `start` and `end` give the same as wall-clock time.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Entry, Record, entry, summary};

mod groups;

pub use groups::{GroupTimeRecord, RankTime};

/// All of them.
pub const ENTRIES: &[Entry] = &[
    entry::<Info>(),
    entry::<RankSet>(),
    entry::<Step>(),
    entry::<Total>(),
    entry::<JobTime>(),
    entry::<RankTime>(),
    entry::<GroupTimeRecord>(),
    entry::<Top>(),
    entry::<Event>(),
    entry::<Summary>(),
    entry::<TraceFinding>(),
    entry::<CheckSummary>(),
    entry::<TraceRuleRecord>(),
];

/// `traceq.info`: what a file is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Info {
    /// The file; `-` is standard input.
    pub path: String,
    /// The path's bytes in hex, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// `kineto`, `ascend`, `chrome`, `perfetto`, `nsys`, `rocprof`, `xplane` or `stacks`.
    pub format: String,
    /// Versions and vintage of what wrote it, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub producer: Vec<String>,
    /// The file is compressed with gzip.
    pub gzip: bool,
    /// The compression of the file: `gzip`, `zstd` or `zip`, or `tar`; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// Size of the file, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// How much was read, after decompression.
    pub text_bytes: u64,
    /// The document was read to its end.
    pub complete: bool,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Events read.
    pub events: u64,
    /// Events by normalized category.
    pub categories: BTreeMap<String, u64>,
    /// Rank of the process in its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// Ranks in the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world_size: Option<i64>,
    /// Communication backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Devices that events ran on, or that the trace lists.
    pub devices: Vec<Device>,
    /// Processes and threads that events belong to.
    pub threads: u64,
    /// Id of the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Name of the trace, as its writer put it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_name: Option<String>,
    /// Host that it was recorded on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Nanoseconds between the Unix epoch and the trace's clock, where the trace says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_time_ns: Option<i64>,
    /// First start of any event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ns: Option<i64>,
    /// Last end of any event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ns: Option<i64>,
    /// From the one to the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_ns: Option<i64>,
    /// `start_ns` as wall-clock time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// `end_ns` as wall-clock time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Numbers of the training steps in it.
    pub steps: Vec<i64>,
    /// Calls of `Optimizer.step`, from which steps follow where none are marked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub optimizer_steps: u64,
    /// Faults that were repaired in reading, by cause.
    pub repairs: BTreeMap<String, u64>,
    /// Losses in reading, by cause.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub losses: BTreeMap<String, u64>,
}

/// A device of a trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// Its index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<i64>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Kernels, copies, fills and collectives on it.
    pub events: u64,
}

impl Record for Info {
    const TYPE: &'static str = "traceq.info";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"traceq.info","v":1,"path":"log_4242.json","format":"kineto","producer":["schema 1"],"gzip":false,"size_bytes":10240,"text_bytes":10240,"complete":true,"events":42,"categories":{"cpu_op":30,"kernel":10,"step":2},"rank":0,"world_size":8,"backend":"nccl","devices":[{"device":0,"name":"NVIDIA H100","events":10}],"threads":3,"trace_id":"7331","host":"node17","base_time_ns":1722470400000000000,"start_ns":1000,"end_ns":2500,"span_ns":1500,"start":"2024-08-01T00:00:00.000001Z","end":"2024-08-01T00:00:00.0000025Z","steps":[5,6],"repairs":{}}"#;
}

/// `traceq.rank_set`: what is missing of the job that several traces are of; behind their `traceq.info` records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RankSet {
    /// Traces read.
    pub traces: u64,
    /// Different ranks among them.
    pub ranks: u64,
    /// Ranks in the job, where a trace says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world_size: Option<i64>,
    /// Ranks that no trace is of: of the world size, or where that is not known, between the first and the last.
    pub missing_ranks: Vec<RankRange>,
    /// Ranks of whose devices no trace has events.
    pub ranks_without_device_events: Vec<RankRange>,
    /// Traces that could not be read to their end.
    pub incomplete: Vec<String>,
    /// Traces that do not say their rank.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub without_rank: u64,
}

/// Ranks that follow one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RankRange {
    /// The first of them.
    pub first: i64,
    /// The last of them.
    pub last: i64,
}

impl Record for RankSet {
    const TYPE: &'static str = "traceq.rank_set";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"traceq.rank_set","v":1,"traces":6,"ranks":6,"world_size":8,"missing_ranks":[{"first":3,"last":4}],"ranks_without_device_events":[],"incomplete":["rank5.json"]}"#;
}

/// How a stretch of time on a device divides. `compute_ns + exposed_communication_ns + exposed_memcpy_ns +
/// idle_ns = total_ns`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Split {
    /// From the first start to the last end.
    pub total_ns: i64,
    /// At least one computation ran.
    pub compute_ns: i64,
    /// At least one communication ran.
    pub communication_ns: i64,
    /// Communication ran and no computation did.
    pub exposed_communication_ns: i64,
    /// Communication and computation both ran.
    pub overlap_ns: i64,
    /// At least one copy ran.
    pub memcpy_ns: i64,
    /// A copy ran, and neither computation nor communication did.
    pub exposed_memcpy_ns: i64,
    /// Nothing ran.
    pub idle_ns: i64,
    /// `idle_ns / total_ns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ratio: Option<f64>,
    /// `compute_ns / total_ns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_ratio: Option<f64>,
    /// `exposed_communication_ns / total_ns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed_communication_ratio: Option<f64>,
}

/// Times of an Ascend timeline beyond the split, as its `step_trace_time.csv` has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    /// From the first start to the last end, less the bubble.
    pub stage_ns: i64,
    /// Time in receive operations of a pipeline.
    pub bubble_ns: i64,
    /// Exposed communication less the bubble, at least 0.
    pub exposed_communication_excluding_receive_ns: i64,
    /// From the host's start of the step to the first work on the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preparing_ns: Option<i64>,
}

/// `traceq.step`: one step of one device of one trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// The file; `-` is standard input.
    pub path: String,
    /// The path's bytes in hex, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// Rank of the process in its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// The label that the processes of the rank have in common, such as `[TP00]`, where several ranks were merged into the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// The device, if the step had any work on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<i64>,
    /// Number of the step.
    pub step: i64,
    /// The name of the range that marks it, where that is not `ProfilerStep#N`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// Start of the step on the host.
    pub start_ns: i64,
    /// The same as wall-clock time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Its duration on the host.
    pub dur_ns: i64,
    /// Time in operators on the host: per thread the union, summed over threads.
    pub host_op_ns: i64,
    /// Work on the device that the step launched; absent if there was none.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Ascend only.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Device events in the split.
    pub device_events: u64,
    /// Launches in the step whose device event is not in the trace: it was cut, or nothing ran.
    pub launches_without_event: u64,
    /// The trace ends inside the step, or may begin inside it.
    pub partial: bool,
    /// The trace marks no steps: this one lasts from the end of one optimizer call to the end of the next, and
    /// is numbered from 0.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub derived: bool,
}

impl Record for Step {
    const TYPE: &'static str = "traceq.step";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"traceq.step","v":1,"path":"log_4242.json","rank":0,"device":0,"step":5,"start_ns":1000,"dur_ns":900,"host_op_ns":700,"total_ns":1000,"compute_ns":600,"communication_ns":300,"exposed_communication_ns":100,"overlap_ns":200,"memcpy_ns":50,"exposed_memcpy_ns":50,"idle_ns":250,"idle_ratio":0.25,"compute_ratio":0.6,"exposed_communication_ratio":0.1,"device_events":12,"launches_without_event":0,"partial":false}"#;
}

/// `traceq.total`: one device of one trace, over everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Total {
    /// The file; `-` is standard input.
    pub path: String,
    /// The path's bytes in hex, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// `kineto`, `ascend`, `chrome`, `perfetto`, `nsys`, `rocprof`, `xplane` or `stacks`.
    pub format: String,
    /// Rank of the process in its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// The label that the processes of the rank have in common, such as `[TP00]`, where several ranks were merged into the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// The device, if there was any work on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<i64>,
    /// From the first start to the last end of anything, host included.
    pub span_ns: i64,
    /// Time in operators on the host: per thread the union, summed over threads.
    pub host_op_ns: i64,
    /// Work on the device; absent if there was none.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Ascend only.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Device events in the split.
    pub device_events: u64,
    /// Kernels among them.
    pub kernels: u64,
    /// Collectives and transfers between devices among them.
    pub collectives: u64,
    /// Copies among them.
    pub memcpys: u64,
    /// Fills among them.
    pub memsets: u64,
    /// Device events in the split that nothing in the trace launched: they count, since they are most of the device
    /// time, and belong to the step in which they start.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlinked_events: u64,
    /// Steps in the trace.
    pub steps: u64,
    /// Steps that the trace ends inside of.
    pub partial_steps: u64,
    /// The number of events that were left out, by cause. Of everything: `unlinked` device events, which nothing in the trace launched.
    /// Of the steps, but not of the total: device events that were launched `outside_steps`, or whose
    /// `launch_not_recorded`. Of host time: `begin_without_end` is closed with its thread, `end_without_begin` and
    /// `repeated_step_mark` are ignored, an `async_span` belongs to no thread. Of everything: events at an
    /// `impossible_time`.
    pub excluded: BTreeMap<String, u64>,
    /// Faults that were repaired in reading, by cause.
    pub repairs: BTreeMap<String, u64>,
    /// Losses in reading, by cause.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub losses: BTreeMap<String, u64>,
    /// The document was read to its end.
    pub complete: bool,
    /// Events read.
    pub events_read: u64,
}

impl Record for Total {
    const TYPE: &'static str = "traceq.total";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"traceq.total","v":1,"path":"log_4242.json","format":"kineto","rank":0,"device":0,"span_ns":2500,"host_op_ns":1400,"total_ns":2000,"compute_ns":1200,"communication_ns":600,"exposed_communication_ns":200,"overlap_ns":400,"memcpy_ns":100,"exposed_memcpy_ns":100,"idle_ns":500,"idle_ratio":0.25,"compute_ratio":0.6,"exposed_communication_ratio":0.1,"device_events":24,"kernels":18,"collectives":4,"memcpys":2,"memsets":0,"steps":2,"partial_steps":0,"excluded":{"unlinked":3},"repairs":{},"complete":true,"events_read":142}"#;
}

/// `traceq.job`: one time of several ranks, over the whole traces or of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobTime {
    /// The step, with `--by step`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i64>,
    /// `total`, `compute`, `communication`, `exposed_communication`, `memcpy`, `exposed_memcpy` or `idle`.
    pub name: String,
    /// Devices that were compared.
    pub devices: u64,
    /// The least.
    pub min_ns: i64,
    /// Rank that has it; its place among the devices, if the trace does not say.
    pub min_rank: i64,
    /// The median; of an even number of devices, the mean of the middle two.
    pub median_ns: i64,
    /// The most.
    pub max_ns: i64,
    /// Rank that has it.
    pub max_rank: i64,
}

impl Record for JobTime {
    const TYPE: &'static str = "traceq.job";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"traceq.job","v":1,"name":"compute","devices":8,"min_ns":42000,"min_rank":3,"median_ns":43000,"max_ns":61000,"max_rank":2}"#;
}

/// `traceq.top`: all events of one kind and name in one trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Top {
    /// The file; `-` is standard input.
    pub path: String,
    /// The path's bytes in hex, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// Rank of the process in its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// The label that the processes of the rank have in common, such as `[TP00]`, where several ranks were merged into the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// The kind of event: `kernel`, `op`, `runtime` …
    pub by: String,
    /// Place in the list, from 1.
    pub place: u64,
    /// Their name.
    pub name: String,
    /// How many.
    pub count: u64,
    /// Sum of their durations.
    pub total_ns: i64,
    /// Time in which one of them was the innermost event of its thread; host events only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_ns: Option<i64>,
    /// Mean duration, rounded down.
    pub mean_ns: i64,
    /// Shortest.
    pub min_ns: i64,
    /// Longest.
    pub max_ns: i64,
    /// Share of this kind's total time; of its self time for host events.
    pub share: f64,
}

impl Record for Top {
    const TYPE: &'static str = "traceq.top";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"traceq.top","v":1,"path":"log_4242.json","rank":0,"by":"op","place":1,"name":"aten::mm","count":10,"total_ns":500,"self_ns":400,"mean_ns":50,"min_ns":30,"max_ns":90,"share":0.5}"#;
}

/// `traceq.event`: one event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// The file, when more than one is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Normalized category.
    pub category: String,
    /// The category as the trace spells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cat: Option<String>,
    /// Phase: `X` is a complete event, `M` metadata and so on.
    pub ph: String,
    /// Name.
    pub name: String,
    /// Process: a number or a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<Value>,
    /// Thread: a number or a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tid: Option<Value>,
    /// Device that it ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<i64>,
    /// Stream of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<i64>,
    /// Start, on the trace's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ns: Option<i64>,
    /// Duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dur_ns: Option<i64>,
    /// Ties a launch to what it launched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<i64>,
    /// Id of a flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
    /// Arguments, with the numbers as they stand in the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Value>,
    /// Members that no other field holds, and times that nanoseconds do not hold exactly, as they stand in the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<Value>,
}

impl Record for Event {
    const TYPE: &'static str = "traceq.event";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"traceq.event","v":1,"category":"kernel","cat":"kernel","ph":"X","name":"gemm","pid":0,"tid":7,"device":0,"stream":7,"start_ns":1000,"dur_ns":25,"correlation":12,"args":{"correlation":12,"stream":7}}"#;
}

summary!(Summary, "traceq.summary", r#"{"type":"traceq.summary","v":1,"files":2,"incomplete":1,"events":84,"records":3,"errors":1}"#, {
    /// Traces that were read, wholly or in part.
    files: u64,
    /// Traces that could not be read to their end.
    incomplete: u64,
    /// Events read.
    events: u64,
    /// Records written before this one.
    records: u64,
});

/// `traceq.finding`: what makes the results of a trace, or of a set of them, doubtful.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TraceFinding {
    /// What was found.
    #[serde(flatten)]
    pub finding: crate::finding::Finding,
}

impl Record for TraceFinding {
    const TYPE: &'static str = "traceq.finding";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"traceq.finding","v":1,"rule":"stream-overrun","severity":"error","path":"log_4242.json","found":"device 0, stream 7: `gemm` at 230000 ns ends 1899900000 ns after its successor starts","expected":"events of a stream one after the other","fix":"record again; leave this event out of what you conclude"}"#;
}

summary!(CheckSummary, "traceq.check_summary", r#"{"type":"traceq.check_summary","v":1,"files":2,"findings":1,"error_findings":1,"warning_findings":0,"note_findings":0,"errors":0}"#, {
    /// Traces that were checked.
    files: u64,
    /// Findings shown.
    findings: u64,
    /// Findings of severity error.
    error_findings: u64,
    /// Findings of severity warning.
    warning_findings: u64,
    /// Findings of severity note.
    note_findings: u64,
});

/// `traceq.rule`: a rule that traces are checked against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TraceRuleRecord {
    /// Stable id.
    pub rule: String,
    /// Severity of a finding.
    pub severity: crate::finding::Severity,
    /// The fault of a trace that fails the rule.
    pub what: String,
    /// The consequence of a failure.
    pub why: String,
    /// The fix.
    pub fix: String,
    /// Where the rule comes from.
    pub reference: String,
}

impl Record for TraceRuleRecord {
    const TYPE: &'static str = "traceq.rule";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"traceq.rule","v":1,"rule":"truncated","severity":"error","what":"the trace is not complete","why":"Whatever was recorded after the cut is missing from every number.","fix":"record again, and wait until the file is written","reference":"traceq(1)"}"#;
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}
