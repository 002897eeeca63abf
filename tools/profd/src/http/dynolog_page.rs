//! The metrics of the host under the names of dynolog c3a231a (`KernelCollector.cpp`, `Metrics.cpp`): percentages and
//! differences since the sample before, as gauges. Who adds up over time takes node_exporter's counters instead.

use super::exposition::{FamilyKind, MetricPage};
use crate::host::{CpuTimes, HostSample, TICKS_PER_SECOND};

/// Devices whose names begin so are shown (`--allow_interface_prefixes`).
const INTERFACES: [&str; 5] = ["eno", "ens", "enp", "enx", "eth"];

/// What is shown of a network device, and its place in `/proc/net/dev`.
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

/// The times that are shown in ms, and their place in `/proc/stat`.
const TIMES: [(&str, &str, usize); 6] = [
    ("cpu_u_ms", "user", 0),
    ("cpu_s_ms", "system", 2),
    ("cpu_n_ms", "nice", 1),
    ("cpu_w_ms", "iowait", 4),
    ("cpu_x_ms", "irq", 5),
    ("cpu_y_ms", "softirq", 6),
];

/// The last two samples of the host.
#[derive(Clone, Debug, Default)]
pub(super) struct SamplePair {
    before: Option<HostSample>,
    last: HostSample,
}

impl SamplePair {
    /// Takes a new sample.
    pub(super) fn take_sample(&mut self, sample: HostSample) {
        let last = std::mem::replace(&mut self.last, sample);
        // Before the first one there is nothing.
        self.before = (last != HostSample::default()).then_some(last);
    }
}

/// Adds the metrics. After the first sample only the uptime is known.
pub(super) fn add_dynolog(page: &mut MetricPage, samples: &SamplePair, host_name: &str) {
    let labels = [("host_name", host_name)];
    let mut gauge = |name: &str, help: &str, value: f64| {
        page.family(name, FamilyKind::Gauge, help).sample(&labels, value);
    };
    if let Some(uptime) = samples.last.uptime_s {
        gauge("uptime", "How long the host has been up, in seconds.", uptime.trunc());
    }
    let Some(before) = &samples.before else { return };
    let delta = subtract_times(&samples.last.all_cpus, &before.all_cpus);
    // Guest times are part of user and nice.
    let total: u64 = delta[..8].iter().sum();
    if total > 0 {
        let share = |ticks: u64| percent(ticks, total);
        gauge("cpu_u", "Share of user time, in percent.", share(delta[0]));
        gauge("cpu_s", "Share of system time, in percent.", share(delta[2]));
        gauge("cpu_i", "Share of idle time, in percent.", share(delta[3]));
        gauge("cpu_util", "Share of time that is not idle, in percent.", share(total - delta[3]));
    }
    for (name, what, at) in TIMES {
        let help = format!("Time in {what} since the last sample, in milliseconds.");
        gauge(name, &help, to_double(delta[at].saturating_mul(1000 / TICKS_PER_SECOND)));
    }
    add_networks(page, &samples.last, before, host_name);
}

fn add_networks(page: &mut MetricPage, last: &HostSample, before: &HostSample, host_name: &str) {
    for (name, at) in NETWORK {
        let help = format!("{} since the last sample.", name.replace('_', " "));
        let mut family = page.family(name, FamilyKind::Gauge, &help);
        for (device, numbers) in
            last.networks.iter().filter(|(d, _)| INTERFACES.iter().any(|p| d.starts_with(p)))
        {
            let Some((_, earlier)) = before.networks.iter().find(|(d, _)| d == device) else { continue };
            let labels = [("host_name", host_name), ("net", device.as_str())];
            family.sample(&labels, numbers[at].saturating_sub(earlier[at]));
        }
    }
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

#[expect(clippy::cast_precision_loss, reason = "what Prometheus keeps is a double")]
fn to_double(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_follow_the_second_sample() {
        let sample = |user, idle, bytes| HostSample {
            all_cpus: CpuTimes { ticks: [user, 0, 0, idle, 0, 0, 0, 0, 0, 0] },
            networks: vec![("eth0".into(), [bytes; 16]), ("lo".into(), [bytes; 16])],
            uptime_s: Some(12.5),
            ..HostSample::default()
        };
        let text = |samples: &SamplePair| {
            let mut page = MetricPage::default();
            add_dynolog(&mut page, samples, "n1");
            page.into_text().lines().filter(|l| !l.starts_with('#')).collect::<Vec<_>>().join("\n")
        };
        let mut samples = SamplePair::default();
        samples.take_sample(sample(100, 1000, 7));
        assert_eq!(text(&samples), "uptime{host_name=\"n1\"} 12");
        samples.take_sample(sample(125, 1075, 10));
        let text = text(&samples);
        for line in [
            "cpu_u{host_name=\"n1\"} 25",
            "cpu_util{host_name=\"n1\"} 25",
            "cpu_i{host_name=\"n1\"} 75",
            "cpu_u_ms{host_name=\"n1\"} 250",
            "rx_bytes{host_name=\"n1\",net=\"eth0\"} 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(!text.contains("\"lo\""));
    }
}
