//! The counters of the host under the names of node_exporter 1.9 (`collector/cpu_linux.go`, `meminfo.go`,
//! `netdev_common.go`, `diskstats_linux.go`, `stat_linux.go`, `loadavg.go`), so that dashboards for it show them.

use super::exposition::{FamilyKind, MetricPage};
use crate::host::{HostSample, TICKS_PER_SECOND};

/// The modes of a processor; guest times are part of `user` and `nice`.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

/// The counters of `/proc/net/dev`, in its order.
const NETWORK: [(&str, &str); 16] = [
    ("node_network_receive_bytes_total", "receive_bytes"),
    ("node_network_receive_packets_total", "receive_packets"),
    ("node_network_receive_errs_total", "receive_errs"),
    ("node_network_receive_drop_total", "receive_drop"),
    ("node_network_receive_fifo_total", "receive_fifo"),
    ("node_network_receive_frame_total", "receive_frame"),
    ("node_network_receive_compressed_total", "receive_compressed"),
    ("node_network_receive_multicast_total", "receive_multicast"),
    ("node_network_transmit_bytes_total", "transmit_bytes"),
    ("node_network_transmit_packets_total", "transmit_packets"),
    ("node_network_transmit_errs_total", "transmit_errs"),
    ("node_network_transmit_drop_total", "transmit_drop"),
    ("node_network_transmit_fifo_total", "transmit_fifo"),
    ("node_network_transmit_colls_total", "transmit_colls"),
    ("node_network_transmit_carrier_total", "transmit_carrier"),
    ("node_network_transmit_compressed_total", "transmit_compressed"),
];

/// A number of `/proc/diskstats`: its name, what it is, and what it is multiplied with.
struct DiskCounter {
    name: &'static str,
    help: &'static str,
    unit: DiskUnit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DiskUnit {
    Number,
    /// A gauge.
    Current,
    /// Of 512 bytes each, whatever the device has (Linux `Documentation/admin-guide/iostats.rst`).
    Sectors,
    Milliseconds,
}

const fn disk(name: &'static str, help: &'static str, unit: DiskUnit) -> DiskCounter {
    DiskCounter { name, help, unit }
}

/// The counters of `/proc/diskstats`, in its order.
const DISK: [DiskCounter; 17] = [
    disk("reads_completed_total", "Reads completed.", DiskUnit::Number),
    disk("reads_merged_total", "Reads merged.", DiskUnit::Number),
    disk("read_bytes_total", "Bytes read.", DiskUnit::Sectors),
    disk("read_time_seconds_total", "Seconds spent by all reads.", DiskUnit::Milliseconds),
    disk("writes_completed_total", "Writes completed.", DiskUnit::Number),
    disk("writes_merged_total", "Writes merged.", DiskUnit::Number),
    disk("written_bytes_total", "Bytes written.", DiskUnit::Sectors),
    disk("write_time_seconds_total", "Seconds spent by all writes.", DiskUnit::Milliseconds),
    disk("io_now", "Operations in progress.", DiskUnit::Current),
    disk("io_time_seconds_total", "Seconds with operations in progress.", DiskUnit::Milliseconds),
    disk("io_time_weighted_seconds_total", "Seconds weighted by operations.", DiskUnit::Milliseconds),
    disk("discards_completed_total", "Discards completed.", DiskUnit::Number),
    disk("discards_merged_total", "Discards merged.", DiskUnit::Number),
    disk("discarded_sectors_total", "Sectors discarded.", DiskUnit::Number),
    disk("discard_time_seconds_total", "Seconds spent by all discards.", DiskUnit::Milliseconds),
    disk("flush_requests_total", "Flush requests completed.", DiskUnit::Number),
    disk("flush_requests_time_seconds_total", "Seconds spent by all flushes.", DiskUnit::Milliseconds),
];

/// Adds the metrics of the host.
pub(super) fn add_host(page: &mut MetricPage, host: &HostSample) {
    add_cpus(page, host);
    add_system(page, host);
    for field in &host.memory {
        let name = field.name.replace(['(', ')'], "_").trim_end_matches('_').to_owned();
        if !name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') {
            continue;
        }
        let name = format!("node_memory_{name}{}", if field.is_bytes { "_bytes" } else { "" });
        page.gauge(&name, &format!("Memory information field {}.", field.name), field.value);
    }
    for (n, (name, field)) in NETWORK.iter().enumerate() {
        let help = format!("Network device statistic {field}.");
        let mut family = page.family(name, FamilyKind::Counter, &help);
        for (device, numbers) in &host.networks {
            family.sample(&[("device", device)], numbers[n]);
        }
    }
    add_disks(page, host);
}

fn add_cpus(page: &mut MetricPage, host: &HostSample) {
    let help = "Seconds the CPUs spent in each mode.";
    let mut family = page.family("node_cpu_seconds_total", FamilyKind::Counter, help);
    for (number, times) in &host.cpus {
        for (mode, ticks) in MODES.iter().zip(times.ticks) {
            family.sample(&[("cpu", &number.to_string()), ("mode", mode)], seconds_of_ticks(ticks));
        }
    }
    let help = "Seconds the CPUs spent in guests (VMs) for each mode.";
    let mut family = page.family("node_cpu_guest_seconds_total", FamilyKind::Counter, help);
    for (number, times) in &host.cpus {
        for (mode, ticks) in ["user", "nice"].iter().zip(&times.ticks[8..]) {
            family.sample(&[("cpu", &number.to_string()), ("mode", mode)], seconds_of_ticks(*ticks));
        }
    }
}

fn add_system(page: &mut MetricPage, host: &HostSample) {
    let system = host.system;
    let counters = [
        ("node_intr_total", "Total number of interrupts serviced.", system.interrupts),
        ("node_context_switches_total", "Total number of context switches.", system.context_switches),
        ("node_forks_total", "Total number of forks.", system.forks),
    ];
    for (name, help, value) in counters {
        if let Some(value) = value {
            page.counter(name, help, value);
        }
    }
    let gauges = [
        ("node_boot_time_seconds", "Node boot time, in unixtime.", system.boot_time_s),
        ("node_procs_running", "Number of processes in runnable state.", system.running),
        ("node_procs_blocked", "Number of processes blocked waiting for I/O to complete.", system.blocked),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            page.gauge(name, help, value);
        }
    }
    for (minutes, load) in [1, 5, 15].into_iter().zip(host.loads.into_iter().flatten()) {
        page.gauge(&format!("node_load{minutes}"), &format!("{minutes}m load average."), load);
    }
}

fn add_disks(page: &mut MetricPage, host: &HostSample) {
    for (n, counter) in DISK.iter().enumerate() {
        let disks = host.disks.iter().filter(|(device, _)| is_whole_disk(device));
        let values: Vec<_> = disks.filter_map(|(device, numbers)| Some((device, *numbers.get(n)?))).collect();
        if values.is_empty() {
            continue;
        }
        let kind = if counter.unit == DiskUnit::Current { FamilyKind::Gauge } else { FamilyKind::Counter };
        let mut family = page.family(&format!("node_disk_{}", counter.name), kind, counter.help);
        for (device, value) in values {
            let labels = [("device", device.as_str())];
            match counter.unit {
                DiskUnit::Number | DiskUnit::Current => family.sample(&labels, value),
                DiskUnit::Sectors => family.sample(&labels, value.saturating_mul(512)),
                DiskUnit::Milliseconds => family.sample(&labels, divide(value, 1000)),
            }
        }
    }
}

/// Leaves out what node_exporter leaves out by default (`diskstats_common.go`): memory, loops, floppies and partitions.
fn is_whole_disk(device: &str) -> bool {
    let is_number = |rest: &str| !rest.is_empty() && rest.bytes().all(|c| c.is_ascii_digit());
    let numbered = ["ram", "zram", "loop", "fd"];
    if numbered.iter().any(|prefix| device.strip_prefix(prefix).is_some_and(is_number)) {
        return false;
    }
    let partition_of = |prefix: &str| {
        let rest = device.strip_prefix(prefix)?;
        let number = rest.strip_prefix(|c: char| c.is_ascii_lowercase())?;
        Some(is_number(number))
    };
    if ["hd", "sd", "vd", "xvd"].iter().any(|prefix| partition_of(prefix) == Some(true)) {
        return false;
    }
    let nvme_partition = device.strip_prefix("nvme").and_then(|rest| rest.split_once('p'));
    !nvme_partition.is_some_and(|(disk, number)| disk.contains('n') && is_number(number))
}

pub(super) fn seconds_of_ticks(ticks: u64) -> f64 {
    divide(ticks, TICKS_PER_SECOND)
}

#[expect(clippy::cast_precision_loss, reason = "what Prometheus keeps is a double")]
fn divide(value: u64, by: u64) -> f64 {
    value as f64 / by as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{CpuTimes, MemoryField};

    #[test]
    fn the_names_and_units_are_those_of_node_exporter() {
        let field = |name: &str, value, is_bytes| MemoryField { name: name.into(), value, is_bytes };
        let host = HostSample {
            cpus: vec![(1, CpuTimes { ticks: [150, 0, 0, 7, 0, 0, 0, 0, 2, 0] })],
            memory: vec![
                field("Active(anon)", 1024, true),
                field("HugePages_Total", 3, false),
                field("bad name", 1, true),
            ],
            networks: vec![("eth0".into(), [7; 16])],
            disks: vec![("sda".into(), (1..=11).collect()), ("sda1".into(), (1..=11).collect())],
            loads: Some([0.5, 1.0, 2.0]),
            ..HostSample::default()
        };
        let mut page = MetricPage::default();
        add_host(&mut page, &host);
        let text = page.into_text();
        for line in [
            "node_cpu_seconds_total{cpu=\"1\",mode=\"user\"} 1.5",
            "node_cpu_guest_seconds_total{cpu=\"1\",mode=\"user\"} 0.02",
            "node_memory_Active_anon_bytes 1024",
            "node_memory_HugePages_Total 3",
            "node_network_transmit_bytes_total{device=\"eth0\"} 7",
            "node_disk_read_bytes_total{device=\"sda\"} 1536",
            "node_disk_io_now{device=\"sda\"} 9",
            "node_disk_io_time_seconds_total{device=\"sda\"} 0.01",
            "node_load15 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(!text.contains("sda1") && !text.contains("discard") && !text.contains("bad name"));
    }

    #[test]
    fn partitions_are_no_disks() {
        for disk in ["sda", "nvme0n1", "vdb", "dm-0", "md127", "mmcblk0"] {
            assert!(is_whole_disk(disk), "{disk}");
        }
        for other in ["sda1", "nvme0n1p2", "loop7", "ram0", "zram1", "xvda9", "fd0"] {
            assert!(!is_whole_disk(other), "{other}");
        }
    }
}
