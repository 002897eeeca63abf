//! Series as OTLP requests (opentelemetry-proto 1.9, `collector/metrics/v1/metrics_service.proto`).

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as PointValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::spool::SpooledRequest;
use crate::sink::series::{SeriesKey, SeriesTotal};

/// Maximum number of series in a request, each with two points. Collectors limit requests to 20 MiB by default
/// (opentelemetry-collector `config/confighttp`).
const MAX_SERIES: usize = 2000;

/// Where metrics come from.
pub(super) struct Origin {
    pub(super) service_name: String,
    pub(super) host_name: String,
}

/// Encodes series, in as many requests as they need. `now_ns` is in ns since 1970.
pub(super) fn encode_requests(
    origin: &Origin,
    series: &[(SeriesKey, SeriesTotal)],
    now_ns: u64,
) -> Vec<SpooledRequest> {
    let encode = |part: &[(SeriesKey, SeriesTotal)]| {
        let request = make_request(origin, part, now_ns);
        SpooledRequest { body: request.encode_to_vec().into(), points: 2 * part.len() }
    };
    series.chunks(MAX_SERIES).map(encode).collect()
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
    let scope = InstrumentationScope {
        name: "profd".to_owned(),
        version: version(),
        ..InstrumentationScope::default()
    };
    let resource = Resource {
        attributes: vec![
            attribute("service.name", Value::StringValue(origin.service_name.clone())),
            attribute("service.version", Value::StringValue(version())),
            attribute("host.name", Value::StringValue(origin.host_name.clone())),
            attribute("os.type", Value::StringValue("linux".to_owned())),
        ],
        ..Resource::default()
    };
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
    attributes
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
