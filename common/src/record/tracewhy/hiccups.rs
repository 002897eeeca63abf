//! Single steps in which a rank was late.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::Record;

/// `tracewhy.hiccup`: a step in which a rank was late by a fifth of a step or more, and what made it so. That is not to say that
/// the rank is slow: it may happen to any. What cost most comes first; at most 256.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HiccupRecord {
    /// The rank.
    pub rank: i64,
    /// The step.
    pub step: i64,
    /// `compute`, `host`, `input`, `copy` or `garbage_collection`: what explains most of the lateness, and half of it at least.
    pub cause: String,
    /// How much later than its equals it came.
    pub late_ns: i64,
    /// What the other ranks lose by that, all together, as in `tracewhy.cause`.
    pub lost_ns: i64,
    /// Of the cause `compute`, the computation that took longer than in other steps, where one explains half of the lateness; at
    /// most 512 bytes of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_ns: Option<i64>,
    /// The median over the steps of the rank of the longest of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_usual_ns: Option<i64>,
}

impl Record for HiccupRecord {
    const TYPE: &'static str = "tracewhy.hiccup";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.hiccup","v":1,"rank":2,"step":14,"cause":"compute","late_ns":9100000,"lost_ns":27000000,"kernel":"gemm_kernel","kernel_ns":9400000,"kernel_usual_ns":310000}"#;
}
