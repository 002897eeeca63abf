//! The share of devices' peak performance that operators reach.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::Record;

/// `tracewhy.flops`: the floating-point operations of one rank.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RankFlops {
    /// The file.
    pub path: String,
    /// Its number, or its place among the traces.
    pub rank: i64,
    /// Name of its device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The peak performance of that device is known.
    pub peak_known: bool,
    /// Operations of all steps; without steps, of all operators.
    pub flops: f64,
    /// Length of all steps; without steps, from the first work on the device to the last.
    pub wall_ns: i64,
    /// `flops / wall_ns`, in a million million operations a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tflops: Option<f64>,
    /// That of what the device can do, each type of number at its own speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mfu: Option<f64>,
    /// Sum of the durations of all kernels.
    pub kernel_ns: i64,
    /// Sum of the durations of those that operators of known work launched.
    pub operator_ns: i64,
}

impl Record for RankFlops {
    const TYPE: &'static str = "tracewhy.flops";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.flops","v":1,"path":"rank0.json","rank":0,"device":"NVIDIA H100 80GB HBM3","peak_known":true,"flops":28800000000000.0,"wall_ns":72000000,"tflops":400.0,"mfu":0.404,"kernel_ns":60000000,"operator_ns":50000000}"#;
}

/// `tracewhy.flops_operator`: an operator with inputs of certain shapes, of all ranks with the same device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorFlops {
    /// Its name.
    pub name: String,
    /// Name of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Shapes of its inputs.
    pub shapes: String,
    /// Type of the numbers: `fp64`, `fp32`, `tf32`, `fp16`, `bf16`, `fp8` or `int8`.
    pub number: String,
    /// Calls that launched kernels.
    pub calls: u64,
    /// Ranks that have it.
    pub ranks: u64,
    /// Sum of the durations of those kernels.
    pub time_ns: i64,
    /// Floating-point operations of a call.
    pub flops: f64,
    /// Bytes of the inputs and outputs of a call, each once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<f64>,
    /// Operations in a second, in a million million.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tflops: Option<f64>,
    /// That of the most that the device can do with such numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_share: Option<f64>,
    /// `flops / bytes`: the place on the axis of a roofline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intensity: Option<f64>,
    /// `compute` or `memory`: what limits it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
    /// `tflops` of what the roofline allows there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roofline_share: Option<f64>,
}

impl Record for OperatorFlops {
    const TYPE: &'static str = "tracewhy.flops_operator";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"tracewhy.flops_operator","v":1,"name":"aten::mm","device":"NVIDIA H100 80GB HBM3","shapes":"128x64 64x256","number":"bf16","calls":12,"ranks":1,"time_ns":120000,"flops":4194304.0,"bytes":114688.0,"tflops":0.5,"peak_share":0.0005,"intensity":36.5,"bound":"memory","roofline_share":0.004}"#;
}
