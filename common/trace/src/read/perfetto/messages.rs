//! The parts of Perfetto's messages that are read (google/perfetto `protos/perfetto/trace/trace_packet.proto` and the files
//! that it imports). Texts are bytes: one that is not UTF-8 is no reason to lose a packet.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct TracePacket {
    #[prost(message, optional, tag = "5")]
    pub(super) about: Option<AboutTrace>,
    #[prost(message, optional, tag = "6")]
    pub(super) clock_snapshot: Option<ClockSnapshot>,
    #[prost(uint64, optional, tag = "8")]
    pub(super) timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "10")]
    pub(super) sequence: Option<u32>,
    #[prost(message, optional, boxed, tag = "11")]
    pub(super) track_event: Option<Box<TrackEvent>>,
    #[prost(message, optional, boxed, tag = "12")]
    pub(super) interned: Option<Box<InternedData>>,
    #[prost(uint32, optional, tag = "13")]
    pub(super) flags: Option<u32>,
    #[prost(bool, optional, tag = "41")]
    pub(super) cleared: Option<bool>,
    #[prost(uint32, optional, tag = "42")]
    pub(super) dropped: Option<u32>,
    #[prost(message, optional, tag = "44")]
    pub(super) thread: Option<ThreadDescriptor>,
    #[prost(bytes = "vec", optional, tag = "50")]
    pub(super) compressed: Option<Vec<u8>>,
    #[prost(message, optional, boxed, tag = "52")]
    pub(super) gpu_counter: Option<Box<GpuCounterEvent>>,
    #[prost(message, optional, boxed, tag = "53")]
    pub(super) gpu_stage: Option<Box<GpuRenderStageEvent>>,
    #[prost(uint32, optional, tag = "58")]
    pub(super) clock: Option<u32>,
    #[prost(message, optional, tag = "59")]
    pub(super) defaults: Option<PacketDefaults>,
    #[prost(message, optional, boxed, tag = "60")]
    pub(super) track: Option<Box<TrackDescriptor>>,
    #[prost(bool, optional, tag = "87")]
    pub(super) first: Option<bool>,
    #[prost(bytes = "vec", optional, tag = "133")]
    pub(super) zstd: Option<Vec<u8>>,
}

/// `ChromeEventBundle`, of which only the metadata is read.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AboutTrace {
    #[prost(message, repeated, tag = "2")]
    pub(super) facts: Vec<TraceFact>,
}

/// `ChromeMetadata`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TraceFact {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub(super) name: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) text: Option<Vec<u8>>,
    #[prost(int64, optional, tag = "4")]
    pub(super) number: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub(super) json: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ClockSnapshot {
    #[prost(message, repeated, tag = "1")]
    pub(super) clocks: Vec<Clock>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Clock {
    #[prost(uint32, optional, tag = "1")]
    pub(super) id: Option<u32>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) at: Option<u64>,
    #[prost(bool, optional, tag = "3")]
    pub(super) incremental: Option<bool>,
    #[prost(uint64, optional, tag = "4")]
    pub(super) unit: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PacketDefaults {
    #[prost(uint32, optional, tag = "58")]
    pub(super) clock: Option<u32>,
    #[prost(message, optional, tag = "11")]
    pub(super) event: Option<TrackEventDefaults>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackEventDefaults {
    #[prost(uint64, optional, tag = "11")]
    pub(super) track: Option<u64>,
    #[prost(uint64, repeated, tag = "31")]
    pub(super) extra: Vec<u64>,
    #[prost(uint64, repeated, tag = "45")]
    pub(super) extra_double: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackDescriptor {
    #[prost(uint64, optional, tag = "1")]
    pub(super) uuid: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) name: Option<Vec<u8>>,
    #[prost(message, optional, tag = "3")]
    pub(super) process: Option<ProcessDescriptor>,
    #[prost(message, optional, tag = "4")]
    pub(super) thread: Option<ThreadDescriptor>,
    #[prost(uint64, optional, tag = "5")]
    pub(super) parent: Option<u64>,
    #[prost(message, optional, tag = "8")]
    pub(super) counter: Option<CounterDescriptor>,
    #[prost(bytes = "vec", optional, tag = "10")]
    pub(super) static_name: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "14")]
    pub(super) description: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProcessDescriptor {
    #[prost(int32, optional, tag = "1")]
    pub(super) pid: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "6")]
    pub(super) name: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub(super) labels: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ThreadDescriptor {
    #[prost(int32, optional, tag = "1")]
    pub(super) pid: Option<i32>,
    #[prost(int64, optional, tag = "2")]
    pub(super) tid: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub(super) name: Option<Vec<u8>>,
    #[prost(int64, optional, tag = "6")]
    pub(super) reference_us: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CounterDescriptor {
    #[prost(int64, optional, tag = "4")]
    pub(super) multiplier: Option<i64>,
    #[prost(bool, optional, tag = "5")]
    pub(super) incremental: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackEvent {
    #[prost(int64, optional, tag = "1")]
    pub(super) delta_us: Option<i64>,
    #[prost(uint64, repeated, tag = "3")]
    pub(super) category_ids: Vec<u64>,
    #[prost(message, repeated, tag = "4")]
    pub(super) annotations: Vec<Annotation>,
    #[prost(message, optional, tag = "6")]
    pub(super) legacy: Option<LegacyEvent>,
    #[prost(uint32, optional, tag = "9")]
    pub(super) kind: Option<u32>,
    #[prost(uint64, optional, tag = "10")]
    pub(super) name_id: Option<u64>,
    #[prost(uint64, optional, tag = "11")]
    pub(super) track: Option<u64>,
    #[prost(int64, repeated, tag = "12")]
    pub(super) extra_values: Vec<i64>,
    #[prost(int64, optional, tag = "16")]
    pub(super) absolute_us: Option<i64>,
    #[prost(bytes = "vec", repeated, tag = "22")]
    pub(super) categories: Vec<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "23")]
    pub(super) name: Option<Vec<u8>>,
    #[prost(int64, optional, tag = "30")]
    pub(super) counter: Option<i64>,
    #[prost(uint64, repeated, tag = "31")]
    pub(super) extra: Vec<u64>,
    #[prost(uint64, repeated, tag = "36")]
    pub(super) old_flows: Vec<u64>,
    #[prost(uint64, repeated, tag = "42")]
    pub(super) old_last_flows: Vec<u64>,
    #[prost(double, optional, tag = "44")]
    pub(super) double_counter: Option<f64>,
    #[prost(uint64, repeated, tag = "45")]
    pub(super) extra_double: Vec<u64>,
    #[prost(double, repeated, tag = "46")]
    pub(super) extra_double_values: Vec<f64>,
    #[prost(fixed64, repeated, tag = "47")]
    pub(super) flows: Vec<u64>,
    #[prost(fixed64, repeated, tag = "48")]
    pub(super) last_flows: Vec<u64>,
    #[prost(message, optional, tag = "3000")]
    pub(super) gpu: Option<GpuCorrelation>,
}

/// The render stages that an event on the host submitted.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GpuCorrelation {
    #[prost(uint64, repeated, tag = "1")]
    pub(super) submitted: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LegacyEvent {
    #[prost(uint64, optional, tag = "1")]
    pub(super) name_id: Option<u64>,
    #[prost(int32, optional, tag = "2")]
    pub(super) phase: Option<i32>,
    #[prost(int64, optional, tag = "3")]
    pub(super) dur_us: Option<i64>,
    #[prost(uint64, optional, tag = "6")]
    pub(super) id: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "7")]
    pub(super) scope: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "8")]
    pub(super) bind_id: Option<u64>,
    #[prost(uint64, optional, tag = "10")]
    pub(super) local_id: Option<u64>,
    #[prost(uint64, optional, tag = "11")]
    pub(super) global_id: Option<u64>,
    #[prost(int32, optional, tag = "13")]
    pub(super) flow_direction: Option<i32>,
    #[prost(int32, optional, tag = "18")]
    pub(super) pid: Option<i32>,
    #[prost(int32, optional, tag = "19")]
    pub(super) tid: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Annotation {
    #[prost(uint64, optional, tag = "1")]
    pub(super) name_id: Option<u64>,
    #[prost(bool, optional, tag = "2")]
    pub(super) truth: Option<bool>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) unsigned: Option<u64>,
    #[prost(int64, optional, tag = "4")]
    pub(super) signed: Option<i64>,
    #[prost(double, optional, tag = "5")]
    pub(super) double: Option<f64>,
    #[prost(bytes = "vec", optional, tag = "6")]
    pub(super) text: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "7")]
    pub(super) pointer: Option<u64>,
    #[prost(message, optional, tag = "8")]
    pub(super) nested: Option<NestedValue>,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub(super) json: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "10")]
    pub(super) name: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "11")]
    pub(super) members: Vec<Self>,
    #[prost(message, repeated, tag = "12")]
    pub(super) items: Vec<Self>,
    /// A message of another schema, which is not read.
    #[prost(bytes = "vec", optional, tag = "14")]
    pub(super) proto: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "17")]
    pub(super) text_id: Option<u64>,
}

/// `DebugAnnotation.NestedValue`, as Chrome wrote dictionaries and arrays before they were annotations.
#[derive(Clone, PartialEq, Message)]
pub(super) struct NestedValue {
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) keys: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "3")]
    pub(super) members: Vec<Self>,
    #[prost(message, repeated, tag = "4")]
    pub(super) items: Vec<Self>,
    #[prost(int64, optional, tag = "5")]
    pub(super) whole: Option<i64>,
    #[prost(double, optional, tag = "6")]
    pub(super) double: Option<f64>,
    #[prost(bool, optional, tag = "7")]
    pub(super) truth: Option<bool>,
    #[prost(bytes = "vec", optional, tag = "8")]
    pub(super) text: Option<Vec<u8>>,
}

/// A text with its number.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Interned {
    #[prost(uint64, optional, tag = "1")]
    pub(super) id: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) text: Option<Vec<u8>>,
    /// The demangled name of a compute kernel.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub(super) demangled: Option<Vec<u8>>,
}

/// A lane or a stage of a GPU.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GpuSpecification {
    #[prost(uint64, optional, tag = "1")]
    pub(super) id: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) name: Option<Vec<u8>>,
    #[prost(int32, optional, tag = "4")]
    pub(super) category: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InternedData {
    #[prost(message, repeated, tag = "1")]
    pub(super) categories: Vec<Interned>,
    #[prost(message, repeated, tag = "2")]
    pub(super) names: Vec<Interned>,
    #[prost(message, repeated, tag = "3")]
    pub(super) annotation_names: Vec<Interned>,
    #[prost(message, repeated, tag = "24")]
    pub(super) specifications: Vec<GpuSpecification>,
    #[prost(message, repeated, tag = "29")]
    pub(super) texts: Vec<Interned>,
    #[prost(message, repeated, tag = "1000")]
    pub(super) kernels: Vec<Interned>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GpuRenderStageEvent {
    #[prost(uint64, optional, tag = "1")]
    pub(super) id: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) dur: Option<u64>,
    #[prost(message, repeated, tag = "6")]
    pub(super) extra: Vec<ExtraData>,
    #[prost(int32, optional, tag = "11")]
    pub(super) gpu: Option<i32>,
    #[prost(uint64, optional, tag = "13")]
    pub(super) queue_id: Option<u64>,
    #[prost(uint64, optional, tag = "14")]
    pub(super) stage_id: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "17")]
    pub(super) name: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "19")]
    pub(super) kernel_id: Option<u64>,
    #[prost(uint64, optional, tag = "20")]
    pub(super) name_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExtraData {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub(super) name: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) value: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GpuCounterEvent {
    #[prost(message, optional, tag = "1")]
    pub(super) descriptor: Option<GpuCounterDescriptor>,
    #[prost(message, repeated, tag = "2")]
    pub(super) counters: Vec<GpuCounter>,
    #[prost(int32, optional, tag = "3")]
    pub(super) gpu: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GpuCounterDescriptor {
    #[prost(message, repeated, tag = "1")]
    pub(super) specs: Vec<GpuCounterSpec>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GpuCounterSpec {
    #[prost(uint32, optional, tag = "1")]
    pub(super) id: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) name: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GpuCounter {
    #[prost(uint32, optional, tag = "1")]
    pub(super) id: Option<u32>,
    #[prost(int64, optional, tag = "2")]
    pub(super) integer: Option<i64>,
    #[prost(double, optional, tag = "3")]
    pub(super) double: Option<f64>,
}
