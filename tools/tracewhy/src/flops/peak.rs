//! The peak performance of devices: floating-point operations in a second by type of number, and bytes of their memory.

use std::path::Path;

use anyhow::{Context, ensure};
use common::error::HintExt;
use serde::Deserialize;

use super::formula::NumberType;

/// The most that a device can do.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DevicePeak {
    /// Words of its name, in any case, in this order.
    name: String,
    /// Teraflops of dense matrices, by type.
    #[serde(default)]
    fp64: Option<f64>,
    #[serde(default)]
    fp32: Option<f64>,
    #[serde(default)]
    tf32: Option<f64>,
    #[serde(default)]
    fp16: Option<f64>,
    #[serde(default)]
    bf16: Option<f64>,
    #[serde(default)]
    fp8: Option<f64>,
    #[serde(default)]
    int8: Option<f64>,
    /// Gigabytes in a second.
    #[serde(default)]
    bandwidth: Option<f64>,
}

impl DevicePeak {
    /// Operations in a second.
    pub(crate) fn flops(&self, number: NumberType) -> Option<f64> {
        let tera = match number {
            NumberType::F64 => self.fp64,
            NumberType::F32 => self.fp32,
            NumberType::Tf32 => self.tf32,
            NumberType::F16 => self.fp16,
            NumberType::Bf16 => self.bf16,
            NumberType::F8 => self.fp8,
            NumberType::I8 => self.int8,
        };
        tera.map(|tera| tera * 1e12)
    }

    /// Bytes in a second.
    pub(crate) fn bandwidth(&self) -> Option<f64> {
        self.bandwidth.map(|giga| giga * 1e9)
    }

    /// Returns whether a name has all words of this one, in this order.
    fn fits(&self, device: &str) -> bool {
        let device = device.to_ascii_lowercase();
        let mut rest = device.as_str();
        self.name.to_ascii_lowercase().split_whitespace().all(|word| match rest.find(word) {
            Some(at) => {
                rest = &rest[at + word.len()..];
                true
            }
            None => false,
        })
    }
}

/// A row: name; teraflops of fp64, fp32, tf32, fp16, bf16, fp8, int8; gigabytes in a second. 0 is not known or not there.
type Row = (&'static str, [f64; 7], f64);

/// Dense figures of the makers' data sheets (NVIDIA: V100, T4, A10, A40, A100, L4, L40, L40S, H20, H100, H200, B200; AMD Instinct:
/// MI100, MI210, MI250, MI250X, MI300A, MI300X, MI325X, MI350X, MI355X). Of devices with two dies that the runtime shows as
/// two (MI250), those of one. The first that fits counts, so longer names stand first.
const DEVICES: [Row; 31] = [
    ("v100 pcie", [7.0, 14.0, 0.0, 112.0, 0.0, 0.0, 0.0], 900.0),
    ("v100", [7.8, 15.7, 0.0, 125.0, 0.0, 0.0, 0.0], 900.0),
    ("tesla t4", [0.0, 8.1, 0.0, 65.0, 0.0, 0.0, 130.0], 320.0),
    ("a100 80gb pcie", [19.5, 19.5, 156.0, 312.0, 312.0, 0.0, 624.0], 1935.0),
    ("a100 80gb", [19.5, 19.5, 156.0, 312.0, 312.0, 0.0, 624.0], 2039.0),
    ("a100", [19.5, 19.5, 156.0, 312.0, 312.0, 0.0, 624.0], 1555.0),
    ("a800 80gb", [19.5, 19.5, 156.0, 312.0, 312.0, 0.0, 624.0], 2039.0),
    ("a40", [0.0, 37.4, 74.8, 149.7, 149.7, 0.0, 299.3], 696.0),
    ("nvidia a10g", [0.0, 35.0, 35.0, 70.0, 70.0, 0.0, 140.0], 600.0),
    ("nvidia a10", [0.0, 31.2, 62.5, 125.0, 125.0, 0.0, 250.0], 600.0),
    ("l40s", [0.0, 91.6, 183.0, 362.05, 362.05, 733.0, 733.0], 864.0),
    ("l40", [0.0, 90.5, 90.5, 181.05, 181.05, 362.0, 362.0], 864.0),
    ("nvidia l4", [0.0, 30.3, 60.0, 121.0, 121.0, 242.5, 242.5], 300.0),
    ("h100 pcie", [51.2, 51.2, 378.0, 756.0, 756.0, 1513.0, 1513.0], 2039.0),
    ("h100 nvl", [60.0, 60.0, 417.5, 835.5, 835.5, 1670.5, 1670.5], 3938.0),
    ("h100", [66.9, 66.9, 494.7, 989.4, 989.4, 1978.9, 1978.9], 3352.0),
    ("h800", [1.0, 66.9, 494.7, 989.4, 989.4, 1978.9, 1978.9], 3352.0),
    ("h200", [66.9, 66.9, 494.7, 989.4, 989.4, 1978.9, 1978.9], 4800.0),
    ("h20", [1.0, 44.0, 74.0, 148.0, 148.0, 296.0, 296.0], 4000.0),
    ("gb200", [40.0, 80.0, 1250.0, 2500.0, 2500.0, 5000.0, 5000.0], 8000.0),
    ("b200", [37.0, 75.0, 1125.0, 2250.0, 2250.0, 4500.0, 4500.0], 8000.0),
    ("mi100", [11.5, 46.1, 0.0, 184.6, 92.3, 0.0, 184.6], 1229.0),
    ("mi210", [45.3, 45.3, 0.0, 181.0, 181.0, 0.0, 181.0], 1638.0),
    ("mi250x", [47.9, 47.9, 0.0, 191.5, 191.5, 0.0, 191.5], 1638.0),
    ("mi250", [45.3, 45.3, 0.0, 181.0, 181.0, 0.0, 181.0], 1638.0),
    ("mi300a", [122.6, 122.6, 490.3, 980.6, 980.6, 1961.2, 1961.2], 5300.0),
    ("mi300x", [163.4, 163.4, 653.7, 1307.4, 1307.4, 2614.9, 2614.9], 5300.0),
    ("mi325x", [163.4, 163.4, 653.7, 1307.4, 1307.4, 2614.9, 2614.9], 6000.0),
    ("mi350x", [72.1, 144.2, 0.0, 2306.9, 2306.9, 4613.7, 4613.7], 8000.0),
    ("mi355x", [78.6, 157.3, 0.0, 2516.6, 2516.6, 5033.2, 5033.2], 8000.0),
    ("rtx 4090", [1.3, 82.6, 82.6, 165.2, 165.2, 330.3, 660.6], 1008.0),
];

/// Devices and what they can do.
#[derive(Clone, Debug)]
pub(crate) struct PeakTable {
    devices: Vec<DevicePeak>,
}

/// The file of a user.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PeakFile {
    device: Vec<DevicePeak>,
}

impl Default for PeakTable {
    fn default() -> Self {
        let of_row = |(name, [fp64, fp32, tf32, fp16, bf16, fp8, int8], bandwidth): &Row| {
            let known = |number: f64| (number > 0.0).then_some(number);
            DevicePeak {
                name: (*name).to_owned(),
                fp64: known(*fp64),
                fp32: known(*fp32),
                tf32: known(*tf32),
                fp16: known(*fp16),
                bf16: known(*bf16),
                fp8: known(*fp8),
                int8: known(*int8),
                bandwidth: known(*bandwidth),
            }
        };
        Self { devices: DEVICES.iter().map(of_row).collect() }
    }
}

impl PeakTable {
    /// With what a file says before what is known.
    ///
    /// # Errors
    /// It cannot be read, or is no such table.
    pub(crate) fn with_file(mut self, path: &Path) -> anyhow::Result<Self> {
        const HINT: &str = "as in: [[device]] name = \"H100 PCIe\", bf16 = 756, bandwidth = 2039 (TFLOPS and GB/s), each on its line";
        let label = || path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|e| anyhow::anyhow!(common::error::io_reason(&e)))
            .with_context(label)?;
        let file: PeakFile = toml::from_str(&text)
            .map_err(|e| {
                let before = e.span().map_or(0, |span| span.start.min(text.len()));
                let line = text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count() + 1;
                anyhow::anyhow!("line {line}: {}", e.message().replace('\n', " "))
            })
            .with_context(label)
            .hint(HINT)?;
        for device in &file.device {
            let numbers = NumberType::ALL.iter().filter_map(|number| device.flops(*number));
            let valid = numbers.chain(device.bandwidth()).all(|n| n.is_finite() && n > 0.0);
            ensure!(valid, "{}: a figure of `{}` is not above 0", label(), device.name);
            ensure!(!device.name.trim().is_empty(), "{}: a device has no name", label());
        }
        self.devices.splice(0..0, file.device);
        Ok(self)
    }

    /// Finds the peak performance of the device of this name.
    pub(crate) fn find(&self, device: &str) -> Option<&DevicePeak> {
        self.devices.iter().find(|peak| peak.fits(device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_told_by_the_names_that_runtimes_give() {
        let table = PeakTable::default();
        let of =
            |name: &str| table.find(name).and_then(|peak| peak.flops(NumberType::Bf16)).map(|n| n / 1e12);
        for (name, expected) in [
            ("NVIDIA H100 80GB HBM3", Some(989.4)),
            ("NVIDIA H100 PCIe", Some(756.0)),
            ("NVIDIA H200", Some(989.4)),
            ("NVIDIA H20", Some(148.0)),
            ("NVIDIA A100-SXM4-80GB", Some(312.0)),
            ("NVIDIA B200", Some(2250.0)),
            ("NVIDIA L40S", Some(362.05)),
            ("NVIDIA L4", Some(121.0)),
            ("AMD Instinct MI300X VF", Some(1307.4)),
            ("AMD Instinct MI250X / MI250", Some(191.5)),
            ("Tesla V100-SXM2-32GB", None),
            ("Something Else", None),
        ] {
            assert_eq!(of(name), expected, "{name}");
        }
        let bandwidth = |name: &str| table.find(name).and_then(DevicePeak::bandwidth);
        assert_eq!(bandwidth("NVIDIA A100-SXM4-80GB"), Some(2.039e12));
        assert_eq!(bandwidth("NVIDIA A100-SXM4-40GB"), Some(1.555e12));
    }
}
