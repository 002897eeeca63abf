//! The resources that a job takes: time by stack, memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::Record;

/// `tracewhy.stack`: a stack of the host, and the time that it takes. Stacks of a rank add up to its time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StackTimeRecord {
    /// The file.
    pub path: String,
    /// Its number, or its place among the traces.
    pub rank: i64,
    /// `device` or `host`: whose time it is.
    pub by: String,
    /// Its frames, the outermost first: the thread, ranges, modules, functions, operators; of device time, the kernel last.
    pub frames: Vec<String>,
    /// Time of it, without that of the frames within.
    pub own_ns: u64,
    /// Pieces of device work; of host time, stretches.
    pub count: u64,
}

impl Record for StackTimeRecord {
    const TYPE: &'static str = "tracewhy.stack";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.stack","v":1,"path":"rank0.json","rank":0,"by":"device","frames":["thread 12","ProfilerStep#3","aten::mm","gemm"],"own_ns":300000,"count":3}"#;
}

/// `tracewhy.memory`: the memory of one device of a rank.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryPeak {
    /// The file.
    pub path: String,
    /// Its number, or its place among the inputs.
    pub rank: i64,
    /// The device, and of a table of states its allocator: `cuda:0`, `cpu`, `NPU:0 PTA`.
    pub device: String,
    /// Most bytes that were allocated.
    pub peak_bytes: i64,
    /// When that was, on the clock of the file.
    pub peak_at_ns: i64,
    /// Most bytes that the allocator had reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_bytes: Option<i64>,
    /// Bytes before the first allocation or release; 0 if the file does not say.
    pub before_bytes: i64,
    /// Bytes after the last one.
    pub after_bytes: i64,
    /// Bytes of the peak that nothing in the recording asked for: what was there before.
    pub not_known_bytes: i64,
    /// Allocations.
    pub allocations: u64,
    /// Releases.
    pub releases: u64,
    /// Releases whose allocation is not known.
    pub unknown_releases: u64,
    /// Blocks that were not followed, for want of memory.
    pub beyond_limit: u64,
}

impl Record for MemoryPeak {
    const TYPE: &'static str = "tracewhy.memory";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.memory","v":1,"path":"rank0.json","rank":0,"device":"cuda:0","peak_bytes":8000000,"peak_at_ns":1200000,"reserved_bytes":20971520,"before_bytes":1000000,"after_bytes":1000000,"not_known_bytes":1000000,"allocations":40,"releases":40,"unknown_releases":0,"beyond_limit":0}"#;
}

/// `tracewhy.memory_holder`: what holds the peak of a device's memory, the most first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryHolderRecord {
    /// The file.
    pub path: String,
    /// Its number, or its place among the inputs.
    pub rank: i64,
    /// The device.
    pub device: String,
    /// The innermost module or annotation that was open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The outermost operator within it; of a snapshot, the innermost frame outside of PyTorch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Bytes of its blocks at the peak.
    pub bytes: i64,
    /// How many blocks.
    pub blocks: u64,
}

impl Record for MemoryHolderRecord {
    const TYPE: &'static str = "tracewhy.memory_holder";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.memory_holder","v":1,"path":"rank0.json","rank":0,"device":"cuda:0","part":"nn.Module: Linear_3","operator":"aten::linear","bytes":4000000,"blocks":2}"#;
}

/// `tracewhy.memory_point`: a moment of the timeline of a device's memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryPointRecord {
    /// The file.
    pub path: String,
    /// Its number, or its place among the inputs.
    pub rank: i64,
    /// The device.
    pub device: String,
    /// When, on the clock of the file.
    pub at_ns: i64,
    /// Bytes that are allocated: the most of the time that the point stands for.
    pub allocated_bytes: i64,
    /// Bytes that are reserved, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_bytes: Option<i64>,
}

impl Record for MemoryPointRecord {
    const TYPE: &'static str = "tracewhy.memory_point";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.memory_point","v":1,"path":"rank0.json","rank":0,"device":"cuda:0","at_ns":1200000,"allocated_bytes":8000000,"reserved_bytes":20971520}"#;
}

/// `tracewhy.part_file`: a part file was written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PartFile {
    /// The file.
    pub path: String,
    /// Ranks in it.
    pub ranks: u64,
}

impl Record for PartFile {
    const TYPE: &'static str = "tracewhy.part_file";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.part_file","v":1,"path":"node7.part","ranks":8}"#;
}
