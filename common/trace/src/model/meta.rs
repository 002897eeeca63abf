//! The metadata of a trace.

use std::collections::BTreeMap;

/// The producer of the trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// PyTorch's libkineto, or a program that writes like it.
    Kineto,
    /// The Ascend PyTorch Profiler, or msprof.
    Ascend,
    /// Any other producer of the Trace Event Format.
    #[default]
    Chrome,
    /// Perfetto's own format.
    Perfetto,
    /// Nsight Systems.
    Nsight,
    /// The tools of ROCm: rocprofv3 and rocpd.
    Rocprof,
    /// JAX, XLA and TensorFlow: `xplane.pb`.
    Xplane,
    /// Profiles of stacks: speedscope, folded stacks.
    Stacks,
}

impl Dialect {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kineto => "kineto",
            Self::Ascend => "ascend",
            Self::Chrome => "chrome",
            Self::Perfetto => "perfetto",
            Self::Nsight => "nsys",
            Self::Rocprof => "rocprof",
            Self::Xplane => "xplane",
            Self::Stacks => "stacks",
        }
    }
}

/// The metadata of a trace.
#[derive(Clone, Debug, Default)]
pub struct TraceMeta {
    /// The producer of the trace.
    pub dialect: Dialect,
    /// Hints at the producer's version and vintage, for people.
    pub hints: Vec<String>,
    /// Nanoseconds to add to a time to come to the Unix epoch; absent if the file does not say.
    pub base_ns: Option<i64>,
    /// Rank of the process in its job.
    pub rank: Option<i64>,
    /// Number of ranks in the job.
    pub world_size: Option<i64>,
    /// Backend of the collectives, such as `nccl`.
    pub backend: Option<String>,
    /// Id of the request that the trace answers (`REQUEST_TRACE_ID`).
    pub trace_id: Option<String>,
    /// The path that the profiler wrote to.
    pub trace_name: Option<String>,
    /// Name of the host.
    pub host: Option<String>,
    /// Names of devices by index.
    pub devices: BTreeMap<i64, String>,
    /// Members of a Chrome trace beside its events, for who writes such a trace again; empty unless it is asked for.
    pub members: Vec<RootMember>,
}

/// A member of a Chrome trace beside its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootMember {
    /// Its name.
    pub name: String,
    /// Its value, as it stands in the file: JSON.
    pub value: Vec<u8>,
}

impl TraceMeta {
    /// The time to add to a time of the file to come to the Unix epoch. Times that are absolute already are recognized
    /// by their size: later than the year 2001.
    pub fn epoch_offset(&self, start: i64) -> Option<i64> {
        self.base_ns.or(is_epoch_time(start).then_some(0))
    }
}

/// Whether a time counts from the Unix epoch, by its size: it is later than the year 2001. No machine runs that long.
pub fn is_epoch_time(start: i64) -> bool {
    const IN_2001: i64 = 1_000_000_000_000_000_000;
    start >= IN_2001
}
