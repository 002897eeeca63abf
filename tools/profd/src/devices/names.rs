//! The names of devices' measurements: those of the exporter of each vendor, so that its dashboards show them, and beside them
//! those of dynolog. What no exporter has begins with `profd_device_`.

use device::{Quantity, SourceKind};

use Quantity as Q;
use SourceKind::{Dcgm, Dcmi, Nvml, Pmu};

/// How a quantity is called.
pub(super) struct MetricName {
    source: SourceKind,
    quantity: Quantity,
    pub(super) name: &'static str,
    pub(super) is_counter: bool,
    pub(super) help: &'static str,
    /// Its name in dynolog c3a231a (`DcgmGroupInfo.cpp`), in the same unit.
    pub(super) dynolog: Option<&'static str>,
}

const fn gauge(source: SourceKind, quantity: Quantity, name: &'static str, help: &'static str) -> MetricName {
    MetricName { source, quantity, name, is_counter: false, help, dynolog: None }
}

const fn counter(
    source: SourceKind,
    quantity: Quantity,
    name: &'static str,
    help: &'static str,
) -> MetricName {
    MetricName { source, quantity, name, is_counter: true, help, dynolog: None }
}

impl MetricName {
    const fn dynolog(self, name: &'static str) -> Self {
        Self { dynolog: Some(name), ..self }
    }
}

/// All names. NVIDIA: dcgm-exporter 4.2 (`etc/default-counters.csv`, `etc/dcp-metrics-included.csv`). Ascend: npu-exporter 6.0
/// (`collector/npu_collector.go`). Processors: node_exporter 1.9 (`collector/perf_linux.go`).
const NAMES: [MetricName; 40] = [
    gauge(Nvml, Q::UtilizationPercent, "DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).")
        .dynolog("gpu_device_utilization"),
    gauge(Nvml, Q::MemoryBusyPercent, "DCGM_FI_DEV_MEM_COPY_UTIL", "Memory utilization (in %).")
        .dynolog("gpu_memory_utilization"),
    gauge(Nvml, Q::ClockMhz, "DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz).")
        .dynolog("gpu_frequency_mhz"),
    gauge(Nvml, Q::MemoryClockMhz, "DCGM_FI_DEV_MEM_CLOCK", "Memory clock frequency (in MHz)."),
    gauge(Nvml, Q::TemperatureC, "DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C)."),
    gauge(Nvml, Q::PowerW, "DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).").dynolog("gpu_power_draw"),
    counter(
        Nvml,
        Q::EnergyMj,
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        "Energy since the driver was loaded (in mJ).",
    ),
    gauge(Nvml, Q::MemoryUsedMib, "DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB)."),
    gauge(Nvml, Q::MemoryFreeMib, "DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MiB)."),
    gauge(Nvml, Q::MemoryTotalMib, "DCGM_FI_DEV_FB_TOTAL", "Framebuffer memory (in MiB)."),
    counter(Nvml, Q::PcieReplays, "DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "Total number of PCIe retries."),
    counter(Nvml, Q::EccCorrected, "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "Corrected errors of the memory."),
    counter(Nvml, Q::EccUncorrected, "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "Uncorrected errors of the memory."),
    gauge(Nvml, Q::Processes, "profd_device_processes", "Processes that compute on a device."),
    gauge(Dcgm, Q::EngineActive, "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "Ratio of time an engine is active.")
        .dynolog("graphics_engine_active_ratio"),
    gauge(Dcgm, Q::SmActive, "DCGM_FI_PROF_SM_ACTIVE", "Ratio of cycles an SM has a warp.")
        .dynolog("sm_active_ratio"),
    gauge(Dcgm, Q::SmOccupancy, "DCGM_FI_PROF_SM_OCCUPANCY", "Ratio of warps resident on an SM.")
        .dynolog("sm_occupancy"),
    gauge(Dcgm, Q::TensorActive, "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "Ratio of cycles of the tensor pipe.")
        .dynolog("tensorcore_active"),
    gauge(Dcgm, Q::DramActive, "DCGM_FI_PROF_DRAM_ACTIVE", "Ratio of cycles the memory is active.")
        .dynolog("hbm_mem_bw_util"),
    gauge(Dcgm, Q::Fp64Active, "DCGM_FI_PROF_PIPE_FP64_ACTIVE", "Ratio of cycles of the FP64 pipes.")
        .dynolog("fp64_active"),
    gauge(Dcgm, Q::Fp32Active, "DCGM_FI_PROF_PIPE_FP32_ACTIVE", "Ratio of cycles of the FP32 pipes.")
        .dynolog("fp32_active"),
    gauge(Dcgm, Q::Fp16Active, "DCGM_FI_PROF_PIPE_FP16_ACTIVE", "Ratio of cycles of the FP16 pipes.")
        .dynolog("fp16_active"),
    gauge(Dcgm, Q::PcieTxBytesPerSecond, "DCGM_FI_PROF_PCIE_TX_BYTES", "Bytes per second sent over PCIe.")
        .dynolog("pcie_tx_bytes"),
    gauge(Dcgm, Q::PcieRxBytesPerSecond, "DCGM_FI_PROF_PCIE_RX_BYTES", "Bytes per second got over PCIe.")
        .dynolog("pcie_rx_bytes"),
    gauge(
        Dcgm,
        Q::NvlinkTxBytesPerSecond,
        "DCGM_FI_PROF_NVLINK_TX_BYTES",
        "Bytes per second sent over NVLink.",
    )
    .dynolog("nvlink_tx_bytes"),
    gauge(
        Dcgm,
        Q::NvlinkRxBytesPerSecond,
        "DCGM_FI_PROF_NVLINK_RX_BYTES",
        "Bytes per second got over NVLink.",
    )
    .dynolog("nvlink_rx_bytes"),
    gauge(Dcmi, Q::UtilizationPercent, "npu_chip_info_utilization", "The ai core utilization, in percent."),
    gauge(Dcmi, Q::TemperatureC, "npu_chip_info_temperature", "The npu temperature, in degrees Celsius."),
    gauge(Dcmi, Q::PowerW, "npu_chip_info_power", "The npu power, in watts."),
    gauge(Dcmi, Q::VoltageV, "npu_chip_info_voltage", "The npu voltage, in volts."),
    gauge(Dcmi, Q::Healthy, "npu_chip_info_health_status", "The npu health status: 1 is healthy."),
    gauge(Dcmi, Q::MemoryUsedMib, "npu_chip_info_hbm_used_memory", "The npu hbm used memory, in MB."),
    gauge(Dcmi, Q::MemoryTotalMib, "npu_chip_info_hbm_total_memory", "The npu hbm total memory, in MB."),
    gauge(Dcmi, Q::ClockMhz, "npu_chip_info_aicore_current_freq", "The ai core current frequency, in MHz."),
    gauge(Dcmi, Q::Processes, "npu_chip_info_process_info_num", "The number of processes on the npu."),
    gauge(
        Dcmi,
        Q::MemoryBusyPercent,
        "profd_device_memory_bandwidth_percent",
        "Share of the bandwidth of the memory that is used.",
    ),
    gauge(
        Dcmi,
        Q::MemoryTemperatureC,
        "profd_device_memory_temperature_celsius",
        "Temperature of the memory.",
    ),
    gauge(Dcmi, Q::ActiveErrors, "profd_device_active_errors", "Errors that a device reports now."),
    counter(Pmu, Q::CpuCycles, "node_perf_cpucycles_total", "Number of CPU cycles (frequency scaled)."),
    counter(Pmu, Q::CpuInstructions, "node_perf_instructions_total", "Number of CPU instructions."),
];

/// Finds the name of a quantity; `None` if it is not shown.
pub(super) fn find_name(source: SourceKind, quantity: Quantity) -> Option<&'static MetricName> {
    NAMES.iter().find(|name| name.source == source && name.quantity == quantity)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_stand_once() {
        let names: BTreeSet<_> = NAMES.iter().map(|name| name.name).collect();
        assert_eq!(names.len(), NAMES.len());
        let dynolog: Vec<_> = NAMES.iter().filter_map(|name| name.dynolog).collect();
        assert_eq!(dynolog.iter().collect::<BTreeSet<_>>().len(), dynolog.len());
        let rows: BTreeSet<_> = NAMES.iter().map(|name| (name.source, name.quantity)).collect();
        assert_eq!(rows.len(), NAMES.len());
    }

    /// A counter that does not end in `_total` is called so by its exporter.
    #[test]
    fn own_names_have_their_unit() {
        for name in NAMES.iter().filter(|name| name.name.starts_with("profd_")) {
            assert!(!name.is_counter && !name.name.ends_with("_total"), "{}", name.name);
        }
        assert!(find_name(SourceKind::Dcmi, Quantity::MemoryClockMhz).is_none());
    }
}
