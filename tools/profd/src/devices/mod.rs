//! The measurements of accelerators and the processor: read by processes of their own (`worker`), each with a thread that
//! waits for it (`monitor`), and kept here until somebody reads it.

pub(crate) mod monitor;
mod names;
pub(crate) mod worker;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use device::{DeviceReading, Quantity, SourceKind, SourceReading};

use names::find_name;

/// A metric, and its value of each device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DeviceFamily {
    pub(crate) name: &'static str,
    pub(crate) is_counter: bool,
    pub(crate) help: &'static str,
    pub(crate) samples: Vec<DeviceSample>,
}

/// A value, and what it is of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DeviceSample {
    /// Name and value; the names are constants.
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) value: f64,
}

/// The last reports of the sources.
#[derive(Debug, Default)]
pub(crate) struct DeviceBoard(Mutex<BTreeMap<SourceKind, SourceState>>);

#[derive(Debug, Default)]
struct SourceState {
    /// `None` as long as the source does not answer.
    last: Option<TimedReading>,
    before: Option<TimedReading>,
}

#[derive(Clone, Debug)]
struct TimedReading {
    at: Instant,
    reading: SourceReading,
}

impl DeviceBoard {
    /// Makes room for a source, which is not up yet.
    fn add_source(&self, kind: SourceKind) {
        self.with(kind, |_| ());
    }

    /// Keeps what a source has reported.
    fn put(&self, kind: SourceKind, reading: SourceReading, at: Instant) {
        self.with(kind, |state| state.before = state.last.replace(TimedReading { at, reading }));
    }

    /// Forgets what a source has reported: it is too old to be shown.
    fn clear(&self, kind: SourceKind) {
        self.with(kind, |state| *state = SourceState::default());
    }

    /// Removes a source that is not there.
    fn remove(&self, kind: SourceKind) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&kind);
    }

    fn with(&self, kind: SourceKind, change: impl FnOnce(&mut SourceState)) {
        change(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default());
    }

    /// Lists the sources that do not answer at present.
    pub(crate) fn list_silent(&self) -> Vec<SourceKind> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.iter().filter(|(_, state)| state.last.is_none()).map(|(kind, _)| *kind).collect()
    }

    /// Lists everything by name. With `dynolog_host`, also under the names of dynolog, with this name of the host.
    pub(crate) fn list_families(&self, host_name: &str, with_dynolog: bool) -> Vec<DeviceFamily> {
        let mut families = Families::default();
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, state) in &*states {
            let up = f64::from(u8::from(state.last.is_some()));
            let help = "Whether the driver of the devices, or the counters of the processor, answer.";
            families.add("profd_device_source_up", false, help, vec![("source", kind.name().into())], up);
            let Some(last) = &state.last else { continue };
            for device in &last.reading.devices {
                families.add_device(*kind, device, &last.reading, host_name);
                if with_dynolog {
                    families.add_dynolog(*kind, device, host_name);
                }
            }
            if let (true, Some(before)) = (with_dynolog, &state.before) {
                families.add_rates(last, before, host_name);
            }
        }
        families.0.into_values().collect()
    }
}

/// Families by name.
#[derive(Default)]
struct Families(BTreeMap<&'static str, DeviceFamily>);

impl Families {
    fn add(
        &mut self,
        name: &'static str,
        is_counter: bool,
        help: &'static str,
        labels: Vec<(&'static str, String)>,
        value: f64,
    ) {
        let family = DeviceFamily { name, is_counter, help, samples: Vec::new() };
        self.0.entry(name).or_insert(family).samples.push(DeviceSample { labels, value });
    }

    fn add_device(
        &mut self,
        kind: SourceKind,
        device: &DeviceReading,
        reading: &SourceReading,
        host_name: &str,
    ) {
        let labels = label_device(kind, device, host_name);
        for (quantity, value) in &device.values {
            if let Some(name) = find_name(kind, *quantity) {
                self.add(name.name, name.is_counter, name.help, labels.clone(), *value);
            }
        }
        if matches!(kind, SourceKind::Nvml | SourceKind::Dcmi) {
            let mut info = name_device(kind, device);
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            info.extend([("pci_bus_id", text(&device.pci_bus_id)), ("model", text(&device.model))]);
            info.push(("driver", text(&reading.driver)));
            let help = "A device, its place on the bus, and the version of its driver; the value is 1.";
            self.add("profd_device_info", false, help, info, 1.0);
        }
        for process in &device.processes {
            let Some(bytes) = process.memory_bytes else { continue };
            let mut labels = name_device(kind, device);
            labels.push(("pid", process.pid.to_string()));
            let help = "Memory of a device that a process uses, by the pid that the driver says.";
            #[expect(clippy::cast_precision_loss, reason = "what Prometheus keeps is a double")]
            let bytes = bytes as f64;
            self.add("profd_device_process_memory_bytes", false, help, labels, bytes);
        }
    }

    fn add_dynolog(&mut self, kind: SourceKind, device: &DeviceReading, host_name: &str) {
        for (quantity, value) in &device.values {
            let Some(name) = find_name(kind, *quantity) else { continue };
            let Some(dynolog) = name.dynolog else { continue };
            let labels = vec![("host_name", host_name.to_owned()), ("device", device.index.to_string())];
            self.add(dynolog, false, name.help, labels, *value);
        }
    }

    /// Adds what dynolog makes of the performance counters (`PerfMonitor.cpp`): millions in a second, of all processors.
    fn add_rates(&mut self, last: &TimedReading, before: &TimedReading, host_name: &str) {
        let seconds = last.at.duration_since(before.at).as_secs_f64();
        let rates = [
            (Quantity::CpuInstructions, "mips", "Instructions of all processors, in millions per second."),
            (
                Quantity::CpuCycles,
                "mega_cycles_per_second",
                "Cycles of all processors, in millions per second.",
            ),
        ];
        for (quantity, name, help) in rates {
            let sum = |reading: &SourceReading| -> Option<f64> {
                let values = reading.devices.iter().flat_map(|device| &device.values);
                values.filter(|(q, _)| *q == quantity).map(|(_, value)| *value).reduce(|a, b| a + b)
            };
            if let (Some(last), Some(before), true) =
                (sum(&last.reading), sum(&before.reading), seconds > 0.0)
            {
                let rate = (last - before).max(0.0) / seconds / 1e6;
                self.add(name, false, help, vec![("host_name", host_name.to_owned())], rate);
            }
        }
    }
}

/// The labels of the exporter of each vendor.
fn label_device(kind: SourceKind, device: &DeviceReading, host_name: &str) -> Vec<(&'static str, String)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let index = device.index.to_string();
    match kind {
        // dcgm-exporter 4.2 (`internal/pkg/rendermetrics`).
        SourceKind::Nvml | SourceKind::Dcgm => vec![
            ("gpu", index),
            ("UUID", text(&device.uuid)),
            ("pci_bus_id", text(&device.pci_bus_id)),
            ("device", device.file.clone().unwrap_or_else(|| format!("nvidia{}", device.index))),
            ("modelName", text(&device.model)),
            ("Hostname", host_name.to_owned()),
        ],
        // npu-exporter 6.0 (`collector/npu_collector.go`).
        SourceKind::Dcmi => vec![
            ("id", index),
            ("model_name", text(&device.model)),
            ("vdie_id", text(&device.uuid)),
            ("pcie_bus_info", text(&device.pci_bus_id)),
        ],
        SourceKind::Pmu => vec![("cpu", index)],
    }
}

/// The labels of our own metrics.
fn name_device(kind: SourceKind, device: &DeviceReading) -> Vec<(&'static str, String)> {
    vec![
        ("source", kind.name().to_owned()),
        ("device", device.index.to_string()),
        ("uuid", device.uuid.clone().unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use device::DeviceProcess;

    use super::*;

    fn lines(board: &DeviceBoard, with_dynolog: bool) -> Vec<String> {
        let families = board.list_families("n1", with_dynolog);
        let line = |family: &DeviceFamily, sample: &DeviceSample| {
            let labels: Vec<_> = sample.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
            format!("{} {} {}", family.name, labels.join(","), sample.value)
        };
        families.iter().flat_map(|f| f.samples.iter().map(move |s| line(f, s))).collect()
    }

    #[test]
    fn what_is_too_old_is_not_shown() {
        let board = DeviceBoard::default();
        board.add_source(SourceKind::Nvml);
        assert_eq!(lines(&board, true), ["profd_device_source_up source=nvml 0"]);
        let device = DeviceReading {
            index: 3,
            uuid: Some("GPU-3".into()),
            values: vec![(Quantity::PowerW, 71.5), (Quantity::VoltageV, 1.0)],
            processes: vec![
                DeviceProcess { pid: 9, memory_bytes: Some(4096) },
                DeviceProcess { pid: 10, memory_bytes: None },
            ],
            ..DeviceReading::default()
        };
        let reading = SourceReading { driver: Some("550.1".into()), devices: vec![device] };
        board.put(SourceKind::Nvml, reading, Instant::now());
        assert!(board.list_silent().is_empty());
        let expected = [
            "DCGM_FI_DEV_POWER_USAGE gpu=3,UUID=GPU-3,pci_bus_id=,device=nvidia3,modelName=,Hostname=n1 71.5",
            "gpu_power_draw host_name=n1,device=3 71.5",
            "profd_device_info source=nvml,device=3,uuid=GPU-3,pci_bus_id=,model=,driver=550.1 1",
            "profd_device_process_memory_bytes source=nvml,device=3,uuid=GPU-3,pid=9 4096",
            "profd_device_source_up source=nvml 1",
        ];
        assert_eq!(lines(&board, true), expected);
        board.clear(SourceKind::Nvml);
        assert_eq!(lines(&board, true), ["profd_device_source_up source=nvml 0"]);
        assert_eq!(board.list_silent(), [SourceKind::Nvml]);
        board.remove(SourceKind::Nvml);
        assert!(lines(&board, true).is_empty());
    }

    #[test]
    fn rates_of_the_processor_are_of_all_processors() {
        let board = DeviceBoard::default();
        let reading = |cycles: f64| SourceReading {
            driver: None,
            devices: (0..2)
                .map(|index| DeviceReading {
                    index,
                    values: vec![(Quantity::CpuCycles, cycles)],
                    ..DeviceReading::default()
                })
                .collect(),
        };
        let start = Instant::now();
        board.put(SourceKind::Pmu, reading(1e6), start);
        assert!(!lines(&board, true).iter().any(|line| line.starts_with("mega")));
        board.put(SourceKind::Pmu, reading(5e6), start + Duration::from_secs(2));
        let text = lines(&board, true);
        assert_eq!(text[0], "mega_cycles_per_second host_name=n1 4");
        assert_eq!(text[1], "node_perf_cpucycles_total cpu=0 5000000");
        assert!(!lines(&board, false).iter().any(|line| line.starts_with("mega")));
    }
}
