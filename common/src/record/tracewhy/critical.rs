//! The critical path.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::Record;

/// `tracewhy.critical`: the critical path of a step, the mean of all. The first record of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CriticalPath {
    /// Ranks with a trace.
    pub ranks: u64,
    /// Steps.
    pub steps: u64,
    /// Length of a step, which is that of its path.
    pub step_ns: i64,
    /// The parts of the path: `compute`, `communication`, `copy`, `host`, `runtime_call`, `input`, `garbage_collection`,
    /// `allocation`, `synchronization`, `launch`, `queue`, `not_known`.
    pub by_cause: BTreeMap<String, i64>,
    /// Work ran on devices.
    pub on_device: bool,
}

impl Record for CriticalPath {
    const TYPE: &'static str = "tracewhy.critical";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.critical","v":1,"ranks":8,"steps":4,"step_ns":72000000,"by_cause":{"communication":12000000,"compute":60000000},"on_device":true}"#;
}

/// `tracewhy.critical_item`: an operator, kernel, collective or range on the critical path, the most first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CriticalItem {
    /// `operator` (on the host and its work on devices), `kernel` (of no operator), `collective` or `host`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Time of it on the path of a step, the mean of all.
    pub path_ns: i64,
    /// That of the length of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Pieces of it on the paths of all steps.
    pub count: u64,
    /// `path_ns` by cause.
    pub by_cause: BTreeMap<String, i64>,
    /// By how much a step would be shorter if it took no time; of the first items only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gain_ns: Option<i64>,
}

impl Record for CriticalItem {
    const TYPE: &'static str = "tracewhy.critical_item";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.critical_item","v":1,"kind":"operator","name":"aten::mm","path_ns":40000000,"share":0.5,"count":96,"by_cause":{"compute":40000000},"gain_ns":31000000}"#;
}

/// `tracewhy.critical_step`: the critical path of one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CriticalStep {
    /// Its number.
    pub step: i64,
    /// The rank from whose end the path goes back: that whose steps take longest together.
    pub rank: i64,
    /// From the end of all work of the step before, or from the mark of the first, to that of its own.
    pub step_ns: i64,
    /// Length of the path: the same.
    pub path_ns: i64,
    /// The parts of the path.
    pub by_cause: BTreeMap<String, i64>,
    /// How much of it is on which rank.
    pub by_rank: BTreeMap<String, i64>,
}

impl Record for CriticalStep {
    const TYPE: &'static str = "tracewhy.critical_step";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.critical_step","v":1,"step":7,"rank":2,"step_ns":72000000,"path_ns":72000000,"by_cause":{"compute":72000000},"by_rank":{"2":72000000}}"#;
}
