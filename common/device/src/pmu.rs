//! The performance counters of the processor: cycles and instructions, over all processes.

use std::fs::File;
use std::io::Read;

use crate::ffi::open_perf_counter;
use crate::nvml::to_double;
use crate::{CallError, DeviceReading, OpenError, Quantity, Source, SourceReading};

/// Maximum number of processors.
const MAX_CPUS: usize = 4096;

/// The events that are counted (Linux `include/uapi/linux/perf_event.h`: PERF_COUNT_HW_CPU_CYCLES, PERF_COUNT_HW_INSTRUCTIONS).
const EVENTS: [(u64, Quantity); 2] = [(0, Quantity::CpuCycles), (1, Quantity::CpuInstructions)];

pub(crate) struct PmuSource {
    counters: Vec<(u32, Quantity, File)>,
}

impl PmuSource {
    pub(crate) fn open() -> Result<Self, OpenError> {
        let online = std::fs::read_to_string("/sys/devices/system/cpu/online")
            .map_err(|e| OpenError::Refused(format!("/sys/devices/system/cpu/online: {e}")))?;
        let mut counters = Vec::new();
        for cpu in parse_list(&online) {
            for (event, quantity) in EVENTS {
                let counter = open_perf_counter(event, cpu);
                counters.push((cpu, quantity, counter.map_err(|e| OpenError::Refused(explain_error(&e)))?));
            }
        }
        if counters.is_empty() {
            return Err(OpenError::Refused("no processors in /sys/devices/system/cpu/online".to_owned()));
        }
        Ok(Self { counters })
    }
}

/// Says what can be done about an error of `perf_event_open(2)`.
fn explain_error(e: &std::io::Error) -> String {
    let why = match e.raw_os_error() {
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV) => {
            "this processor, or this virtual machine, has no counters"
        }
        Some(libc::EACCES | libc::EPERM) => {
            "counting over all processes needs CAP_PERFMON or kernel.perf_event_paranoid of at most 0, and a unit that \
             allows perf_event_open"
        }
        Some(libc::EMFILE | libc::ENFILE) => "too many open files (LimitNOFILE=)",
        _ => return format!("perf_event_open(2): {e}"),
    };
    format!("perf_event_open(2): {e}: {why}")
}

/// Returns the numbers of a list of the kernel: `0-3,8`.
fn parse_list(text: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().take(MAX_CPUS).collect()
}

impl Source for PmuSource {
    fn read(&mut self) -> Result<SourceReading, CallError> {
        let mut reading = SourceReading::default();
        for (cpu, quantity, file) in &mut self.counters {
            if reading.devices.last().is_none_or(|device| device.index != *cpu) {
                reading.devices.push(DeviceReading { index: *cpu, ..DeviceReading::default() });
            }
            let Some(device) = reading.devices.last_mut() else { continue };
            device.take_value(*quantity, "counter", read_counter(file));
        }
        Ok(reading)
    }
}

/// Reads a counter, and estimates the rest where it had to share the hardware (perf_event_open(2), "read format").
fn read_counter(file: &mut File) -> Result<f64, CallError> {
    let mut bytes = [0; 24];
    file.read_exact(&mut bytes).map_err(|e| CallError::Failed(e.to_string()))?;
    let number = |n: usize| u64::from_ne_bytes(std::array::from_fn(|i| bytes[8 * n + i]));
    Ok(scale_count(number(0), number(1), number(2)))
}

fn scale_count(count: u64, enabled: u64, running: u64) -> f64 {
    if running == 0 || running >= enabled {
        return to_double(count);
    }
    (to_double(count) * (to_double(enabled) / to_double(running))).round()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel_are_read() {
        assert_eq!(parse_list("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(parse_list("0\n"), [0]);
        assert!(parse_list("").is_empty());
        assert_eq!(parse_list("0-4000000000").len(), MAX_CPUS);
    }

    #[test]
    fn a_counter_that_shared_the_hardware_is_scaled() {
        assert_eq!(scale_count(100, 8, 4), 200.0);
        assert_eq!(scale_count(100, 8, 8), 100.0);
        assert_eq!(scale_count(0, 8, 0), 0.0);
    }

    /// Where there are counters, they count; where there are none, the reason says what is missing.
    #[test]
    fn counters_count_or_say_why_not() {
        match PmuSource::open() {
            Ok(mut source) => {
                let first = source.read().unwrap();
                let second = source.read().unwrap();
                assert!(second.devices[0].values[0].1 >= first.devices[0].values[0].1);
            }
            Err(e) => assert!(e.to_string().starts_with("perf_event_open(2): "), "{e}"),
        }
    }
}
