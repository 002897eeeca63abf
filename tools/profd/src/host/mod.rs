//! The counters of the host: processors, memory, network, disks, from `/proc` (proc(5)).

mod parse;
pub(crate) mod report;
pub(crate) mod sampler;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use parse::{parse_disks, parse_loads, parse_memory, parse_networks, parse_stat};

/// Maximum size of a file of `/proc` in bytes: of a host with thousands of processors and network devices.
const MAX_BYTES: u64 = 8 << 20;

/// The counters of the host since it was started. Those that the kernel does not show, or not to this process, are missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HostSample {
    /// Of all processors together.
    pub(crate) all_cpus: CpuTimes,
    /// By number.
    pub(crate) cpus: Vec<(u32, CpuTimes)>,
    pub(crate) system: SystemCounts,
    /// Lines of `/proc/meminfo`.
    pub(crate) memory: Vec<MemoryField>,
    /// The numbers of `/proc/net/dev`, in its order, by device.
    pub(crate) networks: Vec<(String, [u64; 16])>,
    /// The numbers of `/proc/diskstats`, in its order, by device. Older kernels have fewer.
    pub(crate) disks: Vec<(String, Vec<u64>)>,
    /// Over 1, 5 and 15 minutes.
    pub(crate) loads: Option<[f64; 3]>,
    pub(crate) uptime_s: Option<f64>,
}

/// Times in ticks of a hundredth of a second (proc_stat(5); `USER_HZ` is 100 on every platform of Linux in use).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTimes {
    /// user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice.
    pub(crate) ticks: [u64; 10],
}

/// Single numbers of `/proc/stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SystemCounts {
    pub(crate) interrupts: Option<u64>,
    pub(crate) context_switches: Option<u64>,
    pub(crate) forks: Option<u64>,
    /// Seconds since 1970.
    pub(crate) boot_time_s: Option<u64>,
    pub(crate) running: Option<u64>,
    pub(crate) blocked: Option<u64>,
}

/// A line of `/proc/meminfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemoryField {
    pub(crate) name: String,
    /// Bytes, or a number if it is not an amount of memory.
    pub(crate) value: u64,
    pub(crate) is_bytes: bool,
}

/// The resources that the daemon itself uses (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct OwnUsage {
    pub(crate) cpu_ticks: u64,
    /// Ticks after the start of the host.
    pub(crate) start_ticks: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) threads: u64,
    pub(crate) open_files: u64,
}

/// Ticks in a second.
pub(crate) const TICKS_PER_SECOND: u64 = 100;

/// Reads the counters below a mounted `/proc`.
pub(crate) fn read_host(proc: &Path) -> HostSample {
    let read = |name: &str| read_text(&proc.join(name)).unwrap_or_default();
    let mut sample = HostSample::default();
    parse_stat(&read("stat"), &mut sample);
    sample.memory = parse_memory(&read("meminfo"));
    // `net` is a link to the network of the reading process.
    sample.networks = parse_networks(&read("net/dev"));
    sample.disks = parse_disks(&read("diskstats"));
    sample.loads = parse_loads(&read("loadavg"));
    sample.uptime_s = read("uptime").split_whitespace().next().and_then(|s| s.parse().ok());
    sample
}

/// Reads what the daemon itself uses.
pub(crate) fn read_own_usage() -> Option<OwnUsage> {
    let own = PathBuf::from("/proc/self");
    let stat = read_text(&own.join("stat")).ok()?;
    let open_files = std::fs::read_dir(own.join("fd")).map_or(0, |entries| entries.count() as u64);
    let page = rustix::param::page_size() as u64;
    parse::parse_own_usage(&stat, page).map(|usage| OwnUsage { open_files, ..usage })
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_processors_memory_and_time() {
        let sample = read_host(Path::new("/proc"));
        assert!(!sample.cpus.is_empty() && sample.all_cpus.ticks[3] > 0);
        let total = sample.memory.iter().find(|f| f.name == "MemTotal").unwrap();
        assert!(total.is_bytes && total.value > 1 << 20);
        assert!(sample.networks.iter().any(|(device, _)| device == "lo"));
        assert!(sample.system.boot_time_s.unwrap() > 1_000_000_000 && sample.uptime_s.unwrap() > 0.0);
        let own = read_own_usage().unwrap();
        assert!(own.resident_bytes > 0 && own.open_files >= 3 && own.threads >= 1);
        assert_eq!(read_host(Path::new("/nowhere")), HostSample::default());
    }
}
