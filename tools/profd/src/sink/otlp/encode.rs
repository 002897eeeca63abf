//! Series as OTLP requests (opentelemetry-proto 1.9, `collector/metrics/v1/metrics_service.proto`).

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as PointValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::attribute::{attribute, text_attribute};
use super::gauges::make_gauges;
use super::spool::SpooledRequest;
use crate::host::report::HostReport;
use crate::sink::series::{SeriesKey, SeriesTotal};

/// Maximum number of series in a request, each with two points. Collectors limit requests to 20 MiB by default
/// (opentelemetry-collector `config/confighttp`).
const MAX_SERIES: usize = 2000;

/// Where metrics come from.
pub(super) struct Origin {
    pub(super) service_name: String,
    pub(super) host_name: String,
    /// Further attributes of the resource.
    pub(super) resource: Vec<(String, String)>,
}

/// Encodes series, in as many requests as they need. `now_ns` is in ns since 1970.
pub(super) fn encode_requests(
    origin: &Origin,
    series: &[(SeriesKey, SeriesTotal)],
    now_ns: u64,
) -> Vec<SpooledRequest> {
    let encode = |part: &[(SeriesKey, SeriesTotal)]| {
        let request = make_request(origin, part, now_ns);
        let metrics: u64 = part.iter().map(|(_, total)| total.new_reports).sum();
        SpooledRequest {
            body: request.encode_to_vec().into(),
            points: 2 * part.len(),
            metrics: usize::try_from(metrics).unwrap_or(usize::MAX),
            has_totals: true,
        }
    };
    series.chunks(MAX_SERIES).map(encode).collect()
}

/// Encodes samples, with as many points as they have values.
pub(super) fn encode_reports(origin: &Origin, reports: &[Arc<HostReport>]) -> SpooledRequest {
    let points = reports.iter().map(|report| report.values.len()).sum();
    let body = wrap(origin, make_gauges(reports)).encode_to_vec().into();
    SpooledRequest { body, points, metrics: 0, has_totals: false }
}

fn make_request(
    origin: &Origin,
    series: &[(SeriesKey, SeriesTotal)],
    now_ns: u64,
) -> ExportMetricsServiceRequest {
    let points = |value: fn(&SeriesTotal) -> PointValue| {
        let point = |(key, total): &(SeriesKey, SeriesTotal)| NumberDataPoint {
            attributes: list_attributes(key),
            start_time_unix_nano: u64::try_from(total.since_ns).unwrap_or_default(),
            time_unix_nano: now_ns,
            value: Some(value(total)),
            ..NumberDataPoint::default()
        };
        series.iter().map(point).collect()
    };
    let reports = |total: &SeriesTotal| PointValue::AsInt(i64::try_from(total.reports).unwrap_or(i64::MAX));
    let metrics = vec![
        make_sum(
            "profd.activity.time",
            "s",
            "Sum of the durations of all activities of a kind, as processes report it",
            points(|total| PointValue::AsDouble(total.seconds())),
        ),
        make_sum("profd.activity.reports", "{report}", "Metrics that processes have sent", points(reports)),
    ];
    wrap(origin, metrics)
}

/// Puts metrics into a request that says where they are from.
fn wrap(origin: &Origin, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope = InstrumentationScope {
        name: "profd".to_owned(),
        version: version(),
        ..InstrumentationScope::default()
    };
    let own = [
        ("service.name", origin.service_name.clone()),
        ("service.version", version()),
        ("host.name", origin.host_name.clone()),
        ("os.type", "linux".to_owned()),
    ];
    // Attributes of the environment take precedence.
    let own = own.iter().filter(|(name, _)| origin.resource.iter().all(|(other, _)| other != name));
    let own = own.map(|(name, value)| text_attribute(name, value.clone()));
    let given = origin.resource.iter().map(|(name, value)| text_attribute(name, value.clone()));
    let resource = Resource { attributes: own.chain(given).collect(), ..Resource::default() };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
    let resource_metrics =
        vec![ResourceMetrics { resource: Some(resource), scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

fn make_sum(name: &str, unit: &str, description: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    let temporality = AggregationTemporality::Cumulative;
    let sum = Sum { data_points, aggregation_temporality: temporality.into(), is_monotonic: true };
    Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        description: description.to_owned(),
        data: Some(Data::Sum(sum)),
        ..Metric::default()
    }
}

fn list_attributes(key: &SeriesKey) -> Vec<KeyValue> {
    let device = if key.device_id < 0 { "host".to_owned() } else { key.device_id.to_string() };
    let mut attributes = vec![
        attribute("profd.activity.kind", Value::StringValue(key.kind.clone())),
        // Semantic conventions 1.37, "Hardware": the identifier of a component.
        attribute("hw.id", Value::StringValue(device)),
        attribute("process.pid", Value::IntValue(key.host_pid.into())),
    ];
    attributes.extend(key.uid.map(|uid| attribute("profd.uid", Value::IntValue(uid.into()))));
    attributes.extend(key.job_id.map(|job| attribute("profd.job.id", Value::IntValue(job))));
    let domain = key.domain.as_ref();
    attributes.extend(domain.map(|d| attribute("profd.marker.domain", Value::StringValue(d.clone()))));
    attributes.extend(key.labels().map(|(name, value)| match (name, value.parse()) {
        ("rank", Ok(rank)) => attribute("profd.rank", Value::IntValue(rank)),
        ("local_rank", Ok(rank)) => attribute("profd.local_rank", Value::IntValue(rank)),
        // Semantic conventions 1.37, "K8s".
        ("pod", _) => text_attribute("k8s.pod.name", value.to_owned()),
        ("namespace", _) => text_attribute("k8s.namespace.name", value.to_owned()),
        _ => text_attribute(name, value.to_owned()),
    }));
    attributes
}

fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
