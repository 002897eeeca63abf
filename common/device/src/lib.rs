//! Measurements of accelerators and the processor, by their drivers: NVML and DCGM of NVIDIA, DCMI of Ascend, the
//! performance counters of the processor.
//!
//! The libraries belong to the drivers of the host. They are loaded at run time where they are there, and nothing of them is
//! needed to build. Their code runs with all rights of the process that loads them, and any of their calls may hang in a
//! driver: so `profd` does this in processes of their own (`docs/adr/0006-device-metrics.md`).
//!
//! | module | holds |
//! |---|---|
//! | `ffi` | every line of unsafe code: the functions of the libraries, as far as they are used |
//! | `nvml`, `dcgm`, `dcmi`, `pmu` | one source each |
//! | `library` | which file is loaded |

mod dcgm;
mod dcmi;
mod ffi;
mod library;
mod nvml;
mod pmu;

use std::path::PathBuf;

pub use ffi::close_descriptors_on_exec;
use serde::{Deserialize, Serialize};

/// Maximum number of devices of one source.
const MAX_DEVICES: usize = 64;

/// Maximum number of processes of one device.
const MAX_PROCESSES: usize = 1024;

/// The source of measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// NVIDIA Management Library.
    Nvml,
    /// NVIDIA Data Center GPU Manager, through its host engine.
    Dcgm,
    /// Device Control Management Interface of Ascend.
    Dcmi,
    /// The performance counters of the processor.
    Pmu,
}

impl SourceKind {
    /// Returns the word for the source in options, labels and the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nvml => "nvml",
            Self::Dcgm => "dcgm",
            Self::Dcmi => "dcmi",
            Self::Pmu => "pmu",
        }
    }

    /// Returns the names under which the loader of the system is asked for the library, in this order.
    #[must_use]
    pub fn library_names(self) -> &'static [&'static str] {
        match self {
            Self::Nvml => &["libnvidia-ml.so.1"],
            // The major version of DCGM, 4 since 2025.
            Self::Dcgm => &["libdcgm.so.4", "libdcgm.so.3"],
            Self::Dcmi => &["libdcmi.so"],
            Self::Pmu => &[],
        }
    }
}

/// The quantity that is measured, with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Share of the time in which the device computed.
    UtilizationPercent,
    /// Share of the time in which its memory was read or written.
    MemoryBusyPercent,
    /// Clock of the processors.
    ClockMhz,
    /// Clock of the memory.
    MemoryClockMhz,
    /// Temperature of the chip.
    TemperatureC,
    /// Temperature of the memory.
    MemoryTemperatureC,
    /// Power draw.
    PowerW,
    /// Energy since the driver was loaded.
    EnergyMj,
    /// Supply voltage.
    VoltageV,
    /// Memory in use.
    MemoryUsedMib,
    /// Memory that is free.
    MemoryFreeMib,
    /// All memory.
    MemoryTotalMib,
    /// Repeated transfers over PCIe since the driver was loaded.
    PcieReplays,
    /// Errors of the memory that were corrected, since the driver was loaded.
    EccCorrected,
    /// Errors of the memory that were not, since the driver was loaded.
    EccUncorrected,
    /// 1 if the device says that it is healthy, otherwise 0.
    Healthy,
    /// Errors that the device reports now.
    ActiveErrors,
    /// Processes on the device.
    Processes,
    /// Share of the time in which any engine for graphics or computing was active, 0 to 1.
    EngineActive,
    /// Share of the time in which a multiprocessor had work.
    SmActive,
    /// Share of the places for warps that were taken.
    SmOccupancy,
    /// Share of the time in which the tensor cores were active.
    TensorActive,
    /// Share of the time in which the memory was active.
    DramActive,
    /// Share of the time in which the units for 64-bit numbers were active.
    Fp64Active,
    /// Share of the time in which the units for 32-bit numbers were active.
    Fp32Active,
    /// Share of the time in which the units for 16-bit numbers were active.
    Fp16Active,
    /// Bytes sent over PCIe in a second.
    PcieTxBytesPerSecond,
    /// Bytes received over PCIe in a second.
    PcieRxBytesPerSecond,
    /// Bytes sent over NVLink in a second.
    NvlinkTxBytesPerSecond,
    /// Bytes received over NVLink in a second.
    NvlinkRxBytesPerSecond,
    /// Cycles of a processor since counting began.
    CpuCycles,
    /// Instructions of a processor since counting began.
    CpuInstructions,
}

/// A process on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceProcess {
    /// As the driver says it.
    pub pid: i64,
    /// Memory of the device that it uses; missing where the driver does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// The measurements of one device. Those that it does not support are missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceReading {
    /// The number by which its tools name it.
    pub index: u32,
    /// The name of its device file, such as `nvidia0`.
    pub file: Option<String>,
    /// The identity of this device: the UUID, or the numbers of its die.
    pub uuid: Option<String>,
    /// Its place on the bus.
    pub pci_bus_id: Option<String>,
    /// The name of the product.
    pub model: Option<String>,
    /// The values that were measured.
    pub values: Vec<(Quantity, f64)>,
    /// Its processes.
    pub processes: Vec<DeviceProcess>,
    /// Calls that failed although the device supports them, and why the first did.
    pub failed_calls: u64,
    /// The first of those.
    pub first_failure: Option<String>,
}

impl DeviceReading {
    /// Keeps a value. What the device or the driver does not have is left out, what fails is counted.
    pub(crate) fn take<T>(&mut self, what: &str, result: Result<T, CallError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(CallError::Absent | CallError::Unsupported) => None,
            Err(e) => {
                self.failed_calls += 1;
                self.first_failure.get_or_insert_with(|| format!("device {}: {what}: {e}", self.index));
                None
            }
        }
    }

    /// Keeps a number.
    pub(crate) fn take_value(&mut self, quantity: Quantity, what: &str, result: Result<f64, CallError>) {
        if let Some(value) = self.take(what, result) {
            self.values.push((quantity, value));
        }
    }
}

/// All measurements of a source at one time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceReading {
    /// The version of the driver.
    pub driver: Option<String>,
    /// Its devices; for the performance counters, the processors.
    pub devices: Vec<DeviceReading>,
}

/// Why a call into a library gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The library has no such function.
    #[error("the library does not have it")]
    Absent,
    /// The device does not have this.
    #[error("not supported")]
    Unsupported,
    /// Any other refusal.
    #[error("{0}")]
    Failed(String),
}

/// Why a source cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The library is not there, or cannot be loaded.
    #[error("{0}")]
    NotLoaded(String),
    /// The library is older than what is needed.
    #[error("{library}: too old: it has no {symbol} ({since})")]
    TooOld {
        /// The library.
        library: String,
        /// The function that is missing.
        symbol: &'static str,
        /// The versions that have it.
        since: &'static str,
    },
    /// The driver or the kernel refused.
    #[error("{0}")]
    Refused(String),
}

/// How to reach a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceAddress {
    /// Its kind.
    pub kind: SourceKind,
    /// The file of the library, if it is not the one that the loader of the system finds.
    pub library: Option<PathBuf>,
    /// The address of DCGM's host engine.
    pub host_engine: String,
    /// How often DCGM measures, in microseconds.
    pub interval_us: i64,
}

/// An open source.
pub trait Source {
    /// Reads everything. It may take as long as the driver likes.
    ///
    /// # Errors
    /// The source as a whole does not answer any more; it may after it is opened again.
    fn read(&mut self) -> Result<SourceReading, CallError>;
}

/// Loads the library, and begins.
///
/// # Errors
/// The library cannot be loaded, is too old, or its driver refuses.
pub fn open_source(address: &SourceAddress) -> Result<Box<dyn Source>, OpenError> {
    Ok(match address.kind {
        SourceKind::Nvml => Box::new(nvml::NvmlSource::open(address)?),
        SourceKind::Dcgm => Box::new(dcgm::DcgmSource::open(address)?),
        SourceKind::Dcmi => Box::new(dcmi::DcmiSource::open(address)?),
        SourceKind::Pmu => Box::new(pmu::PmuSource::open()?),
    })
}
