//! The functions of DCGM.

use std::ffi::{CString, c_char, c_double, c_int, c_longlong, c_uint, c_ushort};

use super::{Library, fill, text_of};
use crate::CallError;

functions! {
    /// DCGM 4.2, `dcgm_agent.h`.
    DcgmTable {
        dcgmInit();
        dcgmConnect_v2(*const c_char, *mut DcgmConnect, *mut usize);
        dcgmGetAllDevices(usize, *mut c_uint, *mut c_int);
        dcgmFieldGroupCreate(usize, c_int, *mut c_ushort, *const c_char, *mut usize);
        dcgmWatchFields(usize, usize, usize, c_longlong, c_double, c_int);
        dcgmUpdateAllFields(usize, c_int);
        dcgmGetLatestValuesForFields(usize, c_int, *mut c_ushort, c_uint, *mut DcgmValue);
    }
}

/// `dcgmConnectV2Params_v2`.
#[repr(C)]
struct DcgmConnect {
    version: c_uint,
    persist: c_uint,
    timeout_ms: c_uint,
    is_unix: c_uint,
}

/// `dcgmFieldValue_v1`; its largest value has 4096 bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct DcgmValue {
    version: c_uint,
    field: c_ushort,
    kind: c_ushort,
    status: c_int,
    time: i64,
    value: [u64; 512],
}

impl DcgmValue {
    const ZERO: Self = Self { version: 0, field: 0, kind: 0, status: 0, time: 0, value: [0; 512] };

    pub(crate) fn field(&self) -> u16 {
        self.field
    }

    /// Returns a number, if it is one and there is one.
    pub(crate) fn number(&self) -> Option<f64> {
        // DCGM_FT_DOUBLE and DCGM_FP64_BLANK, from which on values are blank (dcgm_structs.h).
        let number = match (self.status, u8::try_from(self.kind).ok()?) {
            (0, b'd') => f64::from_bits(self.value[0]),
            _ => return None,
        };
        (number.is_finite() && number < 140_737_488_355_328.0).then_some(number)
    }

    /// Returns a text, if it is one and there is one.
    pub(crate) fn text(&self) -> Option<String> {
        // DCGM_FT_STRING, of at most 256 bytes.
        if self.status != 0 || self.kind != c_ushort::from(b's') {
            return None;
        }
        let bytes: Vec<u8> = self.value[..32].iter().flat_map(|n| n.to_ne_bytes()).collect();
        Some(text_of(&bytes)).filter(|text| !text.is_empty() && !text.starts_with('<'))
    }
}

/// The functions of DCGM.
pub(crate) struct Dcgm(DcgmTable);

/// A connection to a host engine.
#[derive(Clone, Copy)]
pub(crate) struct DcgmHandle(usize);

/// DCGM_GROUP_ALL_GPUS.
const DCGM_ALL_GPUS: usize = 0x7fff_ffff;
/// DCGM_MAX_NUM_DEVICES.
const DCGM_MAX_DEVICES: usize = 32;

impl Dcgm {
    pub(crate) fn load(library: &Library) -> Self {
        Self(DcgmTable::load(library))
    }

    /// Returns the first function that nothing works without and that is missing.
    pub(crate) fn find_missing(&self) -> Option<&'static str> {
        let needed = [
            ("dcgmInit", self.0.dcgmInit.is_some()),
            ("dcgmConnect_v2", self.0.dcgmConnect_v2.is_some()),
            ("dcgmGetAllDevices", self.0.dcgmGetAllDevices.is_some()),
            ("dcgmGetLatestValuesForFields", self.0.dcgmGetLatestValuesForFields.is_some()),
        ];
        needed.iter().find(|(_, is_there)| !is_there).map(|(name, _)| *name)
    }

    fn check(status: c_int) -> Result<(), CallError> {
        // `dcgmReturn_t` of DCGM 4.2, `dcgm_structs.h`.
        let text = match status {
            0 => return Ok(()),
            // DCGM_ST_NOT_SUPPORTED and DCGM_ST_NO_DATA.
            -6 | -14 => return Err(CallError::Unsupported),
            -1 => "invalid parameter",
            -7 => "initialization failed",
            -11 => "timeout",
            -12 => "versions differ",
            -17 => "no permission",
            -18 => "the GPU is lost",
            -21 => "no connection to the host engine",
            -22 => "the GPU is not supported",
            -29 => "the host engine has to run as root",
            _ => "",
        };
        let space = if text.is_empty() { "" } else { ": " };
        Err(CallError::Failed(format!("DCGM error {status}{space}{text}")))
    }

    /// Connects to a host engine. An address is `HOST:PORT`.
    pub(crate) fn connect(&self, address: &str, timeout_ms: c_uint) -> Result<DcgmHandle, CallError> {
        call!(self.dcgmInit())?;
        let address = CString::new(address).map_err(|e| CallError::Failed(e.to_string()))?;
        let version = c_uint::try_from(size_of::<DcgmConnect>()).unwrap_or(0) | 2 << 24;
        let mut parameters = DcgmConnect { version, persist: 0, timeout_ms, is_unix: 0 };
        let connect = |out| call!(self.dcgmConnect_v2(address.as_ptr(), &raw mut parameters, out));
        fill(connect).map(DcgmHandle)
    }

    pub(crate) fn devices(&self, handle: DcgmHandle) -> Result<Vec<c_uint>, CallError> {
        let mut found = [0; 4 * DCGM_MAX_DEVICES];
        let count: c_int = fill(|out| call!(self.dcgmGetAllDevices(handle.0, found.as_mut_ptr(), out)))?;
        Ok(found[..usize::try_from(count).unwrap_or(0).min(DCGM_MAX_DEVICES)].to_vec())
    }

    /// Lets the host engine measure fields of all GPUs, every `interval_us`.
    pub(crate) fn watch(
        &self,
        handle: DcgmHandle,
        fields: &[u16],
        interval_us: i64,
    ) -> Result<(), CallError> {
        let (mut fields, name) = (fields.to_vec(), format!("profd-{}-{}", std::process::id(), fields[0]));
        let name = CString::new(name).map_err(|e| CallError::Failed(e.to_string()))?;
        let (count, list) = (c_int::try_from(fields.len()).unwrap_or(0), fields.as_mut_ptr());
        let create = |out| call!(self.dcgmFieldGroupCreate(handle.0, count, list, name.as_ptr(), out));
        let group: usize = fill(create)?;
        // The latest value is enough, kept for a minute.
        call!(self.dcgmWatchFields(handle.0, DCGM_ALL_GPUS, group, interval_us, 60.0, 2))?;
        call!(self.dcgmUpdateAllFields(handle.0, 1))
    }

    pub(crate) fn latest(
        &self,
        handle: DcgmHandle,
        device: c_uint,
        fields: &[u16],
    ) -> Result<Vec<DcgmValue>, CallError> {
        let device = c_int::try_from(device).map_err(|_| CallError::Unsupported)?;
        let (mut fields, mut values) = (fields.to_vec(), vec![DcgmValue::ZERO; fields.len() + 1]);
        let (count, list) = (c_uint::try_from(fields.len()).unwrap_or(0), values.as_mut_ptr());
        call!(self.dcgmGetLatestValuesForFields(handle.0, device, fields.as_mut_ptr(), count, list))?;
        values.truncate(fields.len());
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the header declares, on 64-bit platforms.
    #[test]
    fn structures_have_the_sizes_of_the_header() {
        assert_eq!((size_of::<DcgmConnect>(), size_of::<DcgmValue>()), (16, 4120));
    }
}
