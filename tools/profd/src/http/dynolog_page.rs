//! The metrics of the host under the names of dynolog c3a231a (`KernelCollector.cpp`, `Metrics.cpp`): percentages and
//! differences since the sample before, as gauges. To sum over time, use node_exporter's counters.

use std::collections::BTreeMap;

use super::exposition::{FamilyKind, MetricPage};
use crate::host::report::{HostReport, HostValue};

/// Names that are described exactly; what others are follows from their name.
const HELP: [(&str, &str); 7] = [
    ("uptime", "How long the host has been up, in seconds."),
    ("cpu_u", "Share of user time, in percent."),
    ("cpu_s", "Share of system time, in percent."),
    ("cpu_i", "Share of idle time, in percent."),
    ("cpu_util", "Share of time that is not idle, in percent."),
    ("cpu_guest", "Share of time in guests, in percent."),
    ("cpu_guest_nice", "Share of time in guests with low priority, in percent."),
];

/// Adds the values of the last sample. Those of one name stand together.
pub(super) fn add_dynolog(page: &mut MetricPage, report: &HostReport, host_name: &str) {
    let mut by_name: BTreeMap<&str, Vec<&HostValue>> = BTreeMap::new();
    for value in &report.values {
        by_name.entry(&value.name).or_default().push(value);
    }
    for (name, values) in by_name {
        let mut family = page.family(name, FamilyKind::Gauge, &describe(name));
        for value in values {
            let mut labels = vec![("host_name", host_name)];
            labels.extend(value.net.as_deref().map(|net| ("net", net)));
            family.sample(&labels, value.value);
        }
    }
}

fn describe(name: &str) -> String {
    let known = HELP.iter().find(|(known, _)| *known == name);
    let words = || name.replace('_', " ");
    match known {
        Some((_, help)) => (*help).to_owned(),
        None if name.ends_with("_ms") => {
            format!("Processor time since the last sample, in milliseconds: {}.", words())
        }
        None if name.contains("_node") => format!("Share of the time of a package, in percent: {}.", words()),
        None => format!("{} since the last sample.", words()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::OffsetDateTime;

    #[test]
    fn values_of_one_name_stand_together() {
        let net = |name: &'static str, net: &str, value| HostValue {
            net: Some(net.to_owned()),
            ..HostValue::new(name, value)
        };
        let report = HostReport {
            taken: OffsetDateTime::UNIX_EPOCH,
            device: None,
            labels: Vec::new(),
            values: vec![
                net("rx_bytes", "eth0", 3.0),
                HostValue::new("cpu_u", 25.0),
                net("rx_bytes", "eth1", 4.0),
                HostValue::new("cpu_u_ms", 250.0),
            ],
        };
        let mut page = MetricPage::default();
        add_dynolog(&mut page, &report, "n1");
        let text = page.into_text();
        let samples: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "cpu_u{host_name=\"n1\"} 25",
                "cpu_u_ms{host_name=\"n1\"} 250",
                "rx_bytes{host_name=\"n1\",net=\"eth0\"} 3",
                "rx_bytes{host_name=\"n1\",net=\"eth1\"} 4",
            ]
        );
    }
}
