//! NVIDIA GPUs, by NVML: the library of the driver that nvidia-smi uses.

use crate::ffi::{Nvml, NvmlDevice};
use crate::library::load_library;
use crate::{
    CallError, DeviceProcess, DeviceReading, MAX_DEVICES, MAX_PROCESSES, OpenError, Quantity, Source,
    SourceAddress, SourceReading,
};

const MIB: f64 = 1_048_576.0;

pub(crate) struct NvmlSource {
    nvml: Nvml,
    driver: Option<String>,
}

impl NvmlSource {
    pub(crate) fn open(address: &SourceAddress) -> Result<Self, OpenError> {
        let (library, name) = load_library(address)?;
        let nvml = Nvml::load(&library);
        if let Some(symbol) = nvml.find_missing() {
            return Err(OpenError::TooOld { library: name, symbol, since: "drivers since 319 have it" });
        }
        nvml.init().map_err(|e| OpenError::Refused(format!("{name}: nvmlInit_v2: {e}")))?;
        let driver = nvml.driver_version().ok();
        Ok(Self { nvml, driver })
    }

    fn read_device(&self, index: u32, device: NvmlDevice) -> DeviceReading {
        let nvml = &self.nvml;
        let mut reading = DeviceReading { index, ..DeviceReading::default() };
        reading.uuid = reading.take("uuid", nvml.uuid(device));
        reading.model = reading.take("name", nvml.name(device));
        reading.pci_bus_id = reading.take("pci", nvml.pci(device)).map(|pci| pci.bus_id());
        reading.file = reading.take("minor number", nvml.minor(device)).map(|minor| format!("nvidia{minor}"));
        if let Some(utilization) = reading.take("utilization", nvml.utilization(device)) {
            reading.values.push((Quantity::UtilizationPercent, utilization.gpu.into()));
            reading.values.push((Quantity::MemoryBusyPercent, utilization.memory.into()));
        }
        if let Some(memory) = reading.take("memory", nvml.memory(device)) {
            let mib = |bytes: u64| (to_double(bytes) / MIB).trunc();
            reading.values.push((Quantity::MemoryUsedMib, mib(memory.used)));
            reading.values.push((Quantity::MemoryFreeMib, mib(memory.free)));
            reading.values.push((Quantity::MemoryTotalMib, mib(memory.total)));
        }
        let number = |result: Result<u32, CallError>| result.map(f64::from);
        reading.take_value(Quantity::TemperatureC, "temperature", number(nvml.temperature(device)));
        reading.take_value(Quantity::PowerW, "power", number(nvml.power(device)).map(|mw| mw / 1000.0));
        reading.take_value(Quantity::EnergyMj, "energy", nvml.energy(device).map(to_double));
        reading.take_value(Quantity::ClockMhz, "clock", number(nvml.clock(device, 1)));
        reading.take_value(Quantity::MemoryClockMhz, "memory clock", number(nvml.clock(device, 2)));
        reading.take_value(Quantity::PcieReplays, "PCIe replays", number(nvml.pcie_replays(device)));
        reading.take_value(Quantity::EccCorrected, "ECC errors", nvml.ecc_errors(device, 0).map(to_double));
        reading.take_value(Quantity::EccUncorrected, "ECC errors", nvml.ecc_errors(device, 1).map(to_double));
        if let Some(processes) = reading.take("processes", nvml.processes(device, MAX_PROCESSES)) {
            #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
            reading.values.push((Quantity::Processes, processes.len() as f64));
            reading.processes = processes
                .iter()
                .map(|p| DeviceProcess {
                    pid: p.pid.into(),
                    // NVML_VALUE_NOT_AVAILABLE.
                    memory_bytes: Some(p.memory).filter(|bytes| *bytes != u64::MAX),
                })
                .collect();
        }
        reading
    }
}

impl Source for NvmlSource {
    fn read(&mut self) -> Result<SourceReading, CallError> {
        let count = self.nvml.count()?.min(u32::try_from(MAX_DEVICES).unwrap_or(u32::MAX));
        let mut devices = Vec::new();
        for index in 0..count {
            match self.nvml.device(index) {
                Ok(device) => devices.push(self.read_device(index, device)),
                // One that has fallen off the bus, for example: the others go on.
                Err(e) => {
                    let mut reading = DeviceReading { index, ..DeviceReading::default() };
                    reading.take::<()>("handle", Err(e));
                    devices.push(reading);
                }
            }
        }
        Ok(SourceReading { driver: self.driver.clone(), devices })
    }
}

#[expect(clippy::cast_precision_loss, reason = "what metrics are made of is a double")]
pub(crate) fn to_double(n: u64) -> f64 {
    n as f64
}
