//! Samples of the host as dynolog logs them: percentages and differences since the sample before, by its names (dynolog
//! c3a231a, `KernelCollector.cpp`). They go to the destinations of metrics. What is sampled of a device, such as a GPU, is
//! the same with the name of the device.

use std::borrow::Cow;
use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::{CpuTimes, HostSample, TICKS_PER_SECOND};

/// Prefixes of the names of the network devices that are sampled (dynolog's `--allow_interface_prefixes`).
const INTERFACES: [&str; 5] = ["eno", "ens", "enp", "enx", "eth"];

/// The counters that are sampled of a network device, and their places in `/proc/net/dev`.
const NETWORK: [(&str, usize); 8] = [
    ("rx_bytes", 0),
    ("rx_packets", 1),
    ("rx_errors", 2),
    ("rx_drops", 3),
    ("tx_bytes", 8),
    ("tx_packets", 9),
    ("tx_errors", 10),
    ("tx_drops", 11),
];

/// The times in ms, and their place in `/proc/stat`.
const TIMES: [(&str, usize); 9] = [
    ("cpu_u_ms", 0),
    ("cpu_s_ms", 2),
    ("cpu_n_ms", 1),
    ("cpu_w_ms", 4),
    ("cpu_x_ms", 5),
    ("cpu_y_ms", 6),
    ("cpu_z_ms", 7),
    ("cpu_guest_ms", 8),
    ("cpu_guest_nice_ms", 9),
];

/// The packages of processors, by the number of the processor.
pub(crate) type CpuPackages = BTreeMap<u32, u32>;

/// One sample of the host, or of one of its devices.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostReport {
    pub(crate) taken: OffsetDateTime,
    /// The device that the values are of, such as the index of a GPU; `None` for the host.
    pub(crate) device: Option<String>,
    /// More facts about the device, such as its model. The names are like those of labels in Prometheus.
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) values: Vec<HostValue>,
}

/// One value of a sample.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostValue {
    pub(crate) name: Cow<'static, str>,
    /// The network device that it is of, if it is of one.
    pub(crate) net: Option<String>,
    pub(crate) value: f64,
}

impl HostValue {
    pub(crate) fn new(name: impl Into<Cow<'static, str>>, value: f64) -> Self {
        Self { name: name.into(), net: None, value }
    }

    /// Returns the name as dynolog's records have it: `cpu_util`, `rx_bytes.eth0`.
    pub(crate) fn key(&self) -> String {
        match &self.net {
            Some(net) => format!("{}.{net}", self.name),
            None => self.name.clone().into_owned(),
        }
    }
}

/// Compares a sample with the one before. After the first sample only the uptime is known.
pub(crate) fn report_host(
    before: Option<&HostSample>,
    last: &HostSample,
    packages: &CpuPackages,
    taken: OffsetDateTime,
) -> HostReport {
    let mut values = Vec::new();
    values.extend(last.uptime_s.map(|uptime| HostValue::new("uptime", uptime.trunc())));
    if let Some(before) = before {
        add_processors(&mut values, before, last, packages);
        add_networks(&mut values, before, last);
    }
    HostReport { taken, device: None, labels: Vec::new(), values }
}

fn add_processors(
    values: &mut Vec<HostValue>,
    before: &HostSample,
    last: &HostSample,
    packages: &CpuPackages,
) {
    let delta = subtract_times(&last.all_cpus, &before.all_cpus);
    let total = sum_of_modes(&delta);
    if total > 0 {
        let share = |ticks: u64| percent(ticks, total);
        values.push(HostValue::new("cpu_u", share(delta[0])));
        values.push(HostValue::new("cpu_s", share(delta[2])));
        values.push(HostValue::new("cpu_i", share(delta[3])));
        values.push(HostValue::new("cpu_util", share(total - delta[3])));
        values.push(HostValue::new("cpu_guest", share(delta[8])));
        values.push(HostValue::new("cpu_guest_nice", share(delta[9])));
    }
    for (name, at) in TIMES {
        let ms = delta[at].saturating_mul(1000 / TICKS_PER_SECOND);
        values.push(HostValue::new(name, to_double(ms)));
    }
    let mut by_package: BTreeMap<u32, [u64; 10]> = BTreeMap::new();
    for (number, times) in &last.cpus {
        let earlier = before.cpus.iter().find(|(n, _)| n == number);
        let (Some(package), Some((_, earlier))) = (packages.get(number), earlier) else { continue };
        let sum = by_package.entry(*package).or_default();
        for (sum, ticks) in sum.iter_mut().zip(subtract_times(times, earlier)) {
            *sum += ticks;
        }
    }
    if by_package.len() < 2 {
        return;
    }
    for (package, delta) in by_package {
        let total = sum_of_modes(&delta);
        let modes = [("cpu_u_node", delta[0]), ("cpu_s_node", delta[2]), ("cpu_i_node", delta[3])];
        for (name, ticks) in modes.into_iter().filter(|_| total > 0) {
            values.push(HostValue::new(format!("{name}{package}"), percent(ticks, total)));
        }
    }
}

fn add_networks(values: &mut Vec<HostValue>, before: &HostSample, last: &HostSample) {
    for (name, at) in NETWORK {
        for (device, numbers) in &last.networks {
            let earlier = before.networks.iter().find(|(d, _)| d == device);
            let is_shown = INTERFACES.iter().any(|prefix| device.starts_with(prefix));
            let Some((_, earlier)) = earlier.filter(|_| is_shown) else { continue };
            let value = to_double(numbers[at].saturating_sub(earlier[at]));
            values.push(HostValue { name: name.into(), net: Some(device.clone()), value });
        }
    }
}

/// Adds up the modes; guest times are part of user and nice.
fn sum_of_modes(ticks: &[u64; 10]) -> u64 {
    ticks[..8].iter().sum()
}

fn subtract_times(last: &CpuTimes, before: &CpuTimes) -> [u64; 10] {
    let mut delta = last.ticks;
    for (ticks, earlier) in delta.iter_mut().zip(before.ticks) {
        // The kernel may set idle and iowait back (proc_stat(5)).
        *ticks = ticks.saturating_sub(earlier);
    }
    delta
}

fn percent(part: u64, total: u64) -> f64 {
    100.0 * to_double(part) / to_double(total)
}

#[expect(clippy::cast_precision_loss, reason = "what the destinations keep is a double")]
fn to_double(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(user: u64, idle: u64, bytes: u64) -> HostSample {
        let times = CpuTimes { ticks: [user, 0, 0, idle, 0, 0, 0, 0, user / 5, 0] };
        HostSample {
            all_cpus: times,
            cpus: vec![(0, times), (1, times)],
            networks: vec![("eth0".into(), [bytes; 16]), ("lo".into(), [bytes; 16])],
            uptime_s: Some(12.5),
            ..HostSample::default()
        }
    }

    fn values(before: Option<&HostSample>, packages: &CpuPackages) -> BTreeMap<String, f64> {
        let report = report_host(before, &sample(125, 1075, 10), packages, OffsetDateTime::UNIX_EPOCH);
        report.values.iter().map(|value| (value.key(), value.value)).collect()
    }

    #[test]
    fn differences_follow_the_second_sample() {
        let packages = [(0, 0), (1, 0)].into();
        assert_eq!(values(None, &packages), [("uptime".to_owned(), 12.0)].into());
        let values = values(Some(&sample(100, 1000, 7)), &packages);
        for (name, value) in [
            ("cpu_u", 25.0),
            ("cpu_util", 25.0),
            ("cpu_i", 75.0),
            ("cpu_guest", 5.0),
            ("cpu_u_ms", 250.0),
            ("cpu_guest_ms", 50.0),
            ("cpu_z_ms", 0.0),
            ("rx_bytes.eth0", 3.0),
        ] {
            assert!((values[name] - value).abs() < 1e-9, "{name}: {values:?}");
        }
        assert!(values.keys().all(|name| !name.contains("lo") && !name.contains("node")), "{values:?}");
    }

    #[test]
    fn several_packages_have_shares_of_their_own() {
        let values = values(Some(&sample(100, 1000, 7)), &[(0, 0), (1, 1)].into());
        assert!((values["cpu_u_node1"] - 25.0).abs() < 1e-9 && values.contains_key("cpu_i_node0"));
    }
}
