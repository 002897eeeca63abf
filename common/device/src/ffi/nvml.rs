//! The functions of NVML.

use std::ffi::{c_char, c_int, c_uint};

use super::{Library, Plain, fill, fill_from, fill_text, text_of};
use crate::CallError;

functions! {
    /// NVML 13.0, `nvml.h`.
    NvmlTable {
        nvmlInit_v2();
        nvmlSystemGetDriverVersion(*mut c_char, c_uint);
        nvmlDeviceGetCount_v2(*mut c_uint);
        nvmlDeviceGetHandleByIndex_v2(c_uint, *mut usize);
        nvmlDeviceGetUUID(usize, *mut c_char, c_uint);
        nvmlDeviceGetName(usize, *mut c_char, c_uint);
        nvmlDeviceGetPciInfo_v3(usize, *mut NvmlPci);
        nvmlDeviceGetMinorNumber(usize, *mut c_uint);
        nvmlDeviceGetUtilizationRates(usize, *mut NvmlUtilization);
        nvmlDeviceGetMemoryInfo(usize, *mut NvmlMemory);
        nvmlDeviceGetMemoryInfo_v2(usize, *mut NvmlMemory2);
        nvmlDeviceGetTemperature(usize, c_uint, *mut c_uint);
        nvmlDeviceGetPowerUsage(usize, *mut c_uint);
        nvmlDeviceGetTotalEnergyConsumption(usize, *mut u64);
        nvmlDeviceGetClockInfo(usize, c_uint, *mut c_uint);
        nvmlDeviceGetPcieReplayCounter(usize, *mut c_uint);
        nvmlDeviceGetTotalEccErrors(usize, c_uint, c_uint, *mut u64);
        nvmlDeviceGetComputeRunningProcesses_v3(usize, *mut c_uint, *mut NvmlProcess);
        nvmlDeviceGetComputeRunningProcesses_v2(usize, *mut c_uint, *mut NvmlProcess);
    }
}

/// `nvmlPciInfo_t`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct NvmlPci {
    legacy: [u8; 16],
    numbers: [c_uint; 5],
    bus_id: [u8; 32],
}

impl NvmlPci {
    /// Returns the place on the bus, such as `00000000:3B:00.0`.
    pub(crate) fn bus_id(&self) -> String {
        text_of(&self.bus_id)
    }
}

/// `nvmlUtilization_t`, in percent.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct NvmlUtilization {
    pub(crate) gpu: c_uint,
    pub(crate) memory: c_uint,
}

/// `nvmlMemory_t`, in bytes; what is reserved counts as used.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct NvmlMemory {
    pub(crate) total: u64,
    pub(crate) free: u64,
    pub(crate) used: u64,
}

/// `nvmlMemory_v2_t`, in bytes.
#[derive(Clone, Copy)]
#[repr(C)]
struct NvmlMemory2 {
    version: c_uint,
    total: u64,
    reserved: u64,
    free: u64,
    used: u64,
}

/// `nvmlProcessInfo_t` of the versions 2 and 3 of the functions.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct NvmlProcess {
    pub(crate) pid: c_uint,
    /// Bytes; all bits set where it is not known.
    pub(crate) memory: u64,
    instances: [c_uint; 2],
}

plain! {
    NvmlPci => Self { legacy: [0; 16], numbers: [0; 5], bus_id: [0; 32] };
    NvmlUtilization => Self { gpu: 0, memory: 0 };
    NvmlMemory => Self { total: 0, free: 0, used: 0 };
    NvmlMemory2 => Self { version: 0, total: 0, reserved: 0, free: 0, used: 0 };
    NvmlProcess => Self { pid: 0, memory: 0, instances: [0; 2] };
}

/// The functions of NVML.
pub(crate) struct Nvml(NvmlTable);

/// A device of NVML.
#[derive(Clone, Copy)]
pub(crate) struct NvmlDevice(usize);

/// Statuses of NVML (`nvmlReturn_t`).
const NVML_NOT_SUPPORTED: c_int = 3;
const NVML_INSUFFICIENT_SIZE: c_int = 7;

impl Nvml {
    pub(crate) fn load(library: &Library) -> Self {
        Self(NvmlTable::load(library))
    }

    /// Returns the first function that nothing works without and that is missing.
    pub(crate) fn find_missing(&self) -> Option<&'static str> {
        let needed = [
            ("nvmlInit_v2", self.0.nvmlInit_v2.is_some()),
            ("nvmlDeviceGetCount_v2", self.0.nvmlDeviceGetCount_v2.is_some()),
            ("nvmlDeviceGetHandleByIndex_v2", self.0.nvmlDeviceGetHandleByIndex_v2.is_some()),
        ];
        needed.iter().find(|(_, is_there)| !is_there).map(|(name, _)| *name)
    }

    fn check(status: c_int) -> Result<(), CallError> {
        // `nvmlReturn_t` of NVML 13.0.
        let text = match status {
            0 => return Ok(()),
            NVML_NOT_SUPPORTED => return Err(CallError::Unsupported),
            1 => "not initialized",
            2 => "invalid argument",
            4 => "no permission",
            6 => "not found",
            NVML_INSUFFICIENT_SIZE => "insufficient size",
            9 => "the driver is not loaded",
            10 => "timeout",
            12 => "a library is missing",
            13 => "a function is missing",
            15 => "the GPU has fallen off the bus",
            16 => "the GPU needs a reset",
            17 => "the operating system has blocked the GPU",
            18 => "driver and library have different versions; was the driver updated without a restart?",
            20 => "out of memory",
            _ => "",
        };
        let space = if text.is_empty() { "" } else { ": " };
        Err(CallError::Failed(format!("NVML error {status}{space}{text}")))
    }

    pub(crate) fn init(&self) -> Result<(), CallError> {
        call!(self.nvmlInit_v2())
    }

    pub(crate) fn driver_version(&self) -> Result<String, CallError> {
        // NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE.
        fill_text::<80>(|text, length| call!(self.nvmlSystemGetDriverVersion(text, length)))
    }

    pub(crate) fn count(&self) -> Result<c_uint, CallError> {
        fill(|out| call!(self.nvmlDeviceGetCount_v2(out)))
    }

    pub(crate) fn device(&self, index: c_uint) -> Result<NvmlDevice, CallError> {
        fill(|out| call!(self.nvmlDeviceGetHandleByIndex_v2(index, out))).map(NvmlDevice)
    }

    pub(crate) fn uuid(&self, device: NvmlDevice) -> Result<String, CallError> {
        // NVML_DEVICE_UUID_V2_BUFFER_SIZE.
        fill_text::<96>(|text, length| call!(self.nvmlDeviceGetUUID(device.0, text, length)))
    }

    pub(crate) fn name(&self, device: NvmlDevice) -> Result<String, CallError> {
        // NVML_DEVICE_NAME_V2_BUFFER_SIZE.
        fill_text::<96>(|text, length| call!(self.nvmlDeviceGetName(device.0, text, length)))
    }

    getters! { NvmlDevice:
        pci = nvmlDeviceGetPciInfo_v3 -> NvmlPci;
        minor = nvmlDeviceGetMinorNumber -> c_uint;
        utilization = nvmlDeviceGetUtilizationRates -> NvmlUtilization;
        /// Milliwatts.
        power = nvmlDeviceGetPowerUsage -> c_uint;
        /// Millijoules.
        energy = nvmlDeviceGetTotalEnergyConsumption -> u64;
        pcie_replays = nvmlDeviceGetPcieReplayCounter -> c_uint;
    }

    /// Returns the memory, without what is reserved where the library says that.
    pub(crate) fn memory(&self, device: NvmlDevice) -> Result<NvmlMemory, CallError> {
        // NVML_STRUCT_VERSION(Memory, 2): the size, and the version in the upper byte.
        let version = c_uint::try_from(size_of::<NvmlMemory2>()).unwrap_or(0) | 2 << 24;
        let initial = NvmlMemory2 { version, ..NvmlMemory2::ZERO };
        match fill_from(initial, |out| call!(self.nvmlDeviceGetMemoryInfo_v2(device.0, out))) {
            Ok(m) => Ok(NvmlMemory { total: m.total, free: m.free, used: m.used }),
            Err(_) => fill(|out| call!(self.nvmlDeviceGetMemoryInfo(device.0, out))),
        }
    }

    /// Returns degrees Celsius.
    pub(crate) fn temperature(&self, device: NvmlDevice) -> Result<c_uint, CallError> {
        // NVML_TEMPERATURE_GPU.
        fill(|out| call!(self.nvmlDeviceGetTemperature(device.0, 0, out)))
    }

    /// Returns MHz of the multiprocessors (1) or the memory (2).
    pub(crate) fn clock(&self, device: NvmlDevice, kind: c_uint) -> Result<c_uint, CallError> {
        fill(|out| call!(self.nvmlDeviceGetClockInfo(device.0, kind, out)))
    }

    /// Returns the errors since the driver was loaded that were corrected (0) or not (1).
    pub(crate) fn ecc_errors(&self, device: NvmlDevice, kind: c_uint) -> Result<u64, CallError> {
        // NVML_VOLATILE_ECC.
        fill(|out| call!(self.nvmlDeviceGetTotalEccErrors(device.0, kind, 0, out)))
    }

    /// Returns at most `max` processes that compute.
    pub(crate) fn processes(&self, device: NvmlDevice, max: usize) -> Result<Vec<NvmlProcess>, CallError> {
        let mut found = vec![NvmlProcess::ZERO; max];
        let list = found.as_mut_ptr();
        let mut count = c_uint::try_from(max).unwrap_or(0);
        let result = match self.0.nvmlDeviceGetComputeRunningProcesses_v3 {
            Some(_) => call!(self.nvmlDeviceGetComputeRunningProcesses_v3(device.0, &raw mut count, list)),
            None => call!(self.nvmlDeviceGetComputeRunningProcesses_v2(device.0, &raw mut count, list)),
        };
        result?;
        found.truncate(count as usize);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the header declares, on 64-bit platforms.
    #[test]
    fn structures_have_the_sizes_of_the_header() {
        assert_eq!((size_of::<NvmlPci>(), size_of::<NvmlMemory>(), size_of::<NvmlMemory2>()), (68, 24, 40));
        assert_eq!((size_of::<NvmlProcess>(), size_of::<NvmlUtilization>()), (24, 8));
    }
}
