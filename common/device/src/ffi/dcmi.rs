//! The functions of DCMI.

use std::ffi::{c_char, c_int, c_uint, c_ulong};

use super::{Library, Plain, fill, fill_text, text_of};
use crate::CallError;

functions! {
    /// DCMI of the driver 24.1, `dcmi_interface_api.h`.
    DcmiTable {
        dcmi_init();
        dcmi_get_driver_version(*mut c_char, c_uint);
        dcmi_get_card_list(*mut c_int, *mut c_int, c_int);
        dcmi_get_device_num_in_card(c_int, *mut c_int);
        dcmi_get_device_type(c_int, c_int, *mut c_int);
        dcmi_get_device_logic_id(*mut c_int, c_int, c_int);
        dcmi_get_device_phyid_from_logicid(c_uint, *mut c_uint);
        dcmi_get_device_chip_info(c_int, c_int, *mut DcmiChip);
        dcmi_get_device_pcie_info_v2(c_int, c_int, *mut DcmiPcie);
        dcmi_get_device_die_v2(c_int, c_int, c_int, *mut DcmiDie);
        dcmi_get_device_utilization_rate(c_int, c_int, c_int, *mut c_uint);
        dcmi_get_device_temperature(c_int, c_int, *mut c_int);
        dcmi_get_device_power_info(c_int, c_int, *mut c_int);
        dcmi_get_device_voltage(c_int, c_int, *mut c_uint);
        dcmi_get_device_health(c_int, c_int, *mut c_uint);
        dcmi_get_device_frequency(c_int, c_int, c_int, *mut c_uint);
        dcmi_get_device_hbm_info(c_int, c_int, *mut DcmiHbm);
        dcmi_get_device_errorcode_v2(c_int, c_int, *mut c_int, *mut c_uint, c_uint);
        dcmi_get_device_resource_info(c_int, c_int, *mut DcmiProcess, *mut c_int);
    }
}

/// `struct dcmi_chip_info`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct DcmiChip {
    kind: [u8; 32],
    name: [u8; 32],
    version: [u8; 32],
    cores: c_uint,
}

impl DcmiChip {
    /// Returns the name as npu-exporter writes it: `910B3-Ascend-V1`.
    pub(crate) fn model(&self) -> String {
        format!("{}-{}-{}", text_of(&self.name), text_of(&self.kind), text_of(&self.version))
    }
}

/// `struct dcmi_pcie_info_all`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct DcmiPcie {
    ids: [c_uint; 4],
    pub(crate) domain: c_int,
    pub(crate) bus: c_uint,
    pub(crate) device: c_uint,
    pub(crate) function: c_uint,
    reserved: [u8; 32],
}

/// `struct dcmi_die_id`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct DcmiDie {
    pub(crate) numbers: [c_uint; 5],
}

/// `struct dcmi_hbm_info`; sizes in MiB.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct DcmiHbm {
    pub(crate) total: u64,
    pub(crate) clock: c_uint,
    pub(crate) used: u64,
    pub(crate) temperature: c_int,
    pub(crate) bandwidth_percent: c_uint,
}

/// `struct dcmi_proc_mem_info`; bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct DcmiProcess {
    pub(crate) pid: c_int,
    pub(crate) memory: c_ulong,
}

plain! {
    DcmiChip => Self { kind: [0; 32], name: [0; 32], version: [0; 32], cores: 0 };
    DcmiPcie => Self { ids: [0; 4], domain: 0, bus: 0, device: 0, function: 0, reserved: [0; 32] };
    DcmiDie => Self { numbers: [0; 5] };
    DcmiHbm => Self { total: 0, clock: 0, used: 0, temperature: 0, bandwidth_percent: 0 };
    DcmiProcess => Self { pid: 0, memory: 0 };
}

/// The functions of DCMI.
pub(crate) struct Dcmi(DcmiTable);

/// A chip: the number of its card, and its number on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DcmiDevice(pub(crate) c_int, pub(crate) c_int);

/// Generates functions that ask one number of one chip.
macro_rules! chip_getters {
    ($($(#[$doc:meta])* $method:ident = $name:ident($($more:expr),*) -> $t:ty;)*) => {
        $($(#[$doc])* pub(crate) fn $method(&self, chip: DcmiDevice) -> Result<$t, CallError> {
            fill(|out| call!(self.$name(chip.0, chip.1, $($more,)* out)))
        })*
    };
}

impl Dcmi {
    pub(crate) fn load(library: &Library) -> Self {
        Self(DcmiTable::load(library))
    }

    /// Returns the first function that nothing works without and that is missing.
    pub(crate) fn find_missing(&self) -> Option<&'static str> {
        let needed = [
            ("dcmi_init", self.0.dcmi_init.is_some()),
            ("dcmi_get_card_list", self.0.dcmi_get_card_list.is_some()),
            ("dcmi_get_device_num_in_card", self.0.dcmi_get_device_num_in_card.is_some()),
        ];
        needed.iter().find(|(_, is_there)| !is_there).map(|(name, _)| *name)
    }

    fn check(status: c_int) -> Result<(), CallError> {
        // DCMI_ERR_CODE_* of the driver 24.1.
        let text = match status {
            0 => return Ok(()),
            -8255 | -8013 => return Err(CallError::Unsupported),
            -8001 => "invalid parameter",
            -8002 => "no permission",
            -8006 => "timeout",
            -8007 => "invalid device",
            -8008 => "the device does not exist",
            -8009 => "ioctl(2) of the driver failed",
            -8012 => "not ready",
            -8017 => "is being upgraded",
            -8020 => "occupied",
            _ => "",
        };
        let space = if text.is_empty() { "" } else { ": " };
        Err(CallError::Failed(format!("DCMI error {status}{space}{text}")))
    }

    pub(crate) fn init(&self) -> Result<(), CallError> {
        call!(self.dcmi_init())
    }

    pub(crate) fn driver_version(&self) -> Result<String, CallError> {
        fill_text::<64>(|text, length| call!(self.dcmi_get_driver_version(text, length)))
    }

    /// Returns the numbers of the cards, at most 64.
    pub(crate) fn cards(&self) -> Result<Vec<c_int>, CallError> {
        let (mut count, mut cards) = (0, [0; 128]);
        call!(self.dcmi_get_card_list(&raw mut count, cards.as_mut_ptr(), 64))?;
        Ok(cards[..usize::try_from(count).unwrap_or(0).min(64)].to_vec())
    }

    pub(crate) fn count_chips(&self, card: c_int) -> Result<c_int, CallError> {
        fill(|out| call!(self.dcmi_get_device_num_in_card(card, out)))
    }

    /// Returns the number that the host gives the chip, which npu-smi and npu-exporter show.
    pub(crate) fn number(&self, chip: DcmiDevice) -> Result<c_uint, CallError> {
        let logic = fill(|out: *mut c_int| call!(self.dcmi_get_device_logic_id(out, chip.0, chip.1)))?;
        let logic = c_uint::try_from(logic).map_err(|_| CallError::Unsupported)?;
        fill(|out| call!(self.dcmi_get_device_phyid_from_logicid(logic, out)))
    }

    chip_getters! {
        /// 0 for a chip that computes (`enum dcmi_unit_type`).
        unit_type = dcmi_get_device_type() -> c_int;
        chip = dcmi_get_device_chip_info() -> DcmiChip;
        pcie = dcmi_get_device_pcie_info_v2() -> DcmiPcie;
        /// The die of the virtual numbering, VDIE.
        die = dcmi_get_device_die_v2(1) -> DcmiDie;
        /// Percent of the AI cores.
        utilization = dcmi_get_device_utilization_rate(2) -> c_uint;
        /// Degrees Celsius.
        temperature = dcmi_get_device_temperature() -> c_int;
        /// Tenths of a watt.
        power = dcmi_get_device_power_info() -> c_int;
        /// Hundredths of a volt.
        voltage = dcmi_get_device_voltage() -> c_uint;
        /// 0 is healthy.
        health = dcmi_get_device_health() -> c_uint;
        /// MHz of the AI cores, at present.
        clock = dcmi_get_device_frequency(7) -> c_uint;
        hbm = dcmi_get_device_hbm_info() -> DcmiHbm;
    }

    /// Returns the number of errors that the chip reports now.
    pub(crate) fn count_errors(&self, chip: DcmiDevice) -> Result<c_int, CallError> {
        // MAX_ERROR_CODE_COUNT is 128.
        let mut codes = [0; 256];
        fill(|out| call!(self.dcmi_get_device_errorcode_v2(chip.0, chip.1, out, codes.as_mut_ptr(), 128)))
    }

    /// Returns the processes.
    pub(crate) fn processes(&self, chip: DcmiDevice, max: usize) -> Result<Vec<DcmiProcess>, CallError> {
        // The function does not get the size of the buffer; the driver lists at most 32.
        let mut found = vec![DcmiProcess::ZERO; max];
        let list = found.as_mut_ptr();
        let count: c_int = fill(|out| call!(self.dcmi_get_device_resource_info(chip.0, chip.1, list, out)))?;
        found.truncate(usize::try_from(count).unwrap_or(0));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the header declares, on 64-bit platforms.
    #[test]
    fn structures_have_the_sizes_of_the_header() {
        assert_eq!((size_of::<DcmiChip>(), size_of::<DcmiPcie>(), size_of::<DcmiDie>()), (100, 64, 20));
        assert_eq!((size_of::<DcmiHbm>(), size_of::<DcmiProcess>()), (32, 16));
    }
}
