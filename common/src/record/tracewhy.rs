//! Records of `tracewhy`.
//!
//! All times are integer nanoseconds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, entry, summary};

mod critical;
mod flops;
mod hiccups;
mod resources;
mod traffic;

pub use critical::{CriticalItem, CriticalPath, CriticalStep};
pub use flops::{OperatorFlops, RankFlops};
pub use hiccups::HiccupRecord;
pub use resources::{MemoryHolderRecord, MemoryPeak, MemoryPointRecord, PartFile, StackTimeRecord};
pub use traffic::{PairCost, RankWaits};

/// All of them.
pub const ENTRIES: &[Entry] = &[
    entry::<RanksVerdict>(),
    entry::<SlowCauseRecord>(),
    entry::<HiccupRecord>(),
    entry::<RankLateness>(),
    entry::<SlowLinkRecord>(),
    entry::<CollectiveCost>(),
    entry::<PairCost>(),
    entry::<RankWaits>(),
    entry::<IdleDivision>(),
    entry::<DiffVerdict>(),
    entry::<ItemChange>(),
    entry::<ProgramTime>(),
    entry::<CriticalPath>(),
    entry::<CriticalItem>(),
    entry::<CriticalStep>(),
    entry::<RankFlops>(),
    entry::<OperatorFlops>(),
    entry::<StackTimeRecord>(),
    entry::<MemoryPeak>(),
    entry::<MemoryHolderRecord>(),
    entry::<MemoryPointRecord>(),
    entry::<PartFile>(),
    entry::<ReasonSummary>(),
];

/// `tracewhy.ranks`: whether a rank of a job is slow, and why. The first record of a run; without a slow rank it has no
/// `rank`. Of several, it is the one that costs most; `tracewhy.cause` has all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RanksVerdict {
    /// The slow rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// The process group whose transfers are slow, where no rank of it is the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `compute`, `host`, `input`, `copy`, `garbage_collection`, `link` or `unknown`: what costs most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// How many records `tracewhy.cause` there are.
    #[serde(default)]
    pub causes: u64,
    /// How many records `tracewhy.hiccup` there are.
    #[serde(default)]
    pub hiccups: u64,
    /// What the other ranks lose by it, all together, by all of its causes: as in `tracewhy.cause`.
    pub lost_ns: i64,
    /// How sure that is, from 0 to 1; without a rank, how sure it is that there is none.
    pub confidence: f64,
    /// The other end of a slow link between two ranks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<i64>,
    /// How much later than the others it comes, in each step that is slow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_ns: Option<i64>,
    /// How many times as long as the others' its time for the cause is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Of the cause `compute`: it begins more computations than the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_kernels: Option<bool>,
    /// The steps in which it was slow, where that is not nearly all of them; the first 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only_steps: Vec<i64>,
    /// Ranks with a trace.
    pub ranks: u64,
    /// Ranks without one, as far as the traces say.
    pub missing: u64,
    /// Ranks without a trace; the first 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_ranks: Vec<i64>,
    /// Steps that were compared.
    pub steps: u64,
    /// Median length of a step.
    pub step_ns: i64,
    /// Collectives that were compared.
    pub collectives: u64,
    /// Work ran on devices; otherwise the operators of the host decide.
    pub on_device: bool,
    /// What looks like a slow rank and is explained by its work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub explained: Vec<String>,
    /// Questions that could not be decided, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<String>,
}

impl Record for RanksVerdict {
    const TYPE: &'static str = "tracewhy.ranks";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.ranks","v":1,"rank":2,"cause":"compute","causes":1,"hiccups":0,"lost_ns":301200000,"confidence":0.97,"late_ns":25100000,"ratio":1.41,"more_kernels":false,"ranks":4,"missing":0,"steps":4,"step_ns":72000000,"collectives":12,"on_device":true}"#;
}

/// `tracewhy.cause`: something that makes others wait. What costs most comes first; a rank may have several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlowCauseRecord {
    /// The slow rank; absent if a group is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// `compute`, `host`, `input`, `copy`, `garbage_collection`, `link` or `unknown`.
    pub cause: String,
    /// The other end of a slow link between two ranks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<i64>,
    /// The process group whose transfers are slow, where no rank of it is the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The ranks of the group, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranks: Vec<i64>,
    /// By how much earlier the other ranks would be at the end of the job without this, all together: zero where slack takes up
    /// that it is late. What they lose by several slow ranks at a time is divided. Of a link, what transfers took longer
    /// than equal ones, and who waited for that.
    pub lost_ns: i64,
    /// How much later than its equals it comes by this, in each step that is slow; of a link, how much longer a transfer
    /// takes.
    pub late_ns: i64,
    /// How many times as long as the others' its time for this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Of the cause `compute`: it begins more computations than the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_kernels: Option<bool>,
    /// Steps in which it was slow.
    pub slow_steps: u64,
    /// Steps in which it was compared.
    pub steps: u64,
    /// The steps in which it was slow, where that is not nearly all of them; the first 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only_steps: Vec<i64>,
    /// Of the cause `compute` in some of the steps: the computation that took longer there than in other steps, where one
    /// explains half of the lateness; at most 512 bytes of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_ns: Option<i64>,
    /// The median over the steps of the rank of the longest of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_usual_ns: Option<i64>,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
}

impl Record for SlowCauseRecord {
    const TYPE: &'static str = "tracewhy.cause";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.cause","v":1,"rank":2,"cause":"compute","lost_ns":301200000,"late_ns":25100000,"ratio":1.41,"more_kernels":false,"slow_steps":4,"steps":4,"confidence":0.97}"#;
}

/// `tracewhy.rank`: one rank of a job. Times are means over its steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RankLateness {
    /// The file.
    pub path: String,
    /// Its number, or its place among the traces.
    pub rank: i64,
    /// Its steps.
    pub steps: u64,
    /// Median over steps of how much later than its equals it is, without what it waits itself; negative if earlier.
    pub late_ns: i64,
    /// Collectives in which it was compared with others.
    pub collectives: u64,
    /// Collectives to which it came last, of those that were compared.
    pub last: u64,
    /// The time that the others waited there with nothing to compute, all together. They lose less than that if they also wait for
    /// others, or for the link.
    pub others_wait_ns: i64,
    /// Length of a step.
    pub step_ns: i64,
    /// Something was computed.
    pub compute_ns: i64,
    /// Communication ran, and nothing was computed.
    pub exposed_communication_ns: i64,
    /// Copies ran, and nothing else did.
    pub exposed_copy_ns: i64,
    /// Nothing ran.
    pub idle_ns: i64,
    /// Nothing ran, by cause.
    pub idle_by_cause: BTreeMap<String, i64>,
    /// The rank whose clock its own was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_against: Option<i64>,
    /// The time that must be added to its clock to come to that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset_ns: Option<i64>,
    /// The time that must be added for each second, where there were enough collectives to determine it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_drift_ppb: Option<i64>,
}

impl Record for RankLateness {
    const TYPE: &'static str = "tracewhy.rank";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.rank","v":1,"path":"rank2.json","rank":2,"steps":4,"late_ns":25100000,"collectives":12,"last":11,"others_wait_ns":301200000,"step_ns":72000000,"compute_ns":60000000,"exposed_communication_ns":9000000,"exposed_copy_ns":0,"idle_ns":3000000,"idle_by_cause":{"host_late":3000000},"clock_against":0,"clock_offset_ns":-1200,"clock_drift_ppb":0}"#;
}

/// `tracewhy.link`: transfers that take longer than equal ones of other ranks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlowLinkRecord {
    /// The kind of collective.
    pub kind: String,
    /// The process group.
    pub group: String,
    /// The ranks, at most 64.
    pub ranks: Vec<i64>,
    /// Size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How many there were.
    pub count: u64,
    /// Median time of one, of the rank that waited least.
    pub time_ns: i64,
    /// That of its equals.
    pub usual_ns: i64,
}

impl Record for SlowLinkRecord {
    const TYPE: &'static str = "tracewhy.link";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.link","v":1,"kind":"send_receive","group":"0","ranks":[2,3],"bytes":4194304,"count":40,"time_ns":910000,"usual_ns":300000}"#;
}

/// `tracewhy.collective`: the calls of one kind, size and group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CollectiveCost {
    /// The kind of collective.
    pub kind: String,
    /// The process group; empty if the trace does not say.
    pub group: String,
    /// Ranks in the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_size: Option<u64>,
    /// From which rank to which, of a transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<(i64, i64)>,
    /// The size of the data by which nccl-tests counts; where ranks have different ones, their mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Calls; one that several ranks make counts once.
    pub count: u64,
    /// Ranks that made them and have a trace.
    pub ranks: u64,
    /// Mean time of a call on a rank, with waiting for others.
    pub time_ns: i64,
    /// Mean time of a call on the rank that waited least.
    pub transfer_ns: i64,
    /// Time of all calls on all ranks.
    pub total_ns: i64,
    /// The part of it in which nothing was computed.
    pub exposed_ns: i64,
    /// `bytes / transfer_ns`, in GB/s (a billion bytes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm_gbps: Option<f64>,
    /// That times the factor of nccl-tests; absent where it is not known how many ranks are in the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus_gbps: Option<f64>,
}

impl Record for CollectiveCost {
    const TYPE: &'static str = "tracewhy.collective";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.collective","v":1,"kind":"all_reduce","group":"0","group_size":8,"bytes":8000000,"count":40,"ranks":8,"time_ns":120000,"transfer_ns":100000,"total_ns":38400000,"exposed_ns":9600000,"algorithm_gbps":80.0,"bus_gbps":140.0}"#;
}

/// `tracewhy.idle`: why the device of a rank had nothing to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IdleDivision {
    /// The file.
    pub path: String,
    /// Its number, or its place among the traces.
    pub rank: i64,
    /// Number of the step; absent for all steps together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i64>,
    /// Of a step: how long the device was idle between the last work of the step before and the first of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_ns: Option<i64>,
    /// From the start of the first device work to the end of the last, as `total_ns` of `traceq.step`.
    pub span_ns: i64,
    /// As much of that nothing ran.
    pub idle_ns: i64,
    /// Nothing ran, in that time or before it, by cause: `input`, `garbage_collection`, `allocation`, `synchronization`, `host_late`, `launch`,
    /// `not_known`.
    pub by_cause: BTreeMap<String, i64>,
    /// Only communication ran.
    pub exposed_communication_ns: i64,
}

impl Record for IdleDivision {
    const TYPE: &'static str = "tracewhy.idle";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.idle","v":1,"path":"rank2.json","rank":2,"step":7,"before_ns":500000,"span_ns":71500000,"idle_ns":2500000,"by_cause":{"host_late":2500000,"launch":500000},"exposed_communication_ns":9000000}"#;
}

/// `tracewhy.diff`: how a step of one set of traces compares with that of another. The first record of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DiffVerdict {
    /// The trace or directory that was compared with.
    pub base: String,
    /// The trace or directory that was compared.
    pub new: String,
    /// Ranks of the first.
    pub base_ranks: u64,
    /// Ranks of the second.
    pub new_ranks: u64,
    /// Ranks of the first job without a trace.
    #[serde(default)]
    pub base_missing: u64,
    /// Ranks of the second job without a trace.
    #[serde(default)]
    pub new_missing: u64,
    /// Ranks of the second job that have a trace in the first set only; with these, any condition of --fail-on fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking_ranks: Vec<i64>,
    /// Mean length of a step of the first.
    pub base_ns: i64,
    /// Mean length of a step of the second.
    pub new_ns: i64,
    /// `(new_ns - base_ns) / base_ns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<f64>,
    /// The difference is more than three standard errors; absent with fewer than three steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond_noise: Option<bool>,
    /// Conditions of --fail-on that are broken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

impl Record for DiffVerdict {
    const TYPE: &'static str = "tracewhy.diff";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.diff","v":1,"base":"main","new":"branch","base_ranks":8,"new_ranks":7,"base_missing":0,"new_missing":1,"lacking_ranks":[3],"base_ns":72000000,"new_ns":79200000,"growth":0.1,"beyond_noise":true,"failed":["step>5%"]}"#;
}

/// `tracewhy.change`: one item of a comparison. Times are means over the steps of all ranks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ItemChange {
    /// `step`, `kernel`, `operator`, `collective`, `module`, `annotation` or `phase`.
    pub kind: String,
    /// Its name; of a step, the part of it.
    pub name: String,
    /// Its name in the second set, where it seems to have been renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_name: Option<String>,
    /// Time in a step of the first set.
    pub base_ns: i64,
    /// Time in a step of the second set.
    pub new_ns: i64,
    /// Calls in a step of the first set.
    pub base_calls: f64,
    /// Calls in a step of the second set.
    pub new_calls: f64,
    /// `(new_ns - base_ns) / base_ns`; absent if it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<f64>,
    /// One standard error of the difference.
    pub noise_ns: i64,
    /// The difference is more than three of them; absent with fewer than three steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond_noise: Option<bool>,
}

impl Record for ItemChange {
    const TYPE: &'static str = "tracewhy.change";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.change","v":1,"kind":"kernel","name":"gemm_128","new_name":"gemm_256","base_ns":100000,"new_ns":150000,"base_calls":4.0,"new_calls":4.0,"growth":0.5,"noise_ns":1200,"beyond_noise":true}"#;
}

/// `tracewhy.program`: device time of a part of the program, of all ranks together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProgramTime {
    /// `phase`, `module` or `annotation`: device time divides into the parts of each.
    pub part: String,
    /// Its name; absent for what belongs to none. Phases are `forward`, `recompute`, `backward`, `optimizer`,
    /// `communication`, `data` and `other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Sum of the durations of work whose innermost part it is.
    pub own_ns: i64,
    /// That, and work of the parts within it.
    pub total_ns: i64,
    /// Pieces of own work.
    pub count: u64,
    /// Ranks that have it.
    pub ranks: u64,
    /// `own_ns` of the work of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

impl Record for ProgramTime {
    const TYPE: &'static str = "tracewhy.program";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.program","v":1,"part":"module","name":"nn.Module: Linear_3","own_ns":300000,"total_ns":300000,"count":3,"ranks":1,"share":0.25}"#;
}

summary!(ReasonSummary, "tracewhy.summary", r#"{"type":"tracewhy.summary","v":1,"files":4,"incomplete":1,"events":52000,"errors":1}"#, {
    /// Traces that were read, wholly or in part.
    files: u64,
    /// Traces that could not be read to their end.
    incomplete: u64,
    /// Events in them.
    events: u64,
});
