//! Transfers between ranks, and waits of pipelines and mixtures of experts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::Record;

/// `tracewhy.pair`: all transfers from one rank to another: a place in the matrix of pairs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairCost {
    /// The rank that sends, by the number that the traces give.
    pub from: i64,
    /// The rank that receives.
    pub to: i64,
    /// Transfers.
    pub count: u64,
    /// Bytes of all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Time of all of them at the end that waited least.
    pub transfer_ns: i64,
    /// `bytes / transfer_ns`, in GB/s (a billion bytes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gbps: Option<f64>,
}

impl Record for PairCost {
    const TYPE: &'static str = "tracewhy.pair";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.pair","v":1,"from":0,"to":1,"count":40,"bytes":160000000,"transfer_ns":8000000,"gbps":20.0}"#;
}

/// `tracewhy.waits`: what a rank waits for in a pipeline or a mixture of experts, over all its steps. Only of ranks that have
/// any of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RankWaits {
    /// The file.
    pub path: String,
    /// Its number, or its place among the traces.
    pub rank: i64,
    /// Time in transfers in which the other stage had not come yet and nothing was computed.
    pub bubble_ns: i64,
    /// That of the steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bubble_share: Option<f64>,
    /// Time in which tokens are sent to experts.
    pub dispatch_ns: i64,
    /// Time in which results come back.
    pub combine_ns: i64,
    /// Time of both in which nothing was computed.
    pub experts_exposed_ns: i64,
    /// That of the steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts_share: Option<f64>,
}

impl Record for RankWaits {
    const TYPE: &'static str = "tracewhy.waits";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.waits","v":1,"path":"rank2.json","rank":2,"bubble_ns":9000000,"bubble_share":0.125,"dispatch_ns":0,"combine_ns":0,"experts_exposed_ns":0,"experts_share":0.0}"#;
}
