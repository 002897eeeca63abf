//! Times of all traces together, by what they belong to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Split;
use crate::record::Record;

/// `traceq.rank`: the mean of a step of one rank, or its whole where no steps are marked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RankTime {
    /// The rank; its place among the traces, if they do not say.
    pub rank: i64,
    /// Index of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<i64>,
    /// Steps that the mean is of; 0 if it is the whole.
    pub steps: u64,
    /// How the time divides.
    #[serde(flatten)]
    pub split: Split,
}

impl Record for RankTime {
    const TYPE: &'static str = "traceq.rank";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"traceq.rank","v":1,"rank":3,"device":0,"steps":2,"total_ns":1000,"compute_ns":600,"communication_ns":300,"exposed_communication_ns":200,"overlap_ns":100,"memcpy_ns":50,"exposed_memcpy_ns":50,"idle_ns":150,"idle_ratio":0.15,"compute_ratio":0.6,"exposed_communication_ratio":0.2}"#;
}

/// `traceq.group`: device time of all ranks of one phase, module, annotation or stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupTimeRecord {
    /// `phase`, `module`, `annotation` or `stream`.
    pub by: String,
    /// Its name; absent of a stream, and for what belongs to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Index of the device, of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<i64>,
    /// Number of the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<i64>,
    /// Sum of the durations of device work whose innermost group it is.
    pub own_ns: i64,
    /// That, and work of the groups within it.
    pub total_ns: i64,
    /// Time in which at least one piece of work ran, of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_ns: Option<i64>,
    /// Pieces of own work.
    pub count: u64,
    /// Traces that have it.
    pub ranks: u64,
    /// `own_ns` of that of all groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

impl Record for GroupTimeRecord {
    const TYPE: &'static str = "traceq.group";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"traceq.group","v":1,"by":"phase","name":"backward","own_ns":200000,"total_ns":200000,"count":12,"ranks":2,"share":0.5}"#;
}
