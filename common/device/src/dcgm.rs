//! NVIDIA GPUs, by DCGM: the profiling counters, which NVML does not have. The host engine of the host measures
//! (nv-hostengine, the unit nvidia-dcgm); the library only asks it.

use crate::ffi::{Dcgm, DcgmHandle};
use crate::library::load_library;
use crate::{CallError, DeviceReading, OpenError, Quantity, Source, SourceAddress, SourceReading};

/// How long the connection to the host engine may take, in ms.
const CONNECT_TIMEOUT: u32 = 3000;

/// Name, UUID and place on the bus (DCGM 4.2, `dcgm_fields.h`: DCGM_FI_DEV_NAME, _UUID, _PCI_BUSID).
const NAME: u16 = 50;
const UUID: u16 = 54;
const PCI_BUS_ID: u16 = 57;
const IDENTITY: [u16; 3] = [NAME, UUID, PCI_BUS_ID];

/// DCGM_FI_PROF_*, those that dynolog c3a231a asks for by default (`--dcgm_fields`).
const PROFILE: [(u16, Quantity); 12] = [
    (1001, Quantity::EngineActive),
    (1002, Quantity::SmActive),
    (1003, Quantity::SmOccupancy),
    (1004, Quantity::TensorActive),
    (1005, Quantity::DramActive),
    (1006, Quantity::Fp64Active),
    (1007, Quantity::Fp32Active),
    (1008, Quantity::Fp16Active),
    (1009, Quantity::PcieTxBytesPerSecond),
    (1010, Quantity::PcieRxBytesPerSecond),
    (1011, Quantity::NvlinkTxBytesPerSecond),
    (1012, Quantity::NvlinkRxBytesPerSecond),
];

pub(crate) struct DcgmSource {
    dcgm: Dcgm,
    handle: DcgmHandle,
}

impl DcgmSource {
    pub(crate) fn open(address: &SourceAddress) -> Result<Self, OpenError> {
        let (library, name) = load_library(address)?;
        let dcgm = Dcgm::load(&library);
        if let Some(symbol) = dcgm.find_missing() {
            return Err(OpenError::TooOld { library: name, symbol, since: "DCGM 3 and 4 have it" });
        }
        let host = &address.host_engine;
        let refused = |what: &str, e: CallError| OpenError::Refused(format!("{name}: {what}: {e}"));
        let handle = dcgm
            .connect(host, CONNECT_TIMEOUT)
            .map_err(|e| refused(&format!("host engine {host} (is nvidia-dcgm running?)"), e))?;
        dcgm.watch(handle, &IDENTITY, 60_000_000).map_err(|e| refused("fields of devices", e))?;
        let fields = PROFILE.map(|(field, _)| field);
        dcgm.watch(handle, &fields, address.interval_us).map_err(|e| refused("profiling fields", e))?;
        Ok(Self { dcgm, handle })
    }

    fn read_device(&self, index: u32) -> DeviceReading {
        let mut reading = DeviceReading { index, ..DeviceReading::default() };
        let fields: Vec<u16> = IDENTITY.into_iter().chain(PROFILE.map(|(field, _)| field)).collect();
        let values = self.dcgm.latest(self.handle, index, &fields);
        for value in reading.take("fields", values).unwrap_or_default() {
            match value.field() {
                NAME => reading.model = value.text(),
                UUID => reading.uuid = value.text(),
                PCI_BUS_ID => reading.pci_bus_id = value.text(),
                field => {
                    let quantity = PROFILE.iter().find(|(known, _)| *known == field);
                    if let (Some((_, quantity)), Some(number)) = (quantity, value.number()) {
                        reading.values.push((*quantity, number));
                    }
                }
            }
        }
        reading
    }
}

impl Source for DcgmSource {
    fn read(&mut self) -> Result<SourceReading, CallError> {
        let devices = self.dcgm.devices(self.handle)?;
        let devices = devices.iter().map(|index| self.read_device(*index)).collect();
        Ok(SourceReading { driver: None, devices })
    }
}
