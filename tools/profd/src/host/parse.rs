//! The texts of `/proc` as numbers. Lines that are not as expected are left out.

use super::report::CpuPackages;
use super::{CpuTimes, HostSample, MemoryField, OwnUsage};

/// `/proc/stat` (proc_stat(5)).
pub(super) fn parse_stat(text: &str, sample: &mut HostSample) {
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        let first = || words.clone().next().and_then(|n| n.parse().ok());
        match name {
            "cpu" => sample.all_cpus = parse_times(words),
            "intr" => sample.system.interrupts = first(),
            "ctxt" => sample.system.context_switches = first(),
            "btime" => sample.system.boot_time_s = first(),
            "processes" => sample.system.forks = first(),
            "procs_running" => sample.system.running = first(),
            "procs_blocked" => sample.system.blocked = first(),
            _ => {
                if let Some(number) = name.strip_prefix("cpu").and_then(|n| n.parse().ok()) {
                    sample.cpus.push((number, parse_times(words)));
                }
            }
        }
    }
}

fn parse_times<'a>(words: impl Iterator<Item = &'a str>) -> CpuTimes {
    let mut times = CpuTimes::default();
    for (ticks, word) in times.ticks.iter_mut().zip(words) {
        *ticks = word.parse().unwrap_or(0);
    }
    times
}

/// `/proc/meminfo` (proc_meminfo(5)).
pub(super) fn parse_memory(text: &str) -> Vec<MemoryField> {
    let field = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let mut words = rest.split_whitespace();
        let (value, is_bytes): (u64, _) = (words.next()?.parse().ok()?, words.next() == Some("kB"));
        let value = if is_bytes { value.checked_mul(1024)? } else { value };
        Some(MemoryField { name: name.to_owned(), value, is_bytes })
    };
    text.lines().filter_map(field).collect()
}

/// `/proc/net/dev` (proc_pid_net(5)).
pub(super) fn parse_networks(text: &str) -> Vec<(String, [u64; 16])> {
    let device = |line: &str| {
        let (name, rest) = line.rsplit_once(':')?;
        let numbers: Vec<u64> = rest.split_whitespace().map_while(|n| n.parse().ok()).collect();
        Some((name.trim().to_owned(), numbers.try_into().ok()?))
    };
    text.lines().filter_map(device).collect()
}

/// `/proc/diskstats` (Linux 6.12 `Documentation/admin-guide/iostats.rst`).
pub(super) fn parse_disks(text: &str) -> Vec<(String, Vec<u64>)> {
    let disk = |line: &str| {
        let mut words = line.split_whitespace().skip(2);
        let name = words.next()?.to_owned();
        let numbers: Vec<u64> = words.map_while(|n| n.parse().ok()).collect();
        (numbers.len() >= 11).then_some((name, numbers))
    };
    text.lines().filter_map(disk).collect()
}

/// `/proc/loadavg` (proc_loadavg(5)).
pub(super) fn parse_loads(text: &str) -> Option<[f64; 3]> {
    let loads: Vec<f64> = text.split_whitespace().take(3).map_while(|n| n.parse().ok()).collect();
    loads.try_into().ok()
}

/// `/proc/self/stat` (proc_pid_stat(5)). `page` is the size of a page in bytes.
pub(super) fn parse_own_usage(text: &str, page: u64) -> Option<OwnUsage> {
    // The name may hold anything, so the numbers are those behind its closing parenthesis; the first is number 3.
    let words: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |n: usize| words.get(n - 3).and_then(|w| w.parse::<u64>().ok());
    Some(OwnUsage {
        cpu_ticks: number(14)?.saturating_add(number(15)?),
        threads: number(20)?,
        start_ticks: number(22)?,
        virtual_bytes: number(23)?,
        resident_bytes: number(24)?.saturating_mul(page),
        open_files: 0,
    })
}

/// The packages of processors by `/proc/cpuinfo` (`processor` and `physical id`, where dynolog takes its sockets from).
pub(super) fn parse_packages(text: &str) -> CpuPackages {
    let (mut packages, mut processor): (CpuPackages, Option<u32>) = (CpuPackages::new(), None);
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.trim() {
            "processor" => processor = value.trim().parse().ok(),
            "physical id" => {
                packages.extend(processor.zip(value.trim().parse().ok()));
            }
            _ => {}
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_has_all_processors_and_each() {
        let mut sample = HostSample::default();
        let text = "cpu  10 2 3 400 5 6 7 8 9 1\ncpu0 5 1 1 200\ncpu1 5 1 2 200 5 6 7 8 9 1\nintr 99 1 2\nctxt 7\nbtime \
                    1700000000\nprocesses 12\nprocs_running 2\nprocs_blocked 0\nsoftirq 1 2\ncpux 1";
        parse_stat(text, &mut sample);
        assert_eq!(sample.all_cpus.ticks, [10, 2, 3, 400, 5, 6, 7, 8, 9, 1]);
        assert_eq!(sample.cpus.iter().map(|c| (c.0, c.1.ticks[3])).collect::<Vec<_>>(), [(0, 200), (1, 200)]);
        assert_eq!((sample.system.interrupts, sample.system.forks), (Some(99), Some(12)));
    }

    #[test]
    fn memory_network_and_disks_are_read() {
        let memory = parse_memory("MemTotal:  16 kB\nHugePages_Total:   3\nActive(anon): 1 kB\nnonsense\n");
        let values: Vec<_> = memory.iter().map(|f| (f.name.as_str(), f.value, f.is_bytes)).collect();
        assert_eq!(
            values,
            [("MemTotal", 16384, true), ("HugePages_Total", 3, false), ("Active(anon)", 1024, true)]
        );
        let numbers = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
        let networks =
            parse_networks(&format!("Inter-| Receive\n face |bytes\n  eth0:0: {numbers}\n lo:1 2\n"));
        assert_eq!(networks.iter().map(|n| (n.0.as_str(), n.1[8])).collect::<Vec<_>>(), [("eth0:0", 9)]);
        let disks = parse_disks("   8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n 8 1 sda1 1 2\n");
        assert_eq!(disks, [("sda".to_owned(), (1..=11).collect::<Vec<u64>>())]);
        assert_eq!(parse_loads("0.5 1 2.25 1/2 3"), Some([0.5, 1.0, 2.25]));
    }

    #[test]
    fn processors_have_packages() {
        let text =
            "processor\t: 0\nmodel name\t: x: y\nphysical id\t: 0\n\nprocessor\t: 1\nphysical id\t: 1\n";
        assert_eq!(parse_packages(text), [(0, 0), (1, 1)].into());
        assert!(parse_packages("processor : 0\nphysical id : x\nphysical id").is_empty());
    }

    #[test]
    fn the_name_of_the_program_may_hold_anything() {
        let text = "7 (a) b) R 1 7 7 0 -1 0 1 0 0 0 50 25 0 0 20 0 12 0 900 1000000 30 18446744073709551615";
        let usage = parse_own_usage(text, 4096).unwrap();
        assert_eq!((usage.cpu_ticks, usage.threads, usage.start_ticks), (75, 12, 900));
        assert_eq!((usage.virtual_bytes, usage.resident_bytes), (1_000_000, 30 * 4096));
        assert!(parse_own_usage("7 (a", 4096).is_none());
    }
}
