//! The options about devices: which measurements of accelerators and the processor are read.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use common::duration::parse_duration;
use device::{SourceAddress, SourceKind};

/// Options about devices.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Devices")]
pub(crate) struct DeviceFlags {
    /// Show the metrics of accelerators on /metrics: nvml, dcgm, dcmi, or `auto` for those whose library is there
    ///
    /// The library of the driver is loaded at run time: libnvidia-ml.so.1, libdcgm.so.4 or .3, libdcmi.so, as the loader of the
    /// system finds it; the environment plays no part. It runs in a process of its own, which has no keys, no sockets
    /// and no files but the driver's. One that hangs or ends costs its metrics and nothing else. Without this
    /// option nothing is loaded.
    #[arg(long, value_enum, value_name = "SOURCE", value_delimiter = ',')]
    device_metrics: Vec<DeviceChoice>,
    /// Time between two samples of the devices
    #[arg(
        long,
        value_name = "TIME",
        default_value = "10s",
        value_parser = parse_duration,
        alias = "dcgm-reporting-interval-s",
        overrides_with = "device_interval"
    )]
    device_interval: Duration,
    /// Time after which a driver that does not answer is counted as hanging, and its metrics are left out
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    device_timeout: Duration,
    /// File of the library of NVML; it and its directories must belong to root or to the user of the daemon
    #[arg(long, value_name = "FILE")]
    nvml_library: Option<PathBuf>,
    /// File of the library of DCGM, under the same condition
    #[arg(long, value_name = "FILE", alias = "dcgm-lib-path", overrides_with = "dcgm_library")]
    dcgm_library: Option<PathBuf>,
    /// File of the library of DCMI, under the same condition
    #[arg(long, value_name = "FILE")]
    dcmi_library: Option<PathBuf>,
    /// Address of the host engine of DCGM (nv-hostengine), which measures
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:5555",
        alias = "dcgm-standalone-address",
        overrides_with = "dcgm_address"
    )]
    dcgm_address: String,
    /// Count the cycles and instructions of the processors, over all processes, on /metrics
    ///
    /// It needs CAP_PERFMON, or kernel.perf_event_paranoid of at most 0.
    #[arg(long, overrides_with = "enable_perf_monitor")]
    enable_perf_monitor: bool,

    /// This process asks a driver for the daemon that has started it.
    #[arg(long, hide = true)]
    pub(crate) device_worker: bool,
}

/// A value of `--device-metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DeviceChoice {
    /// Each of them whose library is there
    Auto,
    /// NVIDIA GPUs: utilization, memory, power, temperature, errors, processes
    Nvml,
    /// NVIDIA GPUs: the profiling counters, which the host engine of DCGM reads
    Dcgm,
    /// Ascend NPUs
    Dcmi,
}

/// The plan for the metrics of devices.
#[derive(Clone, Debug, Default)]
pub(crate) struct DevicePlan {
    pub(crate) sources: Vec<PlannedSource>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedSource {
    pub(crate) address: SourceAddress,
    /// Whether no option names it: it may be missing then.
    pub(crate) is_auto: bool,
}

impl DevicePlan {
    /// Validates the options.
    ///
    /// # Errors
    /// An option is invalid.
    pub(crate) fn new(flags: &DeviceFlags) -> anyhow::Result<Self> {
        ensure!(
            flags.device_interval >= Duration::from_millis(100),
            "--device-interval: expected at least 100ms"
        );
        ensure!(!flags.device_timeout.is_zero(), "--device-timeout: expected more than 0");
        let host_engine = complete_address(&flags.dcgm_address)
            .with_context(|| format!("--dcgm-address {}: expected HOST:PORT", flags.dcgm_address))?;
        let paths =
            [("nvml", &flags.nvml_library), ("dcgm", &flags.dcgm_library), ("dcmi", &flags.dcmi_library)];
        for (name, path) in paths {
            // A name without a directory is one for the loader.
            let is_fixed =
                path.as_ref().is_none_or(|path| path.is_absolute() || path.components().count() == 1);
            ensure!(is_fixed, "--{name}-library: expected an absolute path");
        }
        let mut plan =
            Self { sources: Vec::new(), interval: flags.device_interval, timeout: flags.device_timeout };
        let choices = &flags.device_metrics;
        let all = [
            (DeviceChoice::Nvml, SourceKind::Nvml, &flags.nvml_library),
            (DeviceChoice::Dcgm, SourceKind::Dcgm, &flags.dcgm_library),
            (DeviceChoice::Dcmi, SourceKind::Dcmi, &flags.dcmi_library),
        ];
        for (choice, kind, library) in all {
            let is_named = choices.contains(&choice);
            if is_named || choices.contains(&DeviceChoice::Auto) {
                plan.add(kind, library.clone(), &host_engine, !is_named);
            }
        }
        if flags.enable_perf_monitor {
            plan.add(SourceKind::Pmu, None, &host_engine, false);
        }
        Ok(plan)
    }

    fn add(&mut self, kind: SourceKind, library: Option<PathBuf>, host_engine: &str, is_auto: bool) {
        let interval_us = i64::try_from(self.interval.as_micros()).unwrap_or(i64::MAX);
        let address = SourceAddress { kind, library, host_engine: host_engine.to_owned(), interval_us };
        self.sources.push(PlannedSource { address, is_auto });
    }
}

/// Adds the port to an address without one.
pub(super) fn complete_address(address: &str) -> Option<String> {
    // DCGM_HE_PORT_NUMBER (DCGM 4.2, dcgm_structs.h).
    let complete = if address.contains(':') { address.to_owned() } else { format!("{address}:5555") };
    find_port(&complete).map(|_| complete)
}

/// Returns the port of `HOST:PORT`.
pub(crate) fn find_port(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    port.parse().ok().filter(|port| *port > 0 && !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct TestArgs {
        #[command(flatten)]
        flags: DeviceFlags,
    }

    fn plan(args: &[&str]) -> Result<DevicePlan, String> {
        let args = std::iter::once("profd").chain(args.iter().copied());
        let flags = TestArgs::try_parse_from(args).map_err(|e| e.to_string())?.flags;
        DevicePlan::new(&flags).map_err(|e| format!("{e:#}"))
    }

    fn sources(args: &[&str]) -> Vec<(SourceKind, bool)> {
        plan(args).unwrap().sources.iter().map(|source| (source.address.kind, source.is_auto)).collect()
    }

    #[test]
    fn nothing_is_loaded_unless_it_is_asked_for() {
        assert_eq!(sources(&[]), []);
        assert_eq!(sources(&["--nvml-library=/l.so", "--dcgm-lib-path=/lib64/libdcgm.so"]), []);
        let all = [SourceKind::Nvml, SourceKind::Dcgm, SourceKind::Dcmi].map(|kind| (kind, true));
        assert_eq!(sources(&["--device-metrics=auto"]), all);
        let named = sources(&["--device-metrics=auto,dcmi", "--enable-perf-monitor"]);
        assert_eq!(named[2..], [(SourceKind::Dcmi, false), (SourceKind::Pmu, false)]);
    }

    #[test]
    fn values_are_checked() {
        assert!(plan(&["--device-interval=1ms"]).unwrap_err().contains("at least 100ms"));
        assert!(plan(&["--device-timeout=0s"]).unwrap_err().contains("--device-timeout"));
        assert!(plan(&["--nvml-library=lib/x.so"]).unwrap_err().contains("absolute path"));
        for wrong in ["", "localhost:0", ":5555", "a:b"] {
            assert!(plan(&["--dcgm-address", wrong]).unwrap_err().contains("HOST:PORT"), "{wrong}");
        }
        let p = plan(&["--device-metrics=dcgm", "--dcgm-standalone-address=h:1"]).unwrap();
        assert_eq!(p.sources[0].address.host_engine, "h:1");
        assert_eq!(complete_address("node1").as_deref(), Some("node1:5555"));
        assert_eq!(plan(&["--dcgm-reporting-interval-s=30"]).unwrap().interval, Duration::from_secs(30));
    }
}
