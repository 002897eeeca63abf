//! Ascend NPUs, by DCMI: the library of the driver that npu-smi and npu-exporter use.

use crate::ffi::{Dcmi, DcmiDevice};
use crate::library::load_library;
use crate::nvml::to_double;
use crate::{
    CallError, DeviceProcess, DeviceReading, MAX_DEVICES, MAX_PROCESSES, OpenError, Quantity, Source,
    SourceAddress, SourceReading,
};

pub(crate) struct DcmiSource {
    dcmi: Dcmi,
    driver: Option<String>,
}

impl DcmiSource {
    pub(crate) fn open(address: &SourceAddress) -> Result<Self, OpenError> {
        let (library, name) = load_library(address)?;
        let dcmi = Dcmi::load(&library);
        if let Some(symbol) = dcmi.find_missing() {
            return Err(OpenError::TooOld { library: name, symbol, since: "version 2 of DCMI has it" });
        }
        dcmi.init().map_err(|e| OpenError::Refused(format!("{name}: dcmi_init: {e}")))?;
        let driver = dcmi.driver_version().ok();
        Ok(Self { dcmi, driver })
    }

    /// Lists the chips that compute, card by card.
    fn list_chips(&self) -> Result<Vec<DcmiDevice>, CallError> {
        let mut chips = Vec::new();
        for card in self.dcmi.cards()? {
            for number in 0..self.dcmi.count_chips(card)? {
                let chip = DcmiDevice(card, number);
                // Others are controllers. Old libraries do not say.
                let computes = matches!(self.dcmi.unit_type(chip), Ok(0) | Err(CallError::Absent));
                if computes && chips.len() < MAX_DEVICES {
                    chips.push(chip);
                }
            }
        }
        Ok(chips)
    }

    fn read_chip(&self, position: u32, chip: DcmiDevice) -> DeviceReading {
        let dcmi = &self.dcmi;
        let mut reading = DeviceReading { index: position, ..DeviceReading::default() };
        reading.index = reading.take("number", dcmi.number(chip)).unwrap_or(position);
        reading.file = Some(format!("davinci{}", reading.index));
        reading.model = reading.take("chip", dcmi.chip(chip)).map(|chip| chip.model());
        reading.uuid = reading
            .take("die", dcmi.die(chip))
            .map(|die| die.numbers.iter().map(|n| format!("{n:08X}")).collect::<Vec<_>>().join("-"));
        reading.pci_bus_id = reading
            .take("pcie", dcmi.pcie(chip))
            .map(|p| format!("{:04X}:{:02X}:{:02X}.{:X}", p.domain, p.bus, p.device, p.function));
        let number = |result: Result<u32, CallError>| result.map(f64::from);
        let signed = |result: Result<i32, CallError>| result.map(f64::from);
        reading.take_value(Quantity::UtilizationPercent, "utilization", number(dcmi.utilization(chip)));
        reading.take_value(Quantity::TemperatureC, "temperature", signed(dcmi.temperature(chip)));
        reading.take_value(Quantity::PowerW, "power", signed(dcmi.power(chip)).map(|p| p / 10.0));
        reading.take_value(Quantity::VoltageV, "voltage", number(dcmi.voltage(chip)).map(|v| v / 100.0));
        reading.take_value(Quantity::ClockMhz, "frequency", number(dcmi.clock(chip)));
        let healthy = dcmi.health(chip).map(|health| f64::from(u8::from(health == 0)));
        reading.take_value(Quantity::Healthy, "health", healthy);
        reading.take_value(Quantity::ActiveErrors, "error codes", signed(dcmi.count_errors(chip)));
        if let Some(hbm) = reading.take("hbm", dcmi.hbm(chip)) {
            reading.values.push((Quantity::MemoryUsedMib, to_double(hbm.used)));
            reading.values.push((Quantity::MemoryTotalMib, to_double(hbm.total)));
            reading.values.push((Quantity::MemoryClockMhz, hbm.clock.into()));
            reading.values.push((Quantity::MemoryTemperatureC, hbm.temperature.into()));
            reading.values.push((Quantity::MemoryBusyPercent, hbm.bandwidth_percent.into()));
        }
        if let Some(processes) = reading.take("processes", dcmi.processes(chip, MAX_PROCESSES)) {
            #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
            reading.values.push((Quantity::Processes, processes.len() as f64));
            reading.processes = processes
                .iter()
                .map(|p| DeviceProcess { pid: p.pid.into(), memory_bytes: Some(p.memory) })
                .collect();
        }
        reading
    }
}

impl Source for DcmiSource {
    fn read(&mut self) -> Result<SourceReading, CallError> {
        let chips = self.list_chips()?;
        let devices = (0..).zip(&chips).map(|(position, chip)| self.read_chip(position, *chip)).collect();
        Ok(SourceReading { driver: self.driver.clone(), devices })
    }
}
