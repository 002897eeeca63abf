//! Samples of the host and of its devices as OTLP gauges, as dynolog c3a231a sends them (`OtlpMetricsLogger.cpp`,
//! `parseMetricKey`): under their names, percentages as parts of 1, milliseconds as seconds.

use std::sync::Arc;

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as PointValue;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint};

use super::attribute::text_attribute;
use crate::host::report::{HostReport, HostValue};

/// The modes of processors, by the part of a name after `cpu_`.
const MODES: [(&str, &str); 10] = [
    ("util", "active"),
    ("u", "user"),
    ("s", "system"),
    ("i", "idle"),
    ("n", "nice"),
    ("w", "iowait"),
    ("x", "irq"),
    ("y", "softirq"),
    ("z", "steal"),
    ("guest", "guest"),
];

/// The kind of a value for OTLP.
#[derive(Debug, PartialEq)]
struct GaugeForm {
    unit: &'static str,
    factor: f64,
    /// Names and values of attributes.
    attributes: Vec<(&'static str, String)>,
}

impl GaugeForm {
    fn of(value: &HostValue) -> Self {
        let name: &str = &value.name;
        let form = |unit, factor, attributes| Self { unit, factor, attributes };
        if let Some(part) = name.strip_prefix("cpu_") {
            let mode = |part: &str| match part {
                "guest_nice" => "guest_nice",
                _ => MODES.iter().find(|(known, _)| *known == part).map_or("other", |(_, mode)| mode),
            };
            if let Some(part) = part.strip_suffix("_ms") {
                return form("s", 0.001, vec![("cpu.mode", mode(part).to_owned())]);
            }
            if let Some((part, package)) = part.split_once("_node") {
                let attributes =
                    vec![("cpu.mode", mode(part).to_owned()), ("cpu.socket", package.to_owned())];
                return form("1", 0.01, attributes);
            }
            return form("1", 0.01, vec![("cpu.mode", mode(part).to_owned())]);
        }
        if let Some(net) = &value.net {
            let unit = match name.split_once('_').map(|(_, what)| what) {
                Some("bytes") => "By",
                Some("errors") => "{error}",
                _ => "{packet}",
            };
            let direction = if name.starts_with("rx_") { "receive" } else { "transmit" };
            let attributes =
                vec![("network.io.direction", direction.to_owned()), ("network.interface.name", net.clone())];
            return form(unit, 1.0, attributes);
        }
        form(if name == "uptime" { "s" } else { "" }, 1.0, Vec::new())
    }
}

/// Makes the gauges of samples: one for each name and unit, with a point for each value.
pub(super) fn make_gauges(reports: &[Arc<HostReport>]) -> Vec<Metric> {
    let mut gauges: Vec<Metric> = Vec::new();
    for report in reports {
        let time_ns = u64::try_from(report.taken.unix_timestamp_nanos()).unwrap_or_default();
        for value in &report.values {
            let GaugeForm { unit, factor, attributes } = GaugeForm::of(value);
            // Semantic conventions 1.37, "Hardware".
            let device = report.device.clone().map(|device| ("hw.id", device));
            let labels = report.labels.iter().map(|(name, value)| (*name, value.clone()));
            let attributes = attributes.into_iter().chain(device).chain(labels);
            let point = NumberDataPoint {
                attributes: attributes.map(|(name, value)| text_attribute(name, value)).collect(),
                time_unix_nano: time_ns,
                value: Some(PointValue::AsDouble(value.value * factor)),
                ..NumberDataPoint::default()
            };
            let known = gauges.iter_mut().find(|gauge| gauge.name == value.name && gauge.unit == unit);
            match known.and_then(|gauge| gauge.data.as_mut()) {
                Some(Data::Gauge(gauge)) => gauge.data_points.push(point),
                _ => gauges.push(Metric {
                    name: value.name.clone().into_owned(),
                    unit: unit.to_owned(),
                    data: Some(Data::Gauge(Gauge { data_points: vec![point] })),
                    ..Metric::default()
                }),
            }
        }
    }
    gauges
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::OffsetDateTime;

    #[test]
    fn values_have_the_units_and_attributes_of_dynolog() {
        let form = |value: &HostValue| {
            let GaugeForm { unit, factor, attributes } = GaugeForm::of(value);
            let attributes: Vec<_> =
                attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{unit} {factor} {}", attributes.join(" "))
        };
        let net = HostValue { net: Some("eth0".to_owned()), ..HostValue::new("rx_bytes", 1.0) };
        assert_eq!(form(&net), "By 1 network.io.direction=receive network.interface.name=eth0");
        for (name, expected) in [
            ("cpu_util", "1 0.01 cpu.mode=active"),
            ("cpu_guest_nice_ms", "s 0.001 cpu.mode=guest_nice"),
            ("cpu_z_ms", "s 0.001 cpu.mode=steal"),
            ("cpu_i_node1", "1 0.01 cpu.mode=idle cpu.socket=1"),
            ("uptime", "s 1 "),
            ("sm_occupancy", " 1 "),
        ] {
            assert_eq!(form(&HostValue::new(name, 1.0)), expected, "{name}");
        }
    }

    #[test]
    fn the_points_of_one_name_stand_in_one_gauge() {
        let report = |device: Option<&str>, value| {
            Arc::new(HostReport {
                taken: OffsetDateTime::from_unix_timestamp(7).unwrap(),
                device: device.map(str::to_owned),
                labels: Vec::new(),
                values: vec![HostValue::new("cpu_util", value)],
            })
        };
        let gauges = make_gauges(&[report(None, 50.0), report(Some("0"), 25.0)]);
        let Some(Data::Gauge(gauge)) = &gauges[0].data else { panic!("no gauge") };
        let points: Vec<_> =
            gauge.data_points.iter().map(|p| (p.attributes.len(), p.value, p.time_unix_nano)).collect();
        let value = |value| Some(PointValue::AsDouble(value));
        assert_eq!(
            (gauges.len(), points),
            (1, vec![(1, value(0.5), 7_000_000_000), (2, value(0.25), 7_000_000_000)])
        );
    }
}
